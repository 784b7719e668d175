//! Who runs where.
//!
//! **Owns** the registry: which instances of which service are alive, in memory. Several registries
//! tell each other through a bucket in NATS (`[discovery] registry`): a heartbeat, a leave, a ticket
//! at one of them counts at all, so it does not matter which one is asked or which one dies.
//! **Calls** nobody. **Emits** nothing; whoever wants to know watches `GET /services`.
//!
//! **How it fails.** It may be killed at any time: every process repeats its registrations each
//! second at every registry, so one that starts again knows everybody within 2 s. Its index begins
//! anew at a random place, by which watchers notice. In its first 3 s it says `warming`, and
//! clients of the mesh then only add what it lists and drop nothing; after that its word counts.
//! While it is away, clients go on with what they knew. When the bucket is away, each registry goes
//! on with the heartbeats it hears itself; instances that it knows only from others are neither
//! confirmed nor dropped until it hears the others again, and tickets count where they are given.
//!
//! Invariants: an instance is listed until 3 s after its last heartbeat and no longer (measured by
//! each registry's own steady clock from when it learned of it, so that calendars do not matter); every
//! change has an index of its own, and every watcher learns of it at once; the numbers of
//! services, instances, tickets and watchers are bounded.

mod bucket;
mod model;
mod rest;
mod serve;
mod settings;
mod state;
mod workers;

use std::sync::Arc;

use axum::Router;
use tasks::Tasks;

pub use rest::openapi;
pub use serve::serve;
pub use settings::Settings;

use state::State;

/// The registry's routes, with its background work started on `tasks`.
pub fn build(settings: &Settings, tasks: &Tasks) -> Router {
    let (outbox, bucket) = bucket::of(settings);
    let state = Arc::new(State::new(settings, tasks.stopping(), outbox));
    workers::start(&state, bucket, tasks);
    rest::routes(state)
}
