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

/// axum answers a method that a path lacks by itself, with `Allow` but without a body. Around one
/// route it adds `Allow` after its layers have run, and only where none is set.
async fn shape(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return response;
    }
    let allow = response.headers().get(header::ALLOW).and_then(|v| v.to_str().ok());
    let problem = Problem::method_not_allowed(allow.unwrap_or_default());
    let known = allow.is_some();
    let mut response = problem.into_response();
    if !known {
        response.headers_mut().remove(header::ALLOW);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::routing::post;
    use tower::ServiceExt;

    #[tokio::test]
    async fn a_method_that_is_missing_is_told_with_those_that_are_there() {
        let routes = router(Router::new().route("/a", post(|| async {})));
        let request = Request::get("/a").body(Body::empty()).expect("a request");
        let Ok(response) = routes.oneshot(request).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()[header::ALLOW], "POST");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
}
