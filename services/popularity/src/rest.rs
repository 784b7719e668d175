//! The public routes: likes, rankings, recommendations, sockets.

mod likes;
mod lists;
mod sockets;

use axum::Router;
use axum::routing::{get, post};
use utoipa::OpenApi;

use crate::Service;

/// The routes, over this service.
pub(crate) fn routes(service: Service) -> Router {
    let routes = Router::new()
        .route("/like", post(likes::like).delete(likes::unlike))
        .route("/popular", get(lists::popular))
        .route("/popular/{category}", get(lists::popular_in_category))
        .route("/recommendations", get(lists::recommendations))
        .route("/ws/popularity", get(sockets::all))
        .route("/ws/popularity/{category}", get(sockets::category))
        .with_state(service);
    rest::router(routes)
}

/// What the routes take and answer.
#[derive(OpenApi)]
#[openapi(paths(
    likes::like,
    likes::unlike,
    lists::popular,
    lists::popular_in_category,
    lists::recommendations,
    sockets::all,
    sockets::category,
))]
pub(crate) struct Documented;
