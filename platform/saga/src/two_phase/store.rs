//! The table of what is prepared, and every query on it.

use data::{DataError, Database, Sql, Tx, values};

use super::TxId;

/// How a transaction stands with this participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Prepared,
    Committed,
    Aborted,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Prepared => "prepared",
            Self::Committed => "committed",
            Self::Aborted => "aborted",
        }
    }

    fn parse(text: &str) -> Result<Self, DataError> {
        [Self::Prepared, Self::Committed, Self::Aborted]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| DataError::other(format!("a participant in state `{text}`")))
    }
}

/// One that is prepared and was told nothing.
#[derive(Clone, Debug)]
pub(crate) struct InDoubt {
    pub(crate) id: TxId,
    pub(crate) attempt: i64,
    pub(crate) due_at: i64,
}

/// Writes a transaction that is new here. False: there is one with that id, which whoever was
/// writing it has finished.
pub(crate) async fn insert(
    tx: &Tx,
    name: &str,
    id: TxId,
    state: State,
    payload: &str,
    due_at: i64,
    now: i64,
) -> Result<bool, DataError> {
    let new = tx
        .run(
            "INSERT INTO prepared (name, id, status, payload, attempt, due_at, created_at, \
             ended_at) VALUES ($1, $2, $3, $4, 0, $5, $6, $7) ON CONFLICT (name, id) DO NOTHING",
            values![
                name,
                id.to_string(),
                state.as_str(),
                payload,
                due_at,
                now,
                (state != State::Prepared).then_some(now)
            ],
        )
        .await?;
    Ok(new == 1)
}

/// How it stands.
pub(crate) async fn find(tx: &Tx, name: &str, id: TxId) -> Result<Option<State>, DataError> {
    let sql = "SELECT status FROM prepared WHERE name = $1 AND id = $2";
    let row: Option<(String,)> = tx.row(sql, values![name, id.to_string()]).await?;
    row.map(|(state,)| State::parse(&state)).transpose()
}

/// Ends one that is prepared and tells its payload. None: it is not prepared (any more).
pub(crate) async fn end(
    tx: &Tx,
    name: &str,
    id: TxId,
    state: State,
    now: i64,
) -> Result<Option<String>, DataError> {
    let row: Option<(String,)> = tx
        .row(
            "UPDATE prepared SET status = $1, ended_at = $2 \
             WHERE name = $3 AND id = $4 AND status = 'prepared' RETURNING payload",
            values![state.as_str(), now, name, id.to_string()],
        )
        .await?;
    Ok(row.map(|(payload,)| payload))
}

/// Those whose coordinator is to be asked now, most overdue first.
pub(crate) async fn due(
    db: &Database,
    name: &str,
    now: i64,
    limit: usize,
) -> Result<Vec<InDoubt>, DataError> {
    let sql = "SELECT id, attempt, due_at FROM prepared WHERE name = $1 AND ended_at IS NULL \
               AND due_at <= $2 ORDER BY due_at LIMIT $3";
    let rows: Vec<(String, i64, i64)> =
        db.read().rows(sql, values![name, now, limit as i64]).await?;
    rows.into_iter()
        .map(|(id, attempt, due_at)| {
            Ok(InDoubt { id: id.parse().map_err(DataError::other)?, attempt, due_at })
        })
        .collect()
}

/// Takes it upon this instance to ask for `found`, and nobody else until `due_at`. False: somebody
/// else does.
pub(crate) async fn claim(
    db: &Database,
    name: &'static str,
    found: InDoubt,
    due_at: i64,
) -> Result<bool, DataError> {
    db.write(move |tx: &Tx| {
        Box::pin(async move {
            let changed = tx
                .run(
                    "UPDATE prepared SET attempt = $1, due_at = $2 WHERE name = $3 AND id = $4 \
                     AND due_at = $5 AND status = 'prepared'",
                    values![found.attempt + 1, due_at, name, found.id.to_string(), found.due_at],
                )
                .await?;
            Ok(changed == 1)
        })
    })
    .await
}

/// How many are prepared, and since when the oldest.
pub(crate) async fn open(db: &Database, name: &str) -> Result<(i64, Option<i64>), DataError> {
    let sql = "SELECT COUNT(*), MIN(created_at) FROM prepared \
               WHERE name = $1 AND ended_at IS NULL";
    Ok(db.read().row(sql, values![name]).await?.unwrap_or((0, None)))
}

/// Forgets up to `limit` that ended before `before`; returns how many.
pub(crate) async fn prune(
    db: &Database,
    name: &'static str,
    before: i64,
    limit: i64,
) -> Result<u64, DataError> {
    db.write(move |tx: &Tx| {
        Box::pin(async move {
            tx.run(
                "DELETE FROM prepared WHERE name = $1 AND id IN (SELECT id FROM prepared \
                 WHERE name = $1 AND ended_at IS NOT NULL AND ended_at < $2 \
                 ORDER BY ended_at LIMIT $3)",
                values![name, before, limit],
            )
            .await
        })
    })
    .await
}
