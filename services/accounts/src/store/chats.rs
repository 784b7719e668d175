//! The tables `user_chats` and `held_chats`.
//!
//! Invariant: rows of several accounts are taken in the order of their ids, so that no two
//! transactions wait for each other.

use contracts::ids::RoomId;
use data::{DataError, Dialect, Sql, Tx, json_rows, values};
use ids::UserId;

/// How an account stands with a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Membership {
    Member,
    /// A transaction that has not ended may make it one.
    Pending,
    Stranger,
}

/// The chats an account is in, ascending.
pub(crate) async fn chats_of(db: &impl Sql, user: UserId) -> Result<Vec<RoomId>, DataError> {
    let sql = "SELECT chat_id FROM user_chats WHERE user_id = $1 ORDER BY chat_id";
    let rows: Vec<(i64,)> = db.rows(sql, values![user.get()]).await?;
    Ok(rows.into_iter().map(|(chat,)| chat.into()).collect())
}

/// How an account stands with a chat. One statement: between two, what is pending could end.
pub(crate) async fn membership(
    tx: &Tx,
    user: UserId,
    chat: RoomId,
) -> Result<Membership, DataError> {
    let found: Vec<(i32,)> = tx
        .rows(
            "SELECT 1 FROM user_chats WHERE user_id = $1 AND chat_id = $2 \
             UNION ALL SELECT 2 FROM held_chats WHERE user_id = $1 AND chat_id = $2",
            values![user.get(), chat.get()],
        )
        .await?;
    Ok(if found.contains(&(1,)) {
        Membership::Member
    } else if found.is_empty() {
        Membership::Stranger
    } else {
        Membership::Pending
    })
}

/// Gives back what a transaction holds.
pub(crate) async fn release_chats(tx: &Tx, holder: &str) -> Result<(), DataError> {
    tx.run("DELETE FROM held_chats WHERE tx = $1", values![holder]).await.map(drop)
}

/// What is done to many accounts at once.
pub(crate) struct Chats {
    lock: String,
    hold: String,
    join: String,
    leave: String,
}

impl Chats {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self {
            // Of the closed ones, too: who erases them waits as well.
            lock: dialect.text(
                "SELECT u.id, u.deleted_at FROM users u \
                 WHERE u.id IN (SELECT CAST(r.value->>0 AS BIGINT) FROM {{rows:1}}) \
                 ORDER BY u.id {{share:u}}",
            ),
            hold: dialect.text(
                "INSERT INTO held_chats (user_id, chat_id, tx) \
                 SELECT CAST(r.value->>0 AS BIGINT), $2, $3 FROM {{rows:1}} WHERE true ORDER BY 1 \
                 ON CONFLICT (user_id, chat_id) DO NOTHING",
            ),
            join: dialect.text(
                "INSERT INTO user_chats (user_id, chat_id) \
                 SELECT CAST(r.value->>0 AS BIGINT), $2 FROM {{rows:1}} WHERE true ORDER BY 1 \
                 ON CONFLICT (user_id, chat_id) DO NOTHING",
            ),
            leave: dialect.text(
                "DELETE FROM user_chats WHERE chat_id = $2 AND user_id IN \
                 (SELECT CAST(r.value->>0 AS BIGINT) FROM {{rows:1}})",
            ),
        }
    }

    /// Those of `users` that live, ascending. None of them all is closed or erased before the
    /// transaction ends, and what is being closed is waited for.
    pub(crate) async fn lock_living(
        &self,
        tx: &Tx,
        users: &[UserId],
    ) -> Result<Vec<UserId>, DataError> {
        let rows: Vec<(i64, Option<i64>)> = tx.rows(&self.lock, values![json(users)?]).await?;
        let living = rows.into_iter().filter(|(_, deleted_at)| deleted_at.is_none());
        Ok(living.map(|(id, _)| id.into()).collect())
    }

    /// Keeps `users` in `chat` from other transactions until [`release_chats`]. False: one of them
    /// is another's; this transaction is then to be rolled back.
    pub(crate) async fn hold(
        &self,
        tx: &Tx,
        holder: &str,
        chat: RoomId,
        users: &[UserId],
    ) -> Result<bool, DataError> {
        let held = tx.run(&self.hold, values![json(users)?, chat.get(), holder]).await?;
        Ok(held == users.len() as u64)
    }

    /// Writes down that `users` are in `chat`.
    pub(crate) async fn join(
        &self,
        tx: &Tx,
        chat: RoomId,
        users: &[UserId],
    ) -> Result<(), DataError> {
        tx.run(&self.join, values![json(users)?, chat.get()]).await.map(drop)
    }

    /// Forgets that `users` are in `chat`.
    pub(crate) async fn leave(
        &self,
        tx: &Tx,
        chat: RoomId,
        users: &[UserId],
    ) -> Result<(), DataError> {
        tx.run(&self.leave, values![json(users)?, chat.get()]).await.map(drop)
    }
}

fn json(users: &[UserId]) -> Result<String, DataError> {
    json_rows(users.iter().map(|user| [user.get()]))
}
