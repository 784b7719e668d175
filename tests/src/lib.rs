//! What the scenarios stand on: a system in any of its shapes, and people who use it.
//!
//! Invariant: a scenario never knows which shape it runs against.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]

pub mod people;
pub mod system;
pub mod wait;

pub use people::{Answer, Person};
pub use system::{Shape, System};
pub use wait::eventually;

/// Runs one scenario in every shape: `NAME::one_process`, `NAME::split`.
#[macro_export]
macro_rules! in_every_shape {
    ($name:ident, $scenario:expr) => {
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn one_process() {
                $crate::system::run(
                    env!("CARGO_BIN_EXE_system"),
                    $crate::Shape::OneProcess,
                    $scenario,
                )
                .await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn split() {
                $crate::system::run(env!("CARGO_BIN_EXE_system"), $crate::Shape::Split, $scenario)
                    .await;
            }
        }
    };
}

/// Runs one scenario against a split system with replicas: `replicated!(name, ["palettes=2"], …)`.
#[macro_export]
macro_rules! replicated {
    ($name:ident, [$($replicas:literal),*], $scenario:expr) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let shape = $crate::Shape::Replicated(&[$($replicas),*]);
            $crate::system::run(env!("CARGO_BIN_EXE_system"), shape, $scenario).await;
        }
    };
}
