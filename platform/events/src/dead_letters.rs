//! Events that a handler kept refusing, or that the log would not take: kept with the reason, for an
//! operator to see, replay or discard. The consumer, or the relay, has gone on without them.

use data::{DataError, Database, Sql, Tx, values};

use crate::log::Recorded;

/// Most that [`dead_letters`] lists.
const LISTED: i64 = 1000;

/// An event that could not be handled.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetter {
    /// Its number in this list.
    pub id: i64,
    /// Who could not handle it; `relay` if the log would not take it.
    pub consumer: String,
    /// The event. Its number is that in the log, or, of the relay's, in the outbox.
    pub event: Recorded,
    /// Why, in the words of the last attempt.
    pub error: String,
    /// How often it was tried.
    pub attempts: i64,
    /// When it was given up, in milliseconds since 1970 UTC.
    pub failed_at: i64,
    /// Whether it waits to be tried again.
    pub replaying: bool,
}

/// The columns of [`COLUMNS`].
type Row = (i64, String, i64, String, String, String, i64, String, String, i64, i64, i64);

const COLUMNS: &str = "id, consumer, seq, event_id, name, event_key, at, payload, error, \
                       attempts, failed_at, replay";

impl From<Row> for DeadLetter {
    fn from(row: Row) -> Self {
        let (id, consumer, seq, event, name, key, at, payload, error, attempts, failed_at, replay) =
            row;
        Self {
            id,
            consumer,
            event: (seq, event, name, key, at, payload).into(),
            error,
            attempts,
            failed_at,
            replaying: replay != 0,
        }
    }
}

/// The dead letters of a service, oldest first, at most 1000.
///
/// # Errors
/// When the database fails.
pub async fn dead_letters(db: &Database) -> Result<Vec<DeadLetter>, DataError> {
    let sql = format!("SELECT {COLUMNS} FROM events_dead_letters ORDER BY id LIMIT $1");
    let rows: Vec<Row> = db.read().rows(&sql, values![LISTED]).await?;
    Ok(rows.into_iter().map(DeadLetter::from).collect())
}

/// Has the consumer, or the relay, try a dead letter once more, within about two seconds. When it succeeds the
/// letter is gone, when it fails again it stays with the new reason. False: there is none.
///
/// # Errors
/// When the database fails.
pub async fn replay(db: &Database, id: i64) -> Result<bool, DataError> {
    change(db, "UPDATE events_dead_letters SET replay = 1 WHERE id = $1", id).await
}

/// Removes a dead letter for good. False: there is none.
///
/// # Errors
/// When the database fails.
pub async fn discard(db: &Database, id: i64) -> Result<bool, DataError> {
    change(db, "DELETE FROM events_dead_letters WHERE id = $1", id).await
}

async fn change(db: &Database, sql: &'static str, id: i64) -> Result<bool, DataError> {
    let rows = db.write(move |tx: &Tx| Box::pin(async move { tx.run(sql, values![id]).await }));
    Ok(rows.await? == 1)
}

/// The letters of a consumer that are to be tried again.
pub(crate) async fn to_replay(db: &Database, consumer: &str) -> Result<Vec<DeadLetter>, DataError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM events_dead_letters WHERE consumer = $1 AND replay = 1 \
         ORDER BY id LIMIT 100"
    );
    let rows: Vec<Row> = db.read().rows(&sql, values![consumer]).await?;
    Ok(rows.into_iter().map(DeadLetter::from).collect())
}

/// Keeps a dead letter that failed once more, with the new reason.
pub(crate) async fn keep(db: &Database, id: i64, error: String) -> Result<(), DataError> {
    let sql = "UPDATE events_dead_letters SET replay = 0, error = $1, \
               attempts = attempts + 1, failed_at = $2 WHERE id = $3";
    db.write(move |tx: &Tx| {
        Box::pin(async move { tx.run(sql, values![error, crate::now(), id]).await })
    })
    .await
    .map(drop)
}

/// Files an event as a dead letter.
pub(crate) async fn bury(
    tx: &Tx,
    consumer: &str,
    event: &Recorded,
    error: &str,
    attempts: i64,
) -> Result<(), DataError> {
    tx.run(
        "INSERT INTO events_dead_letters (consumer, seq, event_id, name, event_key, at, payload, \
         error, attempts, failed_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        values![
            consumer,
            event.seq,
            event.id.as_str(),
            event.name.as_str(),
            event.key.as_str(),
            event.at,
            event.payload.to_string(),
            error,
            attempts,
            crate::now()
        ],
    )
    .await?;
    Ok(())
}
