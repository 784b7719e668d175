//! The palettes' tables and every query on them.
//!
//! Writes are functions on a transaction, because they belong to sagas and to
//! transactions that also emit events; [`Store`] reads. Invariants: `palette_colors`
//! holds exactly the colours of `palettes`; only visible palettes are read.

mod cached;
mod near;
mod rows;
mod search;
mod write;

use contracts::ids::PaletteId;
use data::{DataError, Database, Sql, Value};

use crate::model::Palette;
use rows::{COLUMNS, Row};

pub(crate) use cached::{Shelf, Shown};
pub(crate) use search::Filter;
pub(crate) use write::{WriteError, change, discard, erase_some, insert_hidden, publish, remove};

/// Most palettes that one call may ask for by id.
pub(crate) const MOST_AT_ONCE: usize = 100;

/// Reads palettes.
#[derive(Clone)]
pub(crate) struct Store {
    db: Database,
}

impl Store {
    pub(crate) fn new(db: Database) -> Self {
        Self { db }
    }

    /// One palette.
    pub(crate) async fn get(&self, id: PaletteId) -> Result<Option<Palette>, DataError> {
        let sql = format!("SELECT {COLUMNS} FROM palettes WHERE id = $1 AND visible");
        let row: Option<Row> = self.db.read().one(&sql, data::values![id.get()]).await?;
        row.map(Palette::try_from).transpose()
    }

    /// Those of these palettes that exist, in no order. At most [`MOST_AT_ONCE`] ids count.
    pub(crate) async fn get_many(&self, ids: &[PaletteId]) -> Result<Vec<Palette>, DataError> {
        let ids = &ids[..ids.len().min(MOST_AT_ONCE)];
        let Some(last) = ids.last() else { return Ok(Vec::new()) };
        // A few sizes, so that there are few statements to prepare; the last id fills up.
        let size = [1, 5, 20, MOST_AT_ONCE]
            .into_iter()
            .find(|size| ids.len() <= *size)
            .unwrap_or(MOST_AT_ONCE);
        let places: Vec<String> = (1..=size).map(|n| format!("${n}")).collect();
        let sql = format!(
            "SELECT {COLUMNS} FROM palettes WHERE id IN ({}) AND visible",
            places.join(", ")
        );
        let filled = ids.iter().chain(std::iter::repeat(last)).take(size);
        let values: Vec<Value> = filled.map(|id| id.get().into()).collect();
        let rows: Vec<Row> = self.db.read().all(&sql, values).await?;
        rows.into_iter().map(Palette::try_from).collect()
    }

    /// The palettes that pass the filter, newest first: at most `limit`, older than `before`.
    pub(crate) async fn list(
        &self,
        filter: &Filter,
        before: Option<PaletteId>,
        limit: u64,
    ) -> Result<Vec<Palette>, DataError> {
        let (sql, values) = search::statement(filter, before, limit);
        let rows: Vec<Row> = self.db.read().all(&sql, values).await?;
        rows.into_iter().map(Palette::try_from).collect()
    }
}
