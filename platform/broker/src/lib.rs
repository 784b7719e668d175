//! The way to NATS JetStream, as the event log and the registry take it.
//!
//! A [`Link`] is one connection, and it is never mended: when it breaks, whoever holds it makes a
//! new one. That is what keeps order. A client that reconnects by itself sends what was queued in
//! it after what was lost on the wire, and the lost one, published again, comes out behind it.
//!
//! Invariants:
//! - What [`Link::publish`] was given stands in its stream in that order, whatever broke, once all
//!   of it was acknowledged; and nothing of a broken link is sent later.
//! - A [`Follow`] gives every message from its start on, in order, or fails.
//! - Works with nats-server 2.9.10 and newer.

mod error;
mod follow;
mod link;
mod publish;
mod servers;
mod stream;

pub use error::BrokerError;
pub use follow::Follow;
pub use link::Link;
pub use publish::Outgoing;
pub use servers::Servers;
pub use stream::{Message, Stream, StreamSettings};
