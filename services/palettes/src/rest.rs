//! The HTTP routes: parse, check who asks, call, answer.

#![allow(unused_qualifications, reason = "utoipa's macros write them")]

mod bodies;
mod extract;
mod read;
mod view;
mod write;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use rest::Idempotency;
use utoipa::OpenApi;

use crate::Palettes;

/// The routes of section 2 of the contract that are about palettes themselves.
pub(crate) fn routes(palettes: Palettes, keys: &Idempotency) -> Router {
    Router::new()
        .route("/palettes", post(write::create).layer(keys.layer()).get(read::list))
        .route("/palettes/{id}", get(read::get).put(write::update).delete(write::delete))
        .route("/palettes/{id}/export/{format}", get(read::export))
        .route(
            "/palettes/extract",
            post(extract::extract).layer(DefaultBodyLimit::max(extract::MAX_BODY)),
        )
        .with_state(palettes)
}

/// This service's part of the OpenAPI document.
#[derive(OpenApi)]
#[openapi(
    paths(write::create, read::get, read::list, write::update, write::delete, read::export, extract::extract),
    components(schemas(rest::FieldError)),
    tags((name = "palettes", description = "Colours that go together"))
)]
pub(crate) struct Document;
