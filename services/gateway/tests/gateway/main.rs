//! The gateway from outside: real sockets, fake services behind it.
#![allow(clippy::unwrap_used, missing_docs)]

mod caching;
mod drain;
mod forwarding;
mod house;
mod limits;
mod malformed;
mod pages;
mod remote;
mod slow;
mod sockets;
mod tls;
mod tokens;
