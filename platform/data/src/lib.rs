//! A database of one's own, on SQLite or PostgreSQL.
//!
//! Each service opens one [`Database`] and nobody else reads it. SQL is written once for both
//! engines (`$1` placeholders, `RETURNING`, `ON CONFLICT`) and run through [`Sql`]; SeaORM's
//! entities work on the same [`Tx`] and [`Reader`], which are `ConnectionTrait`s.
//!
//! **Invariants.**
//! - Transactions begin in [`Database::write`] and nowhere else. It runs on a task of its own, so
//!   a caller that goes away leaves neither an open transaction nor half a write.
//! - What `write` answered with `Ok` is on disk. A statement that failed dooms its transaction, on
//!   both engines: nothing after it runs and nothing before it is kept.
//! - Everything is bounded: connections, the wait for one, the wait for a lock, transactions (30 s),
//!   queues, batches.
//!   Past a bound the answer is [`DataError::Unavailable`] or [`DataError::Busy`].
//! - A replica shows at least what was acknowledged [`MOST_LAG`] ago, or is not asked; who has just
//!   written ([`telemetry::Context::fresh`]) is answered by the primary. Of two servers that take
//!   writes the one that was promoted last is the primary, and the other is not used.
//! - Opening a database that is corrupt, or that a newer version wrote, changes nothing in it.
//!
//! **Writing SQL for both engines.** Times are `BIGINT` milliseconds; ids are `{{id}}` in
//! migrations; `SUM` of a `BIGINT` is cast (`CAST(SUM(n) AS BIGINT)`), because PostgreSQL widens
//! it. A unique index is called `table_column_key`, as PostgreSQL calls the ones it names itself:
//! then [`DataError::UniqueViolation`] carries the same name on both.

mod begin;
mod database;
mod dialect;
mod error;
mod group_commit;
mod measure;
mod migration;
mod postgres;
mod probe;
mod reader;
mod roles;
mod servers;
mod settings;
mod sql;
mod sqlite;
mod transaction;
mod trust;

pub use database::Database;
pub use dialect::{Dialect, json_rows};
pub use error::DataError;
pub use group_commit::{GroupCommit, GroupCommitSettings};
pub use migration::Migration;
pub use reader::Reader;
pub use roles::MOST_LAG;
pub use sea_orm::{self, FromQueryResult, Value};
pub use settings::{DataSettings, Engine};
pub use sql::Sql;
pub use transaction::Tx;

/// A boxed future, as the callbacks of this crate return them.
pub type BoxFuture<'a, T> = futures::future::BoxFuture<'a, T>;

/// The values of a statement: `values![name, 7_i64, None::<String>]`.
#[macro_export]
macro_rules! values {
    ($($value:expr),* $(,)?) => {
        ::std::vec::Vec::<$crate::Value>::from([$($crate::Value::from($value)),*])
    };
}
