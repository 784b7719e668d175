//! What a path answers that no route handles.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use crate::Problem;

/// The most JSON a request may carry, in bytes.
pub const JSON_LIMIT: usize = 1024 * 1024;

/// Gives a service's routes the contract's 404, 405 with `Allow`, and the limit on JSON bodies.
/// A route that takes more sets its own `DefaultBodyLimit`.
pub fn router(routes: Router) -> Router {
    routes
        .fallback(|| async { Problem::not_found("there is nothing here") })
        .layer(from_fn(shape))
        .layer(DefaultBodyLimit::max(JSON_LIMIT))
}

/// axum answers a method that a path lacks by itself, with `Allow` but without a body.
async fn shape(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return response;
    }
    let allow = response
        .headers()
        .get(header::ALLOW)
        .and_then(|v| v.to_str().ok());
    Problem::method_not_allowed(allow.unwrap_or_default()).into_response()
}
