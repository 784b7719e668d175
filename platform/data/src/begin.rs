//! The only place where transactions begin, and where they end.
//!
//! What runs here is never dropped half-way: sqlx forgets a `BEGIN` that was cut off on PostgreSQL
//! and gives the connection back with a transaction open. Where a server may have gone without a
//! word, the step is left to a task of its own and no longer waited for.

use std::time::{Duration, Instant};

use sea_orm::{
    DatabaseTransaction, DbErr, RuntimeErr, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};
use tokio::time::timeout;

use crate::database::Inner;
use crate::{BoxFuture, DataError, Engine, Tx, sqlite};

/// How long a server may take for `BEGIN` (its connection included), and for `COMMIT`.
const STEP: Duration = Duration::from_secs(10);

impl Inner {
    /// Runs `work`, for no more than `longest`, and keeps or forgets what it wrote.
    pub(crate) async fn transaction<T, E, F>(&self, longest: Duration, work: F) -> Result<T, E>
    where
        F: for<'t> FnOnce(&'t Tx) -> BoxFuture<'t, Result<T, E>>,
        E: From<DataError>,
    {
        let since = Instant::now();
        let tx = Tx::new(self.begin().await.map_err(|error| self.failed(error))?);
        let value = match timeout(longest, work(&tx)).await {
            Ok(Ok(value)) => value,
            Ok(Err(error)) => {
                if let Some(loss) = self.step(tx.rollback()).await.ok().flatten() {
                    self.servers.lost(self.servers.primary(), &loss).await;
                }
                return Err(error);
            }
            Err(_) => {
                self.step(tx.rollback()).await.ok();
                let error = DataError::Unavailable("a transaction took too long".into());
                return Err(self.failed(error).into());
            }
        };
        if let Err(error) = self.step(tx.commit()).await.and_then(|done| done) {
            // What became of it is not known; whoever comes next should find the primary.
            self.servers.lost(self.servers.primary(), &error).await;
            return Err(self.failed(error.into()).into());
        }
        self.measure.wrote(since);
        self.committed.send_modify(|count| *count = count.wrapping_add(1));
        Ok(value)
    }

    async fn begin(&self) -> Result<DatabaseTransaction, DataError> {
        let mode = (self.engine == Engine::Sqlite).then_some(SqliteTransactionMode::Immediate);
        let options = TransactionOptions { sqlite_transaction_mode: mode, ..Default::default() };
        let began = Instant::now();
        let mut again = false;
        loop {
            let primary = self.servers.primary();
            let writer = primary.writer.clone();
            let begin = async move { writer.begin_with_options(options).await };
            match self.step(begin).await.and_then(|begun| begun) {
                Ok(begun) => return Ok(begun),
                // Another process writes. SQLite slept some milliseconds already.
                Err(error) if began.elapsed() < sqlite::PATIENCE && self.is_locked(&error) => {
                    tokio::time::sleep(Duration::from_micros(500)).await;
                }
                Err(error) => {
                    again = !again && self.servers.lost(primary, &error).await;
                    if !again {
                        return Err(error.into());
                    }
                }
            }
        }
    }

    fn is_locked(&self, error: &DbErr) -> bool {
        self.engine == Engine::Sqlite && DataError::from(error.clone()) == DataError::Busy
    }

    /// Waits for a step of a server for so long and no longer, without cutting it off.
    async fn step<T: Send + 'static>(
        &self,
        step: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, DbErr> {
        if self.engine == Engine::Sqlite {
            return Ok(step.await);
        }
        match timeout(STEP, tokio::spawn(step)).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_)) => Err(DbErr::Conn(RuntimeErr::Internal("the process is stopping".into()))),
            Err(_) => Err(DbErr::Conn(RuntimeErr::Internal("no answer".into()))),
        }
    }

    fn failed(&self, error: DataError) -> DataError {
        self.measure.failed(&error);
        error
    }
}
