//! The hub and the relay over real connections, with clients of another implementation.
#![allow(clippy::unwrap_used, missing_docs)]

mod clients;
mod fan_out;
mod handshake;
mod keep_alive;
mod protocol;
mod relayed;
mod resume;
mod servers;
mod slow_readers;
