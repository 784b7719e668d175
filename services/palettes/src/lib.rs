//! Palettes: colours, search, exports, extraction.
//!
//! **Owns** the palettes, their colours in Oklab, and nothing of how popular they are.
//! **Calls** popularity: it is told of every palette that can be seen, and asked for
//! likes and views whenever one is shown. **Emits** `palette.created.v1`,
//! `palette.updated.v1`, `palette.deleted.v1`.
//!
//! **When popularity is away** palettes are read, changed and deleted as ever, shown with
//! the counts last known here, else zeros; popularity hears of changes as soon as it is
//! back. Only creating one needs it, and is undone without it (503): a palette that cannot
//! be liked would be half a palette. **When the database is away** what is in memory can
//! still be read for a while; the rest is answered with 503.
//!
//! A palette's way through the rooms: `rest` parses it into `model`, a saga
//! (`create_palette`, `update_palette`, `delete_palette`) carries it into `store` and to
//! the sibling (`popularity`), `events` tells the others.

mod create_palette;
mod delete_palette;
mod events;
pub mod export;
pub mod extract;
pub mod model;
mod popularity;
mod rest;
mod rpc;
mod settings;
mod store;
mod update_palette;

use std::sync::Arc;
use std::time::Duration;

use ::events::Log;
use ::rest::Idempotency;
use axum::Router;
use contracts::erasure::erasure_server::{Erasure, ErasureServer};
use contracts::palettes::palettes_server::{self, PalettesServer};
use data::{Database, Migration};
use mesh::Mesh;
use tasks::Tasks;
use tonic::service::Routes;
use utoipa::OpenApi as _;

use extract::Extractor;
use popularity::Popularity;
use store::{Shelf, Store};

pub use settings::{BuildError, Settings};

/// Everything this service keeps in its database.
pub const MIGRATIONS: &[&[Migration]] = &[
    data::migrations!["0001_palettes"],
    ::events::MIGRATIONS,
    saga::MIGRATIONS,
    ::rest::MIGRATIONS,
];

/// What the handlers share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Palettes {
    db: Database,
    store: Store,
    shelf: Shelf,
    popularity: Popularity,
    sagas: saga::Engine,
    extractor: Extractor,
}

/// The service: its REST and gRPC routes on one router. `db` has [`MIGRATIONS`]. Waits for
/// no sibling.
///
/// # Errors
/// Settings that cannot be.
#[allow(clippy::unused_async, reason = "every service is built the same way")]
pub async fn build(
    db: Database,
    log: Log,
    mesh: Mesh,
    tasks: &Tasks,
    settings: Settings,
) -> Result<Router, BuildError> {
    settings.check()?;
    let store = Store::new(db.clone());
    let shelf = Shelf::new(
        store.clone(),
        settings.cache_entries,
        Duration::from_secs(settings.cache_seconds),
    );
    let popularity = Popularity::new(&mesh);
    let create_within = Duration::from_secs(settings.create_within_seconds);
    let saga_settings = saga::Settings {
        give_up_after: create_within,
        // Who waits is told that it failed, even if undoing it takes longer.
        wait: create_within + Duration::from_secs(1),
        longest_pause: Duration::from_secs(2),
        ..saga::Settings::default()
    };
    let sagas = sagas(&db, &popularity, &store, saga_settings);

    events::follow(&log, shelf.clone(), tasks);
    ::events::relay(db.clone(), log, tasks);
    sagas.start(tasks);

    let keys = Idempotency::new(db.clone());
    let extractor = Extractor::new(settings.extract_memory_mib, settings.extract_queue);
    let palettes = Palettes { db, store, shelf, popularity, sagas, extractor };
    mesh.offer::<dyn palettes_server::Palettes>("palettes", Arc::new(palettes.clone()));
    mesh.offer::<dyn Erasure>("palettes", Arc::new(palettes.clone()));
    let rpc = Routes::from(Router::new())
        .add_service(PalettesServer::new(palettes.clone()))
        .add_service(ErasureServer::new(palettes.clone()));
    Ok(::rest::router(rest::routes(palettes, &keys).merge(rpc.into_axum_router())))
}

/// The operations that need popularity as well.
fn sagas(
    db: &Database,
    popularity: &Popularity,
    store: &Store,
    settings: saga::Settings,
) -> saga::Engine {
    saga::Engine::new(db.clone(), settings)
        .register(create_palette::definition(popularity))
        .register(update_palette::definition(popularity, store))
        .register(delete_palette::definition(popularity))
        .register(delete_palette::erasure(popularity))
}

/// This service's part of the OpenAPI document.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    rest::Document::openapi()
}

#[cfg(test)]
#[path = "../tests/support/popularity.rs"]
mod fake_popularity;
#[cfg(test)]
mod tests;
