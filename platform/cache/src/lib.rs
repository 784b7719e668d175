//! Bounded caches with one load a key, however many ask at once.
//!
//! - [`Cache`] is in this process: fast, for anything that need not be the same elsewhere.
//! - [`Shared`], which a [`Store`] gives, is one cache of all instances of a service if the
//!   settings name Redis nodes, and otherwise a [`Cache`]; who uses it does not see which.
//!
//! The nodes make a [`Ring`] with two copies of each key on different nodes.
//!
//! Invariants:
//! - Nothing is kept longer than its time to live, and nothing beyond a bound.
//! - What an invalidation was called for is not brought back by a load that began before it: loads
//!   hold a lease at the key, which an invalidation takes away.
//! - A node is not trusted with what it kept while an invalidation could not reach it: the
//!   invalidation gives it a new *generation*, which is part of its keys (see the module `nodes`).
//! - A load that is cut off (its caller went away) is taken over by the next who waits for it.
//! - Nobody waits for a node that does not answer but those who found out, once, for
//!   [`CacheSettings::timeout_ms`].
//!
//! Whether an answer may come from a cache at all is the caller's to decide.

mod flight;
mod format;
mod local;
mod nodes;
mod remote;
mod ring;
mod settings;
mod shared;
mod store;

pub use local::Cache;
pub use ring::Ring;
pub use settings::CacheSettings;
pub use shared::Shared;
pub use store::{BadSettings, Store};
