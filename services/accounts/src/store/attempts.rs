//! The table `attempts`: how often something was tried in a window of time that begins with the
//! first attempt and does not move.

use data::{DataError, FromQueryResult, Sql, Tx, values};

/// Attempts in a window.
#[derive(Clone, Copy, Debug, FromQueryResult)]
pub(crate) struct Attempts {
    pub(crate) count: i64,
    /// Unix milliseconds.
    pub(crate) window_ends_at: i64,
}

/// How often it was tried in the window that is open at `now`.
pub(crate) async fn attempts(
    db: &impl Sql,
    subject: &str,
    now: i64,
) -> Result<Option<Attempts>, DataError> {
    db.one(
        "SELECT count, window_ends_at FROM attempts WHERE subject = $1 AND window_ends_at > $2",
        values![subject, now],
    )
    .await
}

/// Counts one more, in a new window of `window` milliseconds if none is open.
pub(crate) async fn add_attempt(
    tx: &Tx,
    subject: &str,
    now: i64,
    window: i64,
) -> Result<Attempts, DataError> {
    tx.one(
        "INSERT INTO attempts (subject, count, window_ends_at) VALUES ($1, 1, $2) \
         ON CONFLICT (subject) DO UPDATE SET \
         count = CASE WHEN attempts.window_ends_at > $3 THEN attempts.count + 1 ELSE 1 END, \
         window_ends_at = CASE WHEN attempts.window_ends_at > $3 \
         THEN attempts.window_ends_at ELSE $2 END \
         RETURNING count, window_ends_at",
        values![subject, now.saturating_add(window), now],
    )
    .await?
    .ok_or_else(|| DataError::other("an upsert gave no row"))
}

/// Begins anew, after a success.
pub(crate) async fn forget_attempts(tx: &Tx, subject: &str) -> Result<(), DataError> {
    tx.run("DELETE FROM attempts WHERE subject = $1", values![subject]).await?;
    Ok(())
}
