//! The tables of popularity in one of its databases, and every query on them.
//!
//! Invariants:
//! - who changes an item's likes, views or trend holds the lock of its row (on SQLite, of the
//!   database), and takes several in the order of (kind, id);
//! - `items.likes` equals the number of its rows in `likes`, in every committed state;
//! - a row of `withdrawn` means that the item is not in `items` and never will be again;
//! - who changes rows of an item has looked in the same transaction whether its slot is here, and
//!   notes what changed while the slot is being copied (store/slots.rs).

pub(crate) mod copy;
mod items;
mod neighbours;
mod rankings;
pub(crate) mod slots;
mod votes;

use std::sync::Arc;

use arc_swap::ArcSwap;
use contracts::Kind;
use data::{DataError, Database, Dialect, json_rows as json};

use crate::model::decay::Trend;
use crate::model::{Item, ItemState};

pub(crate) use neighbours::{Candidate, Liked};
pub(crate) use rankings::{DEEPEST, Depth, Question};
pub(crate) use slots::{Changed, Elsewhere, Standings};
pub(crate) use votes::{Cast, Viewed};

/// The tables; cheap to clone.
#[derive(Clone)]
pub(crate) struct Store {
    db: Database,
    texts: Arc<Texts>,
    /// What was last seen of the slots here.
    known: Arc<ArcSwap<Standings>>,
}

/// The statements that take a batch, in the words of the engine.
struct Texts {
    items: items::Texts,
    votes: votes::Texts,
    neighbours: neighbours::Texts,
    rankings: rankings::Texts,
    slots: slots::Texts,
    copy: copy::Texts,
}

impl Store {
    /// On an open database that has this crate's migrations.
    #[must_use]
    pub(crate) fn new(db: Database) -> Self {
        let dialect = Dialect::of(db.engine());
        let texts = Arc::new(Texts {
            items: items::Texts::new(dialect),
            votes: votes::Texts::new(dialect),
            neighbours: neighbours::Texts::new(dialect),
            rankings: rankings::Texts::new(dialect),
            slots: slots::Texts::new(dialect),
            copy: copy::Texts::new(dialect),
        });
        Self { db, texts, known: Arc::new(ArcSwap::from_pointee(Standings::unborn())) }
    }

    /// The database itself.
    #[must_use]
    pub(crate) const fn db(&self) -> &Database {
        &self.db
    }
}

/// A JSON text that `{{array:X}}` wrote.
fn parsed<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, DataError> {
    serde_json::from_str(text).map_err(DataError::other)
}

/// Whether the rows of a table called `t` are the ones to show: not copies that are arriving or have
/// been left behind.
fn shown_here() -> String {
    format!(
        "EXISTS (SELECT 1 FROM slots s WHERE s.slot = {} AND s.state <= 3)",
        crate::model::slots::SLOT_SQL
    )
}

/// The columns of an [`ItemState`], in the order of [`ItemRow`].
const ITEM_COLUMNS: &str =
    "i.kind, i.item_id, i.owner, i.category, i.likes, i.views, i.trend, i.version";

/// A row of `items`.
type ItemRow = (i32, i64, i64, Option<String>, i64, i64, f64, i64);

fn item_state(row: ItemRow) -> Result<(Item, ItemState), DataError> {
    let (kind, id, owner, category, likes, views, trend, version) = row;
    let trend = Trend::from_stored(trend);
    Ok((item(kind, id)?, ItemState { owner, category, likes, views, trend, version }))
}

fn item(kind: i32, id: i64) -> Result<Item, DataError> {
    let kind = Kind::from_number(kind)
        .ok_or_else(|| DataError::Other(format!("the tables hold an unknown kind {kind}")))?;
    Ok(Item { kind, id })
}
