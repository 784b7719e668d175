//! SQL that is written once for both engines.
//!
//! Statements are prepared once a connection and kept (sqlx keeps 100 of them), which works as
//! long as the text is the same each time: values travel as `$1`, never in the text.

use sea_orm::{ConnectionTrait, FromQueryResult, Statement, TryGetableMany, Value};

use crate::DataError;

/// Runs SQL on whatever runs statements: a [`crate::Tx`], a [`crate::Reader`].
pub trait Sql: ConnectionTrait {
    /// Runs a statement and tells how many rows it changed.
    fn run(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> impl Future<Output = Result<u64, DataError>> + Send {
        let statement = self.statement(sql, values);
        async move { Ok(self.execute_raw(statement).await?.rows_affected()) }
    }

    /// All rows, by the names of their columns.
    fn all<T: FromQueryResult>(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> impl Future<Output = Result<Vec<T>, DataError>> + Send {
        let statement = self.statement(sql, values);
        async move {
            let rows = self.query_all_raw(statement).await?;
            rows.iter().map(|row| Ok(T::from_query_result(row, "")?)).collect()
        }
    }

    /// The first row, by the names of its columns; the statement should have no more than one.
    fn one<T: FromQueryResult>(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> impl Future<Output = Result<Option<T>, DataError>> + Send {
        let statement = self.statement(sql, values);
        async move {
            // Read to the end, so that an error after the first row is not missed.
            let rows = self.query_all_raw(statement).await?;
            rows.first().map(|row| Ok(T::from_query_result(row, "")?)).transpose()
        }
    }

    /// All rows as tuples, by position: `rows::<(i64, String)>(…)`.
    fn rows<T: TryGetableMany>(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> impl Future<Output = Result<Vec<T>, DataError>> + Send {
        let statement = self.statement(sql, values);
        async move {
            let rows = self.query_all_raw(statement).await?;
            rows.iter().map(|row| Ok(row.try_get_many_by_index()?)).collect()
        }
    }

    /// The first row as a tuple, by position: `row::<(i64,)>("SELECT COUNT(*) …", values![])`.
    fn row<T: TryGetableMany>(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> impl Future<Output = Result<Option<T>, DataError>> + Send {
        let statement = self.statement(sql, values);
        async move {
            let rows = self.query_all_raw(statement).await?;
            rows.first().map(|row| Ok(row.try_get_many_by_index()?)).transpose()
        }
    }

    /// The statement for this engine.
    #[doc(hidden)]
    fn statement(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> Statement {
        Statement::from_sql_and_values(self.get_database_backend(), sql, values)
    }
}

impl<C: ConnectionTrait> Sql for C {}
