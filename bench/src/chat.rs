//! One work in several dialects: members sit in rooms, some of them say something, all of them hear
//! it. What is said carries when and by whom, so that every delivery can be checked and timed.
//!
//! A client costs a socket and some 150 bytes: one thread reads them all through epoll into one
//! buffer and parses no more of a frame than where its stamp and its number are.

mod atelier;
mod bare;
mod connect;
mod dialect;
mod ejabberd;
mod latency;
mod order;
mod progress;
mod resume;
mod run;
mod seat;
mod socketio;
mod stamp;
mod websocket;
mod worker;

pub use atelier::Atelier;
pub use bare::Bare;
pub use connect::Connector;
pub use dialect::{Dialect, Piece};
pub use ejabberd::Ejabberd;
pub use resume::{Resume, resume};
pub use run::{Pace, Run, idle, run};
pub use seat::Hall;
pub use socketio::SocketIo;
