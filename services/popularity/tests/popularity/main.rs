//! Popularity through its router, on a real store of each engine.

#![allow(clippy::unwrap_used, missing_docs)]

mod forgetting;
mod house;
mod likes;
mod likes_at_once;
mod rankings;
mod recommendations;
mod sockets;
mod views;
