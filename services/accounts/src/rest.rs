//! The HTTP face of the accounts: every dialect of signing up and in, profiles, tokens, keys.

mod body;
mod chat_user;
mod cookies;
mod keys;
mod log_in;
mod profile;
mod session;
mod sign_up;

use std::sync::Arc;

use ::rest::Idempotency;
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use utoipa::OpenApi;

use crate::Accounts;

/// The routes.
pub(crate) fn routes(accounts: Arc<Accounts>, keys: &Idempotency) -> Router {
    let again = from_fn_with_state(Arc::clone(&accounts), sign_up::sign_in_again);
    let creating = Router::new()
        .route("/users/register", post(sign_up::users_register))
        .route("/register", post(sign_up::register))
        .route("/signup", post(sign_up::signup))
        .route_layer(keys.layer())
        .route_layer(again.clone());
    let chat_sign_up = Router::new()
        .route(chat_user::PATH, post(chat_user::register))
        .route_layer(keys.layer())
        .route_layer(again)
        .with_state(Arc::clone(&accounts));
    Router::new()
        .merge(creating)
        .merge(chat_user::routes(Arc::clone(&accounts), chat_sign_up))
        .route("/users/login", post(log_in::users_login))
        .route("/login", post(log_in::login))
        .route("/refresh", post(session::refresh))
        .route("/logout", post(session::logout))
        .route("/users/{id}", get(profile::read).patch(profile::change).delete(profile::delete))
        .route("/.well-known/jwks.json", get(keys::jwks))
        .with_state(accounts)
}

/// The service's part of the OpenAPI document.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

#[derive(OpenApi)]
#[openapi(
    paths(
        sign_up::users_register,
        sign_up::register,
        sign_up::signup,
        chat_user::user,
        log_in::users_login,
        log_in::login,
        session::refresh,
        session::logout,
        profile::read,
        profile::change,
        profile::delete,
        keys::jwks,
    ),
    tags((name = "accounts", description = "Sign up, log in, profiles, tokens"))
)]
struct Document;
