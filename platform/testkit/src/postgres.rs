//! PostgreSQL: one server that all test processes of this machine share, and servers of a test's
//! own, which it may kill.
//!
//! Every process holds the write end of a named pipe of the shared one. A supervisor (`sh`) reads
//! it: once nobody holds it, however they ended, the read comes to its end, and the supervisor
//! waits three more seconds for others, stops the server and removes its folder. A process that
//! joins looks again, once it holds the pipe, whether the server is still the current one; the
//! supervisor takes that mark away before it looks at the pipe for the last time. So one of the two
//! notices the other.

mod own;
mod pair;
mod programs;
mod shared;
mod start;

pub use own::Postgres;
pub use pair::PostgresPair;
pub(crate) use shared::{Absent, Shared};
