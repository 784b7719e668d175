//! The service through its router, on both engines, beside a popularity that fails on demand.
#![allow(clippy::unwrap_used, missing_docs)]

mod bad_input;
mod cache;
mod counts;
mod erasure;
mod extract;
mod files;
mod idempotency;
mod search;
mod siblings;
mod together;
mod world;
mod writes;

#[path = "../support/popularity.rs"]
mod popularity;
