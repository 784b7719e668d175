//! What people are called.

use contracts::DELETED_USER;
use contracts::ids::UserId;
use data::{DataError, Sql, Tx, values};

use super::Store;

/// Learns a name. Names never change; one that is erased stays so.
pub(crate) async fn learn(tx: &Tx, user: UserId, username: &str) -> Result<(), DataError> {
    let sql = "INSERT INTO people (user_id, username, name_key, erased) \
               VALUES ($1, $2, $3, FALSE) ON CONFLICT (user_id) DO NOTHING";
    tx.run(sql, values![user.get(), username, username.to_lowercase()]).await.map(drop)
}

/// Forgets a name for ever, also one that was not known.
pub(crate) async fn erase(tx: &Tx, user: UserId) -> Result<(), DataError> {
    let sql = "INSERT INTO people (user_id, username, name_key, erased) \
               VALUES ($1, $2, '', TRUE) ON CONFLICT (user_id) DO UPDATE \
               SET username = excluded.username, name_key = '', erased = TRUE";
    tx.run(sql, values![user.get(), DELETED_USER]).await.map(drop)
}

/// Whether the account is gone.
pub(crate) async fn erased(db: &impl Sql, user: UserId) -> Result<bool, DataError> {
    let sql = "SELECT 1 FROM people WHERE user_id = $1 AND erased";
    Ok(db.row::<(i32,)>(sql, values![user.get()]).await?.is_some())
}

impl Store {
    /// What somebody is called, if that is known here.
    pub(crate) async fn name_of(&self, user: UserId) -> Result<Option<String>, DataError> {
        let sql = "SELECT username FROM people WHERE user_id = $1";
        let row: Option<(String,)> = self.db.read_primary().row(sql, values![user.get()]).await?;
        Ok(row.map(|(name,)| name))
    }
}
