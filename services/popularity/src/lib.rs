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
mod rank;
mod recommend;
mod rest;
mod rpc;
mod settings;
mod store;
mod vote;
mod workers;

use std::sync::Arc;

use ::events::Log;
use axum::Router;
use contracts::erasure::erasure_server::ErasureServer;
use contracts::popularity::popularity_server::PopularityServer;
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
use store::Store;
use vote::Votes;

pub use settings::{BuildError, Settings};

/// Everything this service keeps in its database.
pub const MIGRATIONS: &[&[Migration]] = &[data::migrations!["0001_init"], ::events::MIGRATIONS];

/// What the handlers share; cheap to clone.
#[derive(Clone)]
struct Service {
    store: Store,
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
    tasks: &Tasks,
    settings: Settings,
) -> Result<Router, BuildError> {
    build_with_clock(db, log, mesh, tasks, settings, Clock::default()).await
}

/// As [`build`], by another clock than this machine's.
///
/// # Errors
/// When the settings cannot be used.
#[allow(clippy::unused_async)] // as every service is built
pub async fn build_with_clock(
    db: Database,
    log: Log,
    mesh: Mesh,
    tasks: &Tasks,
    settings: Settings,
    clock: Clock,
) -> Result<Router, BuildError> {
    settings.check()?;
    let store = Store::new(db.clone());
    let counts = Arc::new(Counts::new(store.clone(), clock.clone()));
    let rankings = Arc::new(Rankings::new(store.clone(), clock.clone()));
    let votes =
        Votes::new(&store, clock.clone(), settings.batches(), counts.clone(), rankings.clone());
    let feed = Feed::start(store.clone(), &settings, tasks);
    let service = Service {
        recommendations: Arc::new(Recommendations::new(store.clone(), rankings.clone())),
        hydrators: Hydrators::new(&mesh),
        votes: Arc::new(votes),
        store,
        clock,
        counts,
        rankings,
        feed,
    };
    ::events::relay(db, log.clone(), tasks);
    events::consume(service.store.clone(), service.clock.clone(), log.clone(), tasks);
    let follower = events::Follower {
        counts: service.counts.clone(),
        rankings: service.rankings.clone(),
        feed: service.feed.clone(),
    };
    follower.follow(log, tasks);
    workers::start(&service, settings.flush_views_every(), tasks);
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
