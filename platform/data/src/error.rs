//! What can go wrong with a database, told apart by what a caller can do about it.

use std::fmt::Display;

use sea_orm::sqlx;
use sea_orm::{DbErr, RuntimeErr};

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    /// The database cannot be reached, is out of space, or had no free connection in time. The
    /// outcome of a write that was being committed is not known.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// Others were in the way: a full queue, a lock not got in time, a deadlock, a serialization
    /// failure. Nothing was written; it may be tried again.
    #[error("the database is busy; try again")]
    Busy,
    /// A value that has to be unique is there already.
    #[error("`{constraint}` is there already")]
    UniqueViolation {
        /// The constraint as PostgreSQL names it: `table_column_key`, `table_pkey`.
        constraint: String,
    },
    /// A row refers to one that does not exist, or is still referred to.
    #[error("a row refers to one that does not exist")]
    ForeignKey,
    /// The database cannot be opened: one line that says what to do.
    #[error("{0}")]
    Startup(String),
    /// Anything else: a defect, or damage.
    #[error("{0}")]
    Other(String),
}

impl DataError {
    /// Any other error, by its text.
    pub fn other(error: impl Display) -> Self {
        Self::Other(error.to_string())
    }

    /// Whether another try, perhaps elsewhere, may go better.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Busy)
    }

    /// The name used in metrics.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Busy => "busy",
            Self::UniqueViolation { .. } => "unique_violation",
            Self::ForeignKey => "foreign_key",
            Self::Startup(_) => "startup",
            Self::Other(_) => "other",
        }
    }
}

impl From<DbErr> for DataError {
    fn from(error: DbErr) -> Self {
        match &error {
            DbErr::ConnectionAcquire(reason) => Self::Unavailable(reason.to_string()),
            DbErr::Conn(RuntimeErr::SqlxError(inner))
            | DbErr::Exec(RuntimeErr::SqlxError(inner))
            | DbErr::Query(RuntimeErr::SqlxError(inner)) => Self::from(&**inner),
            DbErr::Conn(_) => Self::Unavailable(error.to_string()),
            _ => Self::Other(error.to_string()),
        }
    }
}

impl From<sqlx::Error> for DataError {
    fn from(error: sqlx::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&sqlx::Error> for DataError {
    fn from(error: &sqlx::Error) -> Self {
        use sqlx::Error as E;
        match error {
            E::Database(inner) => {
                let code = inner.code().unwrap_or_default();
                if inner.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
                    from_sqlite(code.parse().unwrap_or_default(), inner.message())
                } else {
                    from_postgres(&code, inner.constraint(), inner.message())
                }
            }
            E::Io(_)
            | E::Tls(_)
            | E::Protocol(_)
            | E::PoolTimedOut
            | E::PoolClosed
            | E::WorkerCrashed
            | E::BeginFailed => Self::Unavailable(one_line(error)),
            _ => Self::Other(one_line(error)),
        }
    }
}

/// Extended result codes: <https://www.sqlite.org/rescode.html>.
fn from_sqlite(code: i32, message: &str) -> DataError {
    match (code & 0xff, code) {
        (5 | 6, _) => DataError::Busy,
        // Read-only, input/output, full, cannot open.
        (8 | 10 | 13 | 14, _) => DataError::Unavailable(message.to_owned()),
        (_, 1555 | 2067 | 2579) => {
            DataError::UniqueViolation { constraint: sqlite_constraint(message, code != 2067) }
        }
        (_, 787) => DataError::ForeignKey,
        _ => DataError::Other(format!("SQLite error {code}: {message}")),
    }
}

/// SQLSTATE: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn from_postgres(code: &str, constraint: Option<&str>, message: &str) -> DataError {
    match code {
        "23505" => {
            DataError::UniqueViolation { constraint: constraint.unwrap_or("unknown").to_owned() }
        }
        "23503" => DataError::ForeignKey,
        // Serialization failure, deadlock, lock not available (lock_timeout).
        "40001" | "40P01" | "55P03" => DataError::Busy,
        // A server that is read-only now is no primary any more.
        "25006" => DataError::Unavailable(message.to_owned()),
        // Statement timeout, connection trouble, out of resources, operator intervention.
        _ if ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => {
            DataError::Unavailable(message.to_owned())
        }
        _ => DataError::Other(format!("PostgreSQL error {code}: {message}")),
    }
}

/// SQLite tells columns (`UNIQUE constraint failed: users.name, users.kind`) or, for an index on
/// an expression, its name (`UNIQUE constraint failed: index 'users_folded_key'`).
fn sqlite_constraint(message: &str, primary: bool) -> String {
    let what = message.rsplit_once("failed: ").map_or(message, |(_, what)| what);
    if let Some(index) = what.strip_prefix("index '") {
        return index.trim_end_matches('\'').to_owned();
    }
    let mut columns = what.split(", ").filter_map(|c| c.split_once('.'));
    let Some((table, first)) = columns.next() else {
        return what.to_owned();
    };
    if primary {
        return format!("{table}_pkey");
    }
    let mut name = format!("{table}_{first}");
    for (_, column) in columns {
        name.push('_');
        name.push_str(column);
    }
    name + "_key"
}

pub(crate) fn one_line(error: impl Display) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_constraints_are_named_as_postgres_names_them() {
        let name = |m, p| sqlite_constraint(m, p);
        assert_eq!(name("UNIQUE constraint failed: users.name", false), "users_name_key");
        assert_eq!(name("UNIQUE constraint failed: a.b, a.c", false), "a_b_c_key");
        assert_eq!(name("UNIQUE constraint failed: a.b, a.c", true), "a_pkey");
        assert_eq!(name("UNIQUE constraint failed: index 'a_low_key'", false), "a_low_key");
    }

    #[test]
    fn what_may_be_tried_again_is_told_apart() {
        assert_eq!(from_sqlite(517, "busy snapshot"), DataError::Busy);
        assert_eq!(from_postgres("40P01", None, "deadlock"), DataError::Busy);
        assert!(matches!(from_sqlite(13, "full"), DataError::Unavailable(_)));
        assert!(matches!(from_sqlite(778, "io"), DataError::Unavailable(_)));
        assert!(matches!(from_postgres("57P01", None, "bye"), DataError::Unavailable(_)));
        assert!(matches!(from_postgres("42601", None, "syntax"), DataError::Other(_)));
    }
}
