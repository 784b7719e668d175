//! Reads that begin no transaction.

use std::sync::Arc;
use std::time::Instant;

use sea_orm::prelude::async_trait;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult, Statement,
};

use crate::DataError;
use crate::measure::Measure;

/// Connections that only read: a replica, or the primary when there is none, when it does not
/// answer, or when the caller wrote recently. Every statement takes one for itself and sees all
/// that was committed before it (on a replica: all that had arrived there).
#[derive(Clone)]
pub struct Reader {
    pub(crate) replica: Option<DatabaseConnection>,
    pub(crate) primary: DatabaseConnection,
    pub(crate) measure: Arc<Measure>,
}

impl Reader {
    /// Whether the replica is to blame, so that the primary may know better.
    fn falls_back(&self, error: &DbErr) -> bool {
        let error = DataError::from(error.clone());
        let falls = matches!(error, DataError::Unavailable(_) | DataError::Busy);
        if falls {
            tracing::warn!(%error, "a replica does not answer; reading from the primary");
        }
        falls
    }

    fn done<T>(&self, since: Instant, result: Result<T, DbErr>) -> Result<T, DbErr> {
        self.measure.read(since);
        if let Err(error) = &result {
            self.measure.failed(&DataError::from(error.clone()));
        }
        result
    }
}

/// Runs `$statement` on the replica, if there is one, and on the primary if that fails.
macro_rules! read {
    ($reader:ident, $run:ident, $statement:expr) => {{
        let since = Instant::now();
        let first = match &$reader.replica {
            Some(replica) => match replica.$run($statement.clone()).await {
                Err(error) if $reader.falls_back(&error) => None,
                other => Some(other),
            },
            None => None,
        };
        let result = match first {
            Some(result) => result,
            None => $reader.primary.$run($statement).await,
        };
        $reader.done(since, result)
    }};
}

#[async_trait::async_trait]
impl ConnectionTrait for Reader {
    fn get_database_backend(&self) -> DbBackend {
        self.primary.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        read!(self, execute_raw, statement)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        read!(self, execute_unprepared, sql)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        read!(self, query_one_raw, statement)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        read!(self, query_all_raw, statement)
    }
}
