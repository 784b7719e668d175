//! The public keys that verify access tokens.

use std::sync::Arc;

use ::rest::conditional;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, header};

use crate::Accounts;

/// The keys as a JWKS (RFC 7517).
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "accounts", operation_id = "jwks",
    responses((status = 200, description = "The keys", body = Object))
)]
pub(super) async fn jwks(State(accounts): State<Arc<Accounts>>, headers: HeaderMap) -> Response {
    let mut response = conditional(&headers, "application/json", accounts.jwks.clone());
    let cache = HeaderValue::from_static("public, max-age=300");
    response.headers_mut().insert(header::CACHE_CONTROL, cache);
    response
}
