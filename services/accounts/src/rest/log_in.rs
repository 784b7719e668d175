//! Logging in, in two dialects; the third is `chat_user`.

use std::sync::Arc;

use ::rest::{Json, Problem};
use axum::extract::State;
use axum::response::Response;
use serde_json::json;

use super::body::{Credentials, TokenAndUser, Tokens};
use super::cookies;
use crate::Accounts;

/// Logs in.
#[utoipa::path(
    post, path = "/users/login", tag = "accounts", operation_id = "users_login",
    request_body = Credentials,
    responses(
        (status = 200, description = "An access token; the cookies sign in", body = TokenAndUser),
        (status = 401, description = "Wrong name or password"),
        (status = 422, description = "A field is missing"),
        (status = 429, description = "Too many failures"),
    )
)]
pub(super) async fn users_login(
    State(accounts): State<Arc<Accounts>>,
    Json(body): Json<Credentials>,
) -> Result<Response, Problem> {
    let (name, password) = body.read()?;
    let (_, grant) = accounts.log_in(&name, &password).await?;
    let answer = TokenAndUser { token: grant.access.clone(), user_id: grant.user };
    Ok(cookies::signed_in(Json(answer), &grant, &accounts.settings))
}

/// Logs in and gets both tokens.
#[utoipa::path(
    post, path = "/login", tag = "accounts", operation_id = "login",
    request_body = Credentials,
    responses(
        (status = 200, description = "Both tokens, in both spellings; the cookies sign in", body = Tokens),
        (status = 401, description = "`Your login or password is not correct`, with empty tokens"),
        (status = 422, description = "A field is missing"),
        (status = 429, description = "Too many failures"),
    )
)]
pub(super) async fn login(
    State(accounts): State<Arc<Accounts>>,
    body: Result<Json<Credentials>, Problem>,
) -> Result<Response, Problem> {
    let (name, password) = body.and_then(|Json(body)| body.read()).map_err(without_tokens)?;
    let (_, grant) = accounts.log_in(&name, &password).await.map_err(without_tokens)?;
    Ok(cookies::signed_in(Json(Tokens::of(&grant)), &grant, &accounts.settings))
}

/// Every failure of this dialect has the members of its success, empty.
pub(super) fn without_tokens(problem: Problem) -> Problem {
    problem.with_extra("accessToken", json!("")).with_extra("refreshToken", json!(""))
}
