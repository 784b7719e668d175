//! Load generators and comparisons

pub mod chat;
pub mod processes;
