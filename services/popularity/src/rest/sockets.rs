//! `/ws/popularity` and `/ws/popularity/{category}`: sockets that only listen.

use axum::extract::State;
use axum::response::Response;
use fanout::Upgrade;
use rest::Path;

use crate::Service;

/// A WebSocket that tells of every new palette (`palette.created`) and of every change of a
/// palette's popularity (`popularity`: `palette_id`, `likes`, `views`, `rank`). Changes of one
/// palette are gathered; the last one always comes.
#[utoipa::path(
    get, path = "/ws/popularity", tag = "popularity",
    responses(
        (status = 101, description = "A WebSocket"),
        (status = 426, description = "Not a WebSocket handshake"),
        (status = 503, description = "Too many sockets"),
    )
)]
pub(crate) async fn all(State(service): State<Service>, upgrade: Upgrade) -> Response {
    service.feed.join(upgrade, None)
}

/// The same, for the palettes under one heading.
#[utoipa::path(
    get, path = "/ws/popularity/{category}", tag = "popularity",
    params(("category" = String, Path, description = "The heading, as the palettes have it")),
    responses(
        (status = 101, description = "A WebSocket"),
        (status = 426, description = "Not a WebSocket handshake"),
        (status = 503, description = "Too many sockets"),
    )
)]
pub(crate) async fn category(
    State(service): State<Service>,
    Path(category): Path<String>,
    upgrade: Upgrade,
) -> Response {
    service.feed.join(upgrade, Some(category))
}
