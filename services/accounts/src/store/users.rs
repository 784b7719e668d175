//! The tables `users` and `names`.

use data::{DataError, FromQueryResult, Sql, Tx, values};
use ids::UserId;

use crate::model::{Name, NameKey};

const COLUMNS: &str = "u.id, u.username, u.email, u.password_hash, u.display_name, u.bio, \
                       u.staff, u.created_at, u.deleted_at";

/// A row of `users`. It has no `Debug` form: it holds a password's hash.
#[derive(Clone, FromQueryResult)]
pub(crate) struct User {
    id: i64,
    pub(crate) username: String,
    pub(crate) email: Option<String>,
    pub(crate) password_hash: Option<String>,
    pub(crate) display_name: Option<String>,
    pub(crate) bio: Option<String>,
    staff: i64,
    /// Unix milliseconds, like every time here.
    pub(crate) created_at: i64,
    deleted_at: Option<i64>,
}

impl User {
    pub(crate) fn id(&self) -> UserId {
        UserId::new(self.id)
    }

    pub(crate) fn is_staff(&self) -> bool {
        self.staff != 0
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.deleted_at.is_some()
    }
}

/// What an account begins with.
pub(crate) struct NewUser {
    pub(crate) name: Name,
    pub(crate) email: Option<String>,
    pub(crate) password_hash: Option<String>,
    pub(crate) staff: bool,
    pub(crate) created_at: i64,
}

/// What an account's owner can change; `None` leaves it, `Some(None)` empties it.
#[derive(Clone, Default)]
pub(crate) struct Profile {
    pub(crate) email: Option<Option<String>>,
    pub(crate) display_name: Option<Option<String>>,
    pub(crate) bio: Option<Option<String>>,
    pub(crate) password_hash: Option<String>,
}

/// The account with this id, also a deleted one.
pub(crate) async fn user(db: &impl Sql, id: UserId) -> Result<Option<User>, DataError> {
    let sql = format!("SELECT {COLUMNS} FROM users u WHERE u.id = $1");
    db.one(&sql, values![id.get()]).await
}

/// The account that has one of these keys, also a deleted one.
pub(crate) async fn by_name(db: &impl Sql, keys: &[NameKey]) -> Result<Option<User>, DataError> {
    let Some(last) = keys.last() else { return Ok(None) };
    // A name has up to three keys; asking for one twice does no harm.
    let [first, second] = [0, 1].map(|n| keys.get(n).unwrap_or(last));
    let sql = format!(
        "SELECT {COLUMNS} FROM names n JOIN users u ON u.id = n.user_id \
         WHERE n.name_key IN ($1, $2, $3) LIMIT 1"
    );
    db.one(&sql, values![first.as_str(), second.as_str(), last.as_str()]).await
}

/// The accounts with these ids, in no order, deleted ones too.
pub(crate) async fn by_ids(db: &impl Sql, ids: &[i64]) -> Result<Vec<User>, DataError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let list: Vec<String> = (1..=ids.len()).map(|n| format!("${n}")).collect();
    let sql = format!("SELECT {COLUMNS} FROM users u WHERE u.id IN ({})", list.join(", "));
    db.all(&sql, ids.iter().map(|id| (*id).into()).collect::<Vec<_>>()).await
}

/// Inserts an account; `None` if its name is or was another's. The transaction is then to be
/// rolled back.
pub(crate) async fn insert(tx: &Tx, new: &NewUser) -> Result<Option<UserId>, DataError> {
    let inserted: Option<(i64,)> = tx
        .row(
            "INSERT INTO users (username, email, password_hash, staff, created_at) \
             VALUES ($1, $2, $3, $4, $5) RETURNING id",
            values![
                new.name.as_str(),
                new.email.clone(),
                new.password_hash.clone(),
                i64::from(new.staff),
                new.created_at,
            ],
        )
        .await?;
    let (id,) = inserted.ok_or_else(|| DataError::other("an insert gave no id"))?;
    // In their order, so that two sign-ups that race for the same keys do not lock each other out.
    for key in new.name.keys() {
        let taken = tx
            .run(
                "INSERT INTO names (name_key, user_id) VALUES ($1, $2) \
                 ON CONFLICT (name_key) DO NOTHING",
                values![key.as_str(), id],
            )
            .await?
            == 0;
        if taken {
            return Ok(None);
        }
    }
    Ok(Some(UserId::new(id)))
}

/// Locks the account's row until the transaction ends, if it is there, not deleted, and still has
/// this password. Whatever opens sessions does it first, so that no session outlives a deletion
/// or a change of password that it raced with.
pub(crate) async fn lock(
    tx: &Tx,
    id: UserId,
    password_hash: Option<&str>,
) -> Result<bool, DataError> {
    let locked = tx
        .run(
            "UPDATE users SET staff = staff WHERE id = $1 AND deleted_at IS NULL \
             AND password_hash IS NOT DISTINCT FROM $2",
            values![id.get(), password_hash.map(str::to_owned)],
        )
        .await?;
    Ok(locked == 1)
}

/// Changes what is to be changed; false if there is no such account any more.
pub(crate) async fn change_profile(
    tx: &Tx,
    id: UserId,
    change: &Profile,
) -> Result<bool, DataError> {
    let Profile { email, display_name, bio, password_hash } = change.clone();
    let changed = tx
        .run(
            "UPDATE users SET \
             email = CASE WHEN $1 = 1 THEN $2 ELSE email END, \
             display_name = CASE WHEN $3 = 1 THEN $4 ELSE display_name END, \
             bio = CASE WHEN $5 = 1 THEN $6 ELSE bio END, \
             password_hash = COALESCE($7, password_hash) \
             WHERE id = $8 AND deleted_at IS NULL",
            values![
                i64::from(email.is_some()),
                email.flatten(),
                i64::from(display_name.is_some()),
                display_name.flatten(),
                i64::from(bio.is_some()),
                bio.flatten(),
                password_hash,
                id.get(),
            ],
        )
        .await?;
    Ok(changed == 1)
}

/// Marks an account as deleted; false if it was so before or never there.
pub(crate) async fn close(tx: &Tx, id: UserId, now: i64) -> Result<bool, DataError> {
    let closed = tx
        .run(
            "UPDATE users SET deleted_at = $1 WHERE id = $2 AND deleted_at IS NULL",
            values![now, id.get()],
        )
        .await?;
    Ok(closed == 1)
}

/// Forgets who a deleted account was. What stays is its id, and the keys of its name, which are
/// never given again.
pub(crate) async fn erase(tx: &Tx, id: UserId) -> Result<(), DataError> {
    tx.run("DELETE FROM sessions WHERE user_id = $1", values![id.get()]).await?;
    // Before the chats: whoever writes them has locked the account.
    tx.run(
        "UPDATE users SET username = $1, email = NULL, password_hash = NULL, display_name = NULL, \
         bio = NULL, staff = 0 WHERE id = $2 AND deleted_at IS NOT NULL",
        values![contracts::DELETED_USER, id.get()],
    )
    .await?;
    tx.run("DELETE FROM user_chats WHERE user_id = $1", values![id.get()]).await?;
    Ok(())
}
