//! Every table of the accounts and every query.
//!
//! Invariants: a name key has one owner for ever; a session's state changes only together with
//! the event that tells of it; what decides over access is read from the primary.

mod attempts;
mod chats;
mod keys;
mod sessions;
mod users;

pub(crate) use attempts::{Attempts, add_attempt, attempts, forget_attempts};
pub(crate) use chats::{Chats, Membership, chats_of, membership, release_chats};
pub(crate) use keys::first_key;
pub(crate) use sessions::{
    Rotation, end_session, end_sessions, open_session, owner_of_refresh_token, rotate,
    session_stands,
};
pub(crate) use users::{
    NewUser, Profile, User, by_ids, by_name, change_profile, close, erase, insert, lock, user,
};

use data::{DataError, Database, Sql, Tx, values};

/// How many rows one transaction removes at most, so that it holds up no one.
const BATCH: i64 = 500;

/// Removes some of what has run out; true if there may be more. `now` in unix milliseconds.
pub(crate) async fn prune(db: &Database, now: i64) -> Result<bool, DataError> {
    db.write(move |tx: &Tx| {
        Box::pin(async move {
            let windows = tx
                .run(
                    "DELETE FROM attempts WHERE subject IN \
                     (SELECT subject FROM attempts WHERE window_ends_at < $1 LIMIT $2)",
                    values![now, BATCH],
                )
                .await?;
            let sessions = tx
                .run(
                    "DELETE FROM sessions WHERE id IN \
                     (SELECT id FROM sessions WHERE expires_at < $1 LIMIT $2)",
                    values![now, BATCH],
                )
                .await?;
            Ok(windows.max(sessions) >= BATCH.unsigned_abs())
        })
    })
    .await
}
