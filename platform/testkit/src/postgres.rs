//! One PostgreSQL server for all test processes of this machine.
//!
//! Every process holds the write end of a named pipe. A supervisor (`sh`) reads it: once nobody
//! holds it, however they ended, the read comes to its end, and the supervisor waits three more
//! seconds for others, stops the server and removes its folder. A process that joins looks again,
//! once it holds the pipe, whether the server is still the current one; the supervisor takes that
//! mark away before it looks at the pipe for the last time. So one of the two notices the other.

mod server;
mod start;

pub(crate) use server::{Absent, Server};
