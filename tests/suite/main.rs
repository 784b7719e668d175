//! The system suite: the laws of the house, and the same scenarios in every shape.
#![allow(clippy::unwrap_used, missing_docs)]

mod bad_input;
mod chat;
mod command_line;
mod engine_faults;
mod faults;
mod house;
mod quick_start;
mod sessions;
