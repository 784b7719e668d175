//! The outbox: events wait here, in the transaction of the change they tell of, for the relay.

use data::{DataError, Database, Sql, Tx, values};
use serde::Serialize;

use crate::log::Entry;
use crate::{dead_letters, rows};

const INTO: &str = "INSERT INTO events_outbox";

/// Writes an event into the outbox of this transaction: it will be in the log if the transaction
/// is committed, and never otherwise. Events with one `key` keep their order.
///
/// # Errors
/// When the payload cannot be written as JSON, or the database fails.
pub async fn emit(
    tx: &Tx,
    name: &str,
    key: &str,
    payload: &impl Serialize,
) -> Result<(), DataError> {
    let entry = Entry::new(name, key, payload)?;
    rows::insert(tx, INTO, &[entry], "").await.map(drop)
}

/// As [`emit`], for many events of one name, as `(key, payload)`, in a few statements.
///
/// # Errors
/// As [`emit`].
pub async fn emit_all<K: AsRef<str>, P: Serialize>(
    tx: &Tx,
    name: &str,
    events: impl IntoIterator<Item = (K, P)>,
) -> Result<(), DataError> {
    let entries: Result<Vec<Entry>, DataError> =
        events.into_iter().map(|(key, payload)| Entry::new(name, key.as_ref(), &payload)).collect();
    rows::insert(tx, INTO, &entries?, "").await.map(drop)
}

/// The oldest events that wait with their numbers, at most `limit`. May lag behind on a replica:
/// what that still shows after it was forgotten is in the log already, which takes each id once.
pub(crate) async fn waiting(db: &Database, limit: u64) -> Result<Vec<(i64, Entry)>, DataError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let sql = "SELECT seq, event_id, name, event_key, at, payload FROM events_outbox \
               ORDER BY seq LIMIT $1";
    let found: Vec<(i64, String, String, String, i64, String)> =
        db.read().rows(sql, values![limit]).await?;
    Ok(found
        .into_iter()
        .map(|(seq, id, name, key, at, payload)| (seq, Entry { id, name, key, at, payload }))
        .collect())
}

/// Takes an event that the log will not have out of the outbox, and files it as a dead letter of
/// `consumer`.
pub(crate) async fn give_up(
    db: &Database,
    seq: i64,
    entry: Entry,
    consumer: &'static str,
    error: String,
    attempts: u32,
) -> Result<(), DataError> {
    let Entry { id, name, key, at, payload } = entry;
    db.write(move |tx: &Tx| {
        Box::pin(async move {
            let sql = "DELETE FROM events_outbox WHERE seq = $1";
            // Otherwise another relay was faster.
            if tx.run(sql, values![seq]).await? == 1 {
                let event = (seq, id, name, key, at, payload).into();
                dead_letters::bury(tx, consumer, &event, &error, i64::from(attempts)).await?;
            }
            Ok(())
        })
    })
    .await
}

/// Removes what is in the log now. By number, not by range: on PostgreSQL a lower number may
/// have been committed since `waiting` looked.
pub(crate) async fn forget(db: &Database, seqs: Vec<i64>) -> Result<(), DataError> {
    db.write(move |tx: &Tx| {
        Box::pin(async move { rows::delete(tx, "DELETE FROM events_outbox", &seqs).await })
    })
    .await
}
