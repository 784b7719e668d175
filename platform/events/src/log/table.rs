//! The log's table and every query on it.

use data::{DataError, Database, Engine, Sql, Tx, values};

use super::entry::{Entry, Recorded, Row};
use super::place::{Mark, Page};
use crate::rows;

pub(super) async fn append(db: &Database, entries: Vec<Entry>) -> Result<u64, DataError> {
    if entries.is_empty() {
        return Ok(0);
    }
    let engine = db.engine();
    db.write(move |tx: &Tx| {
        Box::pin(async move {
            if engine == Engine::Postgres {
                // Numbers are given before a commit: without this a reader could see n + 1 before
                // n, and go on without n. SQLite has one writer at a time anyway.
                tx.run("LOCK TABLE log IN EXCLUSIVE MODE", values![]).await?;
            }
            rows::insert(tx, "INSERT INTO log", &entries, " ON CONFLICT (event_id) DO NOTHING")
                .await
        })
    })
    .await
}

pub(super) async fn read_on(db: &Database, place: &Mark, limit: u64) -> Result<Page, DataError> {
    let found: Vec<Row> = db
        .read()
        .rows(
            "SELECT seq, event_id, name, event_key, at, payload FROM log \
             WHERE seq >= $1 ORDER BY seq LIMIT $2",
            values![place.seq, i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1)],
        )
        .await?;
    let highest = if found.is_empty() && place.seq > 0 { highest(db).await? } else { 0 };
    let found = found.into_iter().map(Recorded::from).collect();
    Ok(Page::judge(place, found, limit, highest))
}

/// The largest number ever given, also to what was forgotten since. Of the primary: a replica may
/// not have what another one has shown.
async fn highest(db: &Database) -> Result<i64, DataError> {
    let sql = match db.engine() {
        Engine::Sqlite => "SELECT seq FROM sqlite_sequence WHERE name = 'log'",
        Engine::Postgres => {
            "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM log_seq_seq"
        }
    };
    let row: Option<(i64,)> = db.read_primary().row(sql, values![]).await?;
    Ok(row.map_or(0, |(seq,)| seq))
}

pub(super) async fn head(db: &Database) -> Result<Mark, DataError> {
    let sql = "SELECT seq, event_id FROM log ORDER BY seq DESC LIMIT 1";
    let row: Option<(i64, String)> = db.read().row(sql, values![]).await?;
    Ok(row.map_or_else(Mark::start, |(seq, id)| Mark { seq, id: id.into() }))
}

/// The lowest number of those emitted at `at` or later.
pub(super) async fn first_since(db: &Database, at: i64) -> Result<Option<i64>, DataError> {
    let sql = "SELECT min(seq) FROM log WHERE at >= $1";
    let row: Option<(Option<i64>,)> = db.read().row(sql, values![at]).await?;
    Ok(row.and_then(|(seq,)| seq))
}

/// Deletes up to `limit` of the events emitted before `at`; returns how many.
pub(super) async fn prune(db: &Database, at: i64, limit: i64) -> Result<u64, DataError> {
    db.write(move |tx: &Tx| {
        Box::pin(async move {
            tx.run(
                "DELETE FROM log WHERE seq IN \
                 (SELECT seq FROM log WHERE at < $1 ORDER BY at LIMIT $2)",
                values![at, limit],
            )
            .await
        })
    })
    .await
}
