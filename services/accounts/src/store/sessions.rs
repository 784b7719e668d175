//! The tables `sessions` and `refresh_tokens`.

use data::{DataError, FromQueryResult, Reader, Sql, Tx, values};
use ids::UserId;

/// What came of showing a refresh token.
pub(crate) enum Rotation {
    /// It was good, and its successor is stored. Sign an access token for this session.
    Renewed { user: UserId, session: String, staff: bool },
    /// It was used before: someone has a copy. End the session.
    Reused { user: UserId, session: String },
    /// There is no such token, or its session has ended.
    Refused,
}

#[derive(FromQueryResult)]
struct Held {
    session_id: String,
    used_at: Option<i64>,
    user_id: i64,
    staff: i64,
}

/// Opens a session; ends the user's oldest ones past `most` and returns them.
pub(crate) async fn open_session(
    tx: &Tx,
    user: UserId,
    session: &str,
    token_hash: Vec<u8>,
    now: i64,
    expires_at: i64,
    most: u32,
) -> Result<Vec<String>, DataError> {
    let ended: Vec<(String,)> = tx
        .rows(
            "UPDATE sessions SET ended_at = $1 WHERE id IN ( \
             SELECT id FROM sessions WHERE user_id = $2 AND ended_at IS NULL AND expires_at > $1 \
             ORDER BY created_at DESC, id LIMIT 100 OFFSET $3) RETURNING id",
            values![now, user.get(), i64::from(most.max(1)) - 1],
        )
        .await?;
    tx.run(
        "INSERT INTO sessions (id, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4)",
        values![session, user.get(), now, expires_at],
    )
    .await?;
    insert_token(tx, token_hash, session, now).await?;
    Ok(ended.into_iter().map(|(id,)| id).collect())
}

/// Takes a refresh token and stores its successor.
pub(crate) async fn rotate(
    tx: &Tx,
    token_hash: Vec<u8>,
    successor: Vec<u8>,
    now: i64,
    expires_at: i64,
) -> Result<Rotation, DataError> {
    let Some(held) = held(tx, token_hash.clone(), now).await? else { return Ok(Rotation::Refused) };
    let user = UserId::new(held.user_id);
    // Of two that show the same token at once, one marks it.
    let first = tx
        .run(
            "UPDATE refresh_tokens SET used_at = $1 WHERE token_hash = $2 AND used_at IS NULL",
            values![now, token_hash],
        )
        .await?
        == 1;
    if held.used_at.is_some() || !first {
        return Ok(Rotation::Reused { user, session: held.session_id });
    }
    let kept = tx
        .run(
            "UPDATE sessions SET expires_at = $1 WHERE id = $2 AND ended_at IS NULL",
            values![expires_at, held.session_id.clone()],
        )
        .await?
        == 1;
    if !kept {
        return Ok(Rotation::Refused);
    }
    insert_token(tx, successor, &held.session_id, now).await?;
    Ok(Rotation::Renewed { user, session: held.session_id, staff: held.staff != 0 })
}

/// Whose session a refresh token belongs to, if it is the session's present one.
pub(crate) async fn owner_of_refresh_token(
    tx: &Tx,
    token_hash: Vec<u8>,
    now: i64,
) -> Result<Option<(UserId, String)>, DataError> {
    let held = held(tx, token_hash, now).await?.filter(|held| held.used_at.is_none());
    Ok(held.map(|held| (UserId::new(held.user_id), held.session_id)))
}

/// Ends a session of this user; false if it had ended before.
pub(crate) async fn end_session(
    tx: &Tx,
    user: UserId,
    session: &str,
    now: i64,
) -> Result<bool, DataError> {
    let ended = tx
        .run(
            "UPDATE sessions SET ended_at = $1 WHERE id = $2 AND user_id = $3 AND ended_at IS NULL",
            values![now, session, user.get()],
        )
        .await?;
    Ok(ended == 1)
}

/// Ends the user's sessions, all but `except`, and returns them.
pub(crate) async fn end_sessions(
    tx: &Tx,
    user: UserId,
    except: Option<&str>,
    now: i64,
) -> Result<Vec<String>, DataError> {
    let ended: Vec<(String,)> = tx
        .rows(
            "UPDATE sessions SET ended_at = $1 \
             WHERE user_id = $2 AND id <> $3 AND ended_at IS NULL AND expires_at > $1 RETURNING id",
            values![now, user.get(), except.unwrap_or_default()],
        )
        .await?;
    Ok(ended.into_iter().map(|(id,)| id).collect())
}

/// Whether a session has neither ended nor expired.
pub(crate) async fn session_stands(
    db: &Reader,
    session: &str,
    now: i64,
) -> Result<bool, DataError> {
    let sql = "SELECT 1 FROM sessions WHERE id = $1 AND ended_at IS NULL AND expires_at > $2";
    let found: Option<(i32,)> = db.row(sql, values![session, now]).await?;
    Ok(found.is_some())
}

async fn held(tx: &Tx, token_hash: Vec<u8>, now: i64) -> Result<Option<Held>, DataError> {
    tx.one(
        "SELECT r.session_id, r.used_at, s.user_id, u.staff FROM refresh_tokens r \
         JOIN sessions s ON s.id = r.session_id JOIN users u ON u.id = s.user_id \
         WHERE r.token_hash = $1 AND s.ended_at IS NULL AND s.expires_at > $2 \
         AND u.deleted_at IS NULL",
        values![token_hash, now],
    )
    .await
}

async fn insert_token(tx: &Tx, hash: Vec<u8>, session: &str, now: i64) -> Result<(), DataError> {
    tx.run(
        "INSERT INTO refresh_tokens (token_hash, session_id, issued_at) VALUES ($1, $2, $3)",
        values![hash, session, now],
    )
    .await?;
    Ok(())
}
