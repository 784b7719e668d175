//! Engines, clients and faults for tests.
//!
//! - [`on_each_engine!`] makes of one test two: on SQLite, and on a real PostgreSQL that the tests
//!   of this machine share and that goes when the last of them is done; [`on_each!`] does so for
//!   engines that a crate names itself;
//! - [`Redis`], [`Nats`], [`S3`], [`Postgres`] and [`PostgresPair`] are real servers that a test may
//!   kill, pause and start again;
//! - [`Proxy`] and [`Link`] are ways to a server, with the faults of a network;
//! - [`Client`] calls a service's router as a user would, inside a `telemetry::Context`;
//! - [`cancel_at_random`] drops work somewhere in its middle;
//! - [`eventually`] waits for a condition, and not for a time.
//!
//! **Invariant.** Nothing stays behind, however a test ends: no process, no database, no file but an
//! empty lock.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod absent;
mod client;
mod engines;
mod faults;
mod link;
mod nats;
mod postgres;
mod proxy;
mod redis;
mod s3;
mod server;

pub use absent::skip;
pub use client::{Client, Reply};
pub use engines::{run, run_on_postgres, run_on_sqlite, sibling, temp_sqlite};
pub use faults::{cancel_after, cancel_at_random, eventually};
pub use link::Link;
pub use nats::Nats;
pub use postgres::{Postgres, PostgresPair};
pub use proxy::Proxy;
pub use redis::Redis;
pub use s3::S3;
pub use server::{Server, free_address};

/// Makes of one test one for each way of running it: `on_each!([embedded, redis], name, async
/// |cache: Cache| { … })` becomes the tests `name::embedded` and `name::redis`. Each way is an async
/// function beside it that makes what the test needs and calls it: `async fn redis(test: impl
/// AsyncFnOnce(Cache)) { … }`; it may use [`engine_or_skip!`].
#[macro_export]
macro_rules! on_each {
    ([$($way:ident),+ $(,)?], $(#[$meta:meta])* $name:ident, $test:expr $(,)?) => {
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            $(
                #[test]
                fn $way() {
                    $crate::run(super::$way($test));
                }
            )+
        }
    };
}

/// Makes a test run on each engine: `on_each_engine!(name, |settings: DataSettings| async move
/// { … })` becomes the tests `name::sqlite` and `name::postgres`, each with an empty database.
///
/// Without PostgreSQL on this machine the second says on standard error that it was skipped, or
/// fails if `ATELIER_REQUIRE_ENGINES=1`.
#[macro_export]
macro_rules! on_each_engine {
    ($(#[$meta:meta])* $name:ident, $test:expr $(,)?) => {
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            #[test]
            fn sqlite() {
                $crate::run_on_sqlite($test);
            }

            #[test]
            fn postgres() {
                $crate::run_on_postgres(concat!(module_path!(), "::postgres"), $test);
            }
        }
    };
}
