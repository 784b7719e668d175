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
use crate::servers::{Server, no_answer};
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
        let (server, begun) = self.begin().await.map_err(|error| self.failed(error))?;
        let tx = Tx::new(begun);
        let worked = timeout(longest, work(&tx));
        let value = match self.while_it_answers(server, worked).await {
            Ok(Ok(Ok(value))) => value,
            Ok(Ok(Err(error))) => {
                if let Some(loss) = self.step(server, tx.rollback()).await.ok().flatten() {
                    self.servers.lost(server, &loss).await;
                }
                return Err(error);
            }
            late => {
                self.step(server, tx.rollback()).await.ok();
                let why = match late {
                    Ok(_) => "a transaction took too long",
                    Err(_) => "no answer",
                };
                return Err(self.failed(DataError::Unavailable(why.into())).into());
            }
        };
        if let Err(error) = self.step(server, tx.commit()).await.and_then(|done| done) {
            // What became of it is not known; whoever comes next should find the primary.
            self.servers.lost(server, &error).await;
            return Err(self.failed(error.into()).into());
        }
        self.measure.wrote(since);
        self.committed.send_modify(|count| *count = count.wrapping_add(1));
        Ok(value)
    }

    async fn begin(&self) -> Result<(&Server, DatabaseTransaction), DataError> {
        let mode = (self.engine == Engine::Sqlite).then_some(SqliteTransactionMode::Immediate);
        let options = TransactionOptions { sqlite_transaction_mode: mode, ..Default::default() };
        let began = Instant::now();
        let mut again = false;
        self.servers.make_sure().await;
        loop {
            let primary = self.servers.primary();
            let writer = primary.writer.clone();
            let begin = async move { writer.begin_with_options(options).await };
            match self.step(primary, begin).await.and_then(|begun| begun) {
                Ok(begun) => return Ok((primary, begun)),
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
        server: &Server,
        step: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, DbErr> {
        if self.engine == Engine::Sqlite {
            return Ok(step.await);
        }
        let done = timeout(STEP, tokio::spawn(step));
        match self.while_it_answers(server, done).await? {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_)) => Err(DbErr::Conn(RuntimeErr::Internal("the process is stopping".into()))),
            Err(_) => Err(no_answer()),
        }
    }

    /// What `work` comes to; an error as soon as the server is gone.
    async fn while_it_answers<T>(
        &self,
        server: &Server,
        work: impl Future<Output = T>,
    ) -> Result<T, DbErr> {
        server.while_it_answers(async { Ok(work.await) }).await
    }

    fn failed(&self, error: DataError) -> DataError {
        self.measure.failed(&error);
        error
    }
}
