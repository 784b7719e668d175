//! The accounts through their router, on each engine: every row of the contract, every error.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod bad_input;
mod chats;
mod deletion;
mod house;
mod keys;
mod log_in;
mod profile;
mod sessions;
mod shared;
mod sign_up;
