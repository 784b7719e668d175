//! Likes, views, rankings, recommendations.
//!
//! **Owns** who likes what, how often it was looked at, and what follows from both.
//! **Calls** palettes (`GetMany`), to show what it ranks. **Emits** `popularity.changed.v1`.
//! **Handles** `palette.deleted.v1`; follows that, `palette.created.v1` and its own events live.
//!
//! **Fails** like this: without its database, 503, and what was acknowledged is there; without
//! palettes, likes go on and lists of palettes answer 503; killed, it loses at most the views of
//! the last second.
//!
//! Invariants: a like counts once; an item's likes are the number of people who like it, in every
//! committed state, whatever is killed, repeated or cancelled; any number of instances may share
//! the database.

pub mod clock;
mod counts;
mod events;
mod feed;
mod forget;
mod hydrate;
mod model;
mod move_slot;
mod operator;
mod rank;
mod recommend;
mod rest;
mod rpc;
mod settings;
mod shards;
mod store;
mod vote;
mod workers;

use std::sync::Arc;

use ::events::Log;
use axum::Router;
use contracts::erasure::erasure_server::{Erasure, ErasureServer};
use contracts::popularity::popularity_server::{Popularity, PopularityServer};
use data::{Database, Migration};
use mesh::Mesh;
use tasks::Tasks;
use tonic::service::Routes;
use utoipa::OpenApi as _;

use clock::Clock;
use counts::Counts;
use feed::Feed;
use hydrate::Hydrators;
use rank::Rankings;
use recommend::Recommendations;
use shards::Shards;
use vote::Votes;

pub use model::slots::{BadSlots, SLOTS, Slot, SlotSet};
pub use move_slot::{MoveError, Moved};
pub use operator::{Operator, ShardSlots, ShardStatus};
pub use settings::{BuildError, Settings, ShardSettings};

/// Everything this service keeps in its database.
pub const MIGRATIONS: &[&[Migration]] =
    &[data::migrations!["0001_init", "0002_slots"], ::events::MIGRATIONS];

/// What the handlers share; cheap to clone.
#[derive(Clone)]
struct Service {
    shards: Shards,
    clock: Clock,
    counts: Arc<Counts>,
    votes: Arc<Votes>,
    rankings: Arc<Rankings>,
    recommendations: Arc<Recommendations>,
    hydrators: Hydrators,
    feed: Feed,
}

/// Builds the service on an open database, and starts its background work on `tasks`.
///
/// # Errors
/// When the settings cannot be used.
pub async fn build(
    db: Database,
    log: Log,
    mesh: Mesh,
    caches: &cache::Store,
    tasks: &Tasks,
    settings: Settings,
) -> Result<Router, BuildError> {
    build_with_clock(db, log, mesh, caches, tasks, settings, Clock::default()).await
}

/// As [`build`], by another clock than this machine's.
///
/// # Errors
/// When the settings cannot be used.
pub async fn build_with_clock(
    db: Database,
    log: Log,
    mesh: Mesh,
    caches: &cache::Store,
    tasks: &Tasks,
    settings: Settings,
    clock: Clock,
) -> Result<Router, BuildError> {
    settings.check()?;
    let shards = Shards::new(db, &settings).await?;
    let counts = Arc::new(Counts::new(shards.clone(), clock.clone()));
    let rankings = Arc::new(Rankings::new(shards.clone(), clock.clone(), caches));
    let (batches, learns) = (settings.batches(), (counts.clone(), rankings.clone()));
    let votes = Votes::new(shards.clone(), clock.clone(), batches, learns.0, learns.1);
    let feed = Feed::start(shards.clone(), &settings, tasks);
    let service = Service {
        recommendations: Arc::new(Recommendations::new(shards.clone(), rankings.clone())),
        hydrators: Hydrators::new(&mesh),
        votes: Arc::new(votes),
        shards,
        clock,
        counts,
        rankings,
        feed,
    };
    let (told, clock, for_shards) = (log.clone(), service.clock.clone(), tasks.clone());
    service.shards.as_they_open(tasks, move |store| {
        ::events::relay(store.db().clone(), told.clone(), &for_shards);
        events::consume(store.clone(), clock.clone(), told.clone(), &for_shards);
    });
    let changed = service.rankings.clone();
    service.shards.keep_looking(tasks, move || changed.changed());
    let follower = events::Follower {
        counts: service.counts.clone(),
        rankings: service.rankings.clone(),
        feed: service.feed.clone(),
    };
    follower.follow(log, tasks);
    let (flush_every, after) = (settings.flush_views_every(), settings.take_over_moves_after());
    workers::start(&service, flush_every, after, tasks);
    mesh.offer::<dyn Popularity>("popularity", Arc::new(service.clone()));
    mesh.offer::<dyn Erasure>("popularity", Arc::new(service.clone()));
    let grpc = Routes::from(Router::new())
        .add_service(PopularityServer::new(service.clone()))
        .add_service(ErasureServer::new(service.clone()));
    Ok(rest::routes(service).merge(grpc.into_axum_router()))
}

/// The public routes as an OpenAPI document.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    rest::Documented::openapi()
}
