//! Popularity through its router, on one database and on several, of each engine.

#![allow(clippy::unwrap_used, missing_docs)]
#![allow(clippy::print_stdout, reason = "figures for the table of faults")]

mod cells;
mod forgetting;
mod house;
mod likes;
mod likes_at_once;
mod moves;
mod rankings;
mod recommendations;
mod shards;
mod sockets;
mod views;
