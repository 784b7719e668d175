//! The contract of caches on every engine, and the ring under faults.
#![allow(clippy::unwrap_used, missing_docs)]

mod contract;
mod faults;
mod rings;
mod single_flight;
mod staleness;
