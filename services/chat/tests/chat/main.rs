//! The service against a real store, through its router, as its clients see it.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../support/accounts.rs"]
#[allow(dead_code, reason = "the crate's own tests use more of it")]
mod accounts;
mod chats;
mod limits;
mod lobbies;
mod messages;
mod resuming;
mod sockets;
mod world;
