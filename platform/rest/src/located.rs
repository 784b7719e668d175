//! Where to find what a request has made.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};

/// An answer with its `Location`: a path of the gateway, in ASCII.
pub fn located(answer: impl IntoResponse, path: &str) -> Response {
    let mut response = answer.into_response();
    if let Ok(path) = HeaderValue::from_str(path) {
        response.headers_mut().insert(header::LOCATION, path);
    }
    response
}
