//! The table of sagas and every query on it.
//!
//! Whatever a driver changes it changes with [`record`], which looks at the owner and at the
//! place where the driver found the saga: that is the fence between two drivers, and between a
//! driver and its own commit of which it has not heard.

use data::{DataError, Database, Sql, Tx, Value, values};
use uuid::Uuid;

/// Where a saga stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Running,
    Undoing,
    Done,
    Undone,
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Undoing => "undoing",
            Self::Done => "done",
            Self::Undone => "undone",
        }
    }

    fn parse(text: &str) -> Result<Self, DataError> {
        [Self::Running, Self::Undoing, Self::Done, Self::Undone]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| DataError::other(format!("a saga with status `{text}`")))
    }

    pub(crate) fn ended(self) -> bool {
        matches!(self, Self::Done | Self::Undone)
    }
}

/// A saga as its row tells it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Saga {
    pub(crate) id: Uuid,
    pub(crate) kind: String,
    pub(crate) version: i64,
    pub(crate) round: i64,
    pub(crate) status: Status,
    /// Running: steps done. Undoing: steps still to be undone.
    pub(crate) step: usize,
    pub(crate) state: String,
    /// The problem as JSON.
    pub(crate) error: Option<String>,
    pub(crate) attempt: i64,
    pub(crate) owner: Option<String>,
    pub(crate) due_at: i64,
    pub(crate) created_at: i64,
}

type Row =
    (String, String, i64, i64, String, i64, String, Option<String>, i64, Option<String>, i64, i64);

const SELECT: &str = "SELECT id, kind, version, round, status, step, state, error, attempt, \
                      lease_owner, due_at, created_at FROM sagas";

impl Saga {
    fn read(row: Row) -> Result<Self, DataError> {
        let (id, kind, version, round, status, step, state, error, attempt, owner, due, created) =
            row;
        Ok(Self {
            id: id.parse().map_err(DataError::other)?,
            kind,
            version,
            round,
            status: Status::parse(&status)?,
            step: usize::try_from(step).map_err(DataError::other)?,
            state,
            error,
            attempt,
            owner,
            due_at: due,
            created_at: created,
        })
    }

    fn id(&self) -> String {
        self.id.to_string()
    }
}

/// Writes a new saga. False: there is one with that id.
pub(crate) async fn insert(tx: &Tx, saga: &Saga, now: i64) -> Result<bool, DataError> {
    let new = tx
        .run(
            "INSERT INTO sagas (id, kind, version, round, status, step, state, error, attempt, \
             lease_owner, due_at, created_at, updated_at, finished_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, NULL, 0, $8, $9, $10, $10, NULL) \
             ON CONFLICT (id) DO NOTHING",
            values![
                saga.id(),
                saga.kind.as_str(),
                saga.version,
                saga.round,
                saga.status.as_str(),
                saga.step as i64,
                saga.state.as_str(),
                saga.owner.as_deref(),
                saga.due_at,
                now
            ],
        )
        .await?;
    Ok(new == 1)
}

/// Begins an undone saga anew as `saga`, the round after the one it was in. False: somebody else
/// did.
pub(crate) async fn begin_anew(tx: &Tx, saga: &Saga, now: i64) -> Result<bool, DataError> {
    let changed = tx
        .run(
            "UPDATE sagas SET kind = $2, version = $3, round = $4, status = $5, step = 0, \
             state = $6, error = NULL, attempt = 0, lease_owner = $7, due_at = $8, \
             created_at = $9, updated_at = $9, finished_at = NULL \
             WHERE id = $1 AND status = 'undone' AND round = $4 - 1",
            values![
                saga.id(),
                saga.kind.as_str(),
                saga.version,
                saga.round,
                saga.status.as_str(),
                saga.state.as_str(),
                saga.owner.as_deref(),
                saga.due_at,
                now
            ],
        )
        .await?;
    Ok(changed == 1)
}

/// Whose record is to be found, and where: nothing is changed otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Fence {
    pub(crate) id: Uuid,
    pub(crate) owner: String,
    pub(crate) round: i64,
    pub(crate) status: Status,
    pub(crate) step: usize,
}

/// Makes the row what `saga` says. False: the fence did not hold.
pub(crate) async fn record(
    tx: &Tx,
    fence: &Fence,
    saga: &Saga,
    now: i64,
) -> Result<bool, DataError> {
    let changed = tx
        .run(
            "UPDATE sagas SET status = $1, step = $2, state = $3, error = $4, attempt = $5, \
             lease_owner = $6, due_at = $7, updated_at = $8, finished_at = $9 \
             WHERE id = $10 AND lease_owner = $11 AND round = $12 AND status = $13 AND step = $14",
            values![
                saga.status.as_str(),
                saga.step as i64,
                saga.state.as_str(),
                saga.error.as_deref(),
                saga.attempt,
                saga.owner.as_deref(),
                saga.due_at,
                now,
                saga.status.ended().then_some(now),
                fence.id.to_string(),
                fence.owner.as_str(),
                fence.round,
                fence.status.as_str(),
                fence.step as i64
            ],
        )
        .await?;
    Ok(changed == 1)
}

/// Takes over a saga that is due. False: somebody else did.
pub(crate) async fn claim(
    tx: &Tx,
    found: &Saga,
    owner: &str,
    until: i64,
    now: i64,
) -> Result<bool, DataError> {
    let changed = tx
        .run(
            "UPDATE sagas SET lease_owner = $1, due_at = $2, updated_at = $3 \
             WHERE id = $4 AND due_at = $5 AND due_at <= $3 AND finished_at IS NULL",
            values![owner, until, now, found.id(), found.due_at],
        )
        .await?;
    Ok(changed == 1)
}

/// One saga, as of now in this transaction.
pub(crate) async fn find(tx: &Tx, id: Uuid) -> Result<Option<Saga>, DataError> {
    let sql = format!("{SELECT} WHERE id = $1");
    tx.row(&sql, values![id.to_string()]).await?.map(Saga::read).transpose()
}

/// One saga.
pub(crate) async fn load(db: &Database, id: Uuid) -> Result<Option<Saga>, DataError> {
    let sql = format!("{SELECT} WHERE id = $1");
    db.read().row(&sql, values![id.to_string()]).await?.map(Saga::read).transpose()
}

/// Sagas of these kinds and versions that nobody drives, most overdue first.
pub(crate) async fn due(
    db: &Database,
    kinds: &[(&str, i64)],
    now: i64,
    limit: usize,
) -> Result<Vec<Saga>, DataError> {
    if kinds.is_empty() || limit == 0 {
        return Ok(Vec::new());
    }
    let mut sql_values: Vec<Value> = values![now, limit as i64].into_iter().collect();
    let mut known = Vec::new();
    for (kind, version) in kinds {
        let n = sql_values.len();
        known.push(format!("kind = ${} AND version = ${}", n + 1, n + 2));
        sql_values.extend(values![*kind, *version]);
    }
    let sql = format!(
        "{SELECT} WHERE finished_at IS NULL AND due_at <= $1 AND ({}) ORDER BY due_at LIMIT $2",
        known.join(" OR ")
    );
    let rows: Vec<Row> = db.read().rows(&sql, sql_values).await?;
    rows.into_iter().map(Saga::read).collect()
}

/// How many sagas of each kind and version have not ended.
pub(crate) async fn open(db: &Database) -> Result<Vec<(String, i64, i64)>, DataError> {
    let sql = "SELECT kind, version, COUNT(*) FROM sagas WHERE finished_at IS NULL \
               GROUP BY kind, version";
    db.read().rows(sql, values![]).await
}

/// Forgets up to `limit` sagas that ended before `before`; returns how many.
pub(crate) async fn prune(db: &Database, before: i64, limit: i64) -> Result<u64, DataError> {
    db.write(move |tx: &Tx| {
        Box::pin(async move {
            tx.run(
                "DELETE FROM sagas WHERE id IN (SELECT id FROM sagas \
                 WHERE finished_at IS NOT NULL AND finished_at < $1 \
                 ORDER BY finished_at LIMIT $2)",
                values![before, limit],
            )
            .await
        })
    })
    .await
}
