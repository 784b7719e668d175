//! Engines, clients and faults for tests.
//!
//! - [`on_each_engine!`] makes of one test two: on SQLite, and on a real PostgreSQL that the tests
//!   of this machine share and that goes when the last of them is done;
//! - [`Client`] calls a service's router as a user would, inside a `telemetry::Context`;
//! - [`cancel_at_random`] drops work somewhere in its middle, [`Link`] cuts off a PostgreSQL;
//! - [`eventually`] waits for a condition, and not for a time.
//!
//! **Invariant.** Nothing stays behind: no process, no database, no file but an empty lock.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod client;
mod engines;
mod faults;
mod link;
mod postgres;

pub use client::{Client, Reply};
pub use engines::{run_on_postgres, run_on_sqlite, sibling, temp_sqlite};
pub use faults::{cancel_after, cancel_at_random, eventually};
pub use link::Link;

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
