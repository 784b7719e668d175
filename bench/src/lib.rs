//! Load generators and comparisons

pub mod processes;
