//! A transaction in which a failed statement is the last.
//!
//! PostgreSQL refuses everything after a statement that failed and turns `COMMIT` into a silent
//! rollback; SQLite goes on, and on a full disk goes on *outside* the transaction. [`Tx`] makes
//! both behave alike and loudly: once a statement has failed, the rest fails and so does the
//! commit. What may be there already is written with `ON CONFLICT`.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use sea_orm::prelude::async_trait;
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, Statement,
};

use crate::DataError;

/// An open transaction; it ends with the closure that [`crate::Database::write`] was given.
#[derive(Debug)]
pub struct Tx {
    inner: DatabaseTransaction,
    doomed: AtomicBool,
    /// The error by which the server went away, or took no more writes.
    loss: OnceLock<DbErr>,
}

impl Tx {
    pub(crate) fn new(inner: DatabaseTransaction) -> Self {
        Self { inner, doomed: AtomicBool::new(false), loss: OnceLock::new() }
    }

    /// Keeps what was written. A doomed transaction is rolled back and says so.
    pub(crate) async fn commit(self) -> Result<(), DbErr> {
        if let Err(doomed) = self.check() {
            self.rollback().await;
            return Err(doomed);
        }
        self.inner.commit().await
    }

    /// Forgets what was written, and tells the error, if there was one, by which the server was
    /// lost. Should even that fail, the pool discards the connection.
    pub(crate) async fn rollback(self) -> Option<DbErr> {
        if let Err(error) = self.inner.rollback().await {
            tracing::warn!(%error, "a transaction could not be rolled back; its connection is closed");
        }
        self.loss.into_inner()
    }

    fn check(&self) -> Result<(), DbErr> {
        if self.doomed.load(Ordering::Relaxed) {
            return Err(DbErr::Custom(
                "a statement of this transaction has failed, so that nothing of it is kept".into(),
            ));
        }
        Ok(())
    }

    async fn guard<T>(
        &self,
        work: impl Future<Output = Result<T, DbErr>> + Send,
    ) -> Result<T, DbErr> {
        self.check()?;
        let result = work.await;
        if let Err(error) = &result {
            if matches!(DataError::from(error.clone()), DataError::Unavailable(_)) {
                self.loss.set(error.clone()).ok();
            }
            self.doomed.store(true, Ordering::Relaxed);
        }
        result
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Tx {
    fn get_database_backend(&self) -> DbBackend {
        self.inner.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.guard(self.inner.execute_raw(statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.guard(self.inner.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.guard(self.inner.query_one_raw(statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.guard(self.inner.query_all_raw(statement)).await
    }
}
