//! Reads that begin no transaction.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sea_orm::prelude::async_trait;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult, Statement,
};
use tokio::time::timeout;

use crate::measure::Measure;
use crate::servers::{Servers, no_answer};
use crate::{BoxFuture, DataError};

/// No read takes longer.
const LONGEST: Duration = Duration::from_secs(40);
/// A replica that takes longer is not waited for: the primary is asked instead.
const LONGEST_OF_REPLICA: Duration = Duration::from_secs(5);

/// Connections that only read: to a replica, or to the primary when there is none, when it does
/// not answer, or when the caller wrote recently. Every statement takes one for itself and sees
/// all that was committed before it (on a replica: all that had arrived there).
#[derive(Clone)]
pub struct Reader {
    pub(crate) servers: Arc<Servers>,
    /// Nothing but the primary will do.
    pub(crate) fresh: bool,
    pub(crate) measure: Arc<Measure>,
}

impl Reader {
    /// Runs a statement on a replica; if that fails, on the primary; if that fails and another
    /// server has become the primary, there.
    async fn ask<T>(
        &self,
        run: impl for<'c> Fn(&'c DatabaseConnection) -> BoxFuture<'c, Result<T, DbErr>> + Send + Sync,
    ) -> Result<T, DbErr> {
        let since = Instant::now();
        let asked = async {
            match self.ask_replica(&run).await {
                Some(result) => result,
                None => self.ask_primary(&run).await,
            }
        };
        // The server ends statements sooner; this is for one that has gone without a word.
        let result = timeout(LONGEST, asked).await;
        self.measure.read(since);
        result.unwrap_or_else(|_| Err(no_answer()))
    }

    /// `None` when there is no replica to ask, or none that answers.
    async fn ask_replica<T>(
        &self,
        run: &(impl for<'c> Fn(&'c DatabaseConnection) -> BoxFuture<'c, Result<T, DbErr>> + Send + Sync),
    ) -> Option<Result<T, DbErr>> {
        let replica = (!self.fresh).then(|| self.servers.replica()).flatten()?;
        let asked = replica.while_it_answers(run(&replica.reader));
        let asked = timeout(LONGEST_OF_REPLICA, asked).await;
        match asked.unwrap_or_else(|_| Err(no_answer())) {
            Err(error) if self.failed(&error).is_transient() => {
                tracing::warn!(%error, replica = replica.shown, "reading from the primary");
                self.servers.rest(replica);
                None
            }
            result => Some(result),
        }
    }

    async fn ask_primary<T>(
        &self,
        run: &(impl for<'c> Fn(&'c DatabaseConnection) -> BoxFuture<'c, Result<T, DbErr>> + Send + Sync),
    ) -> Result<T, DbErr> {
        let primary = self.servers.primary();
        match primary.while_it_answers(run(&primary.reader)).await {
            Err(error) => {
                self.failed(&error);
                if self.servers.lost(primary, &error).await {
                    let primary = self.servers.primary();
                    return primary.while_it_answers(run(&primary.reader)).await;
                }
                Err(error)
            }
            result => result,
        }
    }

    fn failed(&self, error: &DbErr) -> DataError {
        let error = DataError::from(error.clone());
        self.measure.failed(&error);
        error
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Reader {
    fn get_database_backend(&self) -> DbBackend {
        self.servers.primary().reader.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.ask(|on| on.execute_raw(statement.clone())).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let sql = sql.to_owned();
        self.ask(|on| {
            let sql = sql.clone();
            Box::pin(async move { on.execute_unprepared(&sql).await })
        })
        .await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.ask(|on| on.query_one_raw(statement.clone())).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.ask(|on| on.query_all_raw(statement.clone())).await
    }
}
