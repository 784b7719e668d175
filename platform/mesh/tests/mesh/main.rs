//! The mesh as its users see it: real listeners, real or simulated networks.

#![allow(clippy::unwrap_used, missing_docs)]

mod both_ways;
mod failover;
mod fake;
mod grpc;
mod private;
mod registry;
mod simulated;
mod upstream;
