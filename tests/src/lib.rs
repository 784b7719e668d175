//! What the scenarios stand on: a system in any of its shapes, embedded or on engines, and people
//! who use it.
//!
//! Invariant: a scenario never knows which shape it runs against, nor what that stands on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]

pub mod engines;
pub mod people;
pub mod system;
pub mod talkers;
pub mod wait;
pub mod writers;

pub use engines::Engines;
pub use people::{Answer, Person};
pub use system::{Shape, Stand, System};
pub use talkers::{Heard, Line, Talkers};
pub use wait::eventually;
pub use writers::Writers;

/// Runs one scenario in every shape on every stand: `NAME::one_process`, `NAME::split`,
/// `NAME::one_process_on_engines`, `NAME::split_on_engines`.
#[macro_export]
macro_rules! in_every_shape {
    ($name:ident, $scenario:expr) => {
        mod $name {
            use super::*;

            $crate::cell!(one_process, OneProcess, Embedded, $scenario);
            $crate::cell!(split, Split, Embedded, $scenario);
            $crate::cell!(one_process_on_engines, OneProcess, Engines, $scenario);
            $crate::cell!(split_on_engines, Split, Engines, $scenario);
        }
    };
}

/// Runs one scenario against a split system with replicas, on every stand: `replicated!(name,
/// ["palettes=2"], …)` makes `NAME::embedded` and `NAME::on_engines`.
#[macro_export]
macro_rules! replicated {
    ($name:ident, [$($replicas:literal),*], $scenario:expr) => {
        mod $name {
            use super::*;

            $crate::cell!(embedded, Replicated(&[$($replicas),*]), Embedded, $scenario);
            $crate::cell!(on_engines, Replicated(&[$($replicas),*]), Engines, $scenario);
        }
    };
}

/// One scenario in one shape on one stand.
#[macro_export]
macro_rules! cell {
    ($name:ident, $shape:ident $(($replicas:expr))?, $stand:ident, $scenario:expr) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let shape = $crate::Shape::$shape $(($replicas))?;
            let program = env!("CARGO_BIN_EXE_system");
            $crate::system::run(program, shape, $crate::Stand::$stand, $scenario).await;
        }
    };
}
