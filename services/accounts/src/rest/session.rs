//! Renewing and ending sessions.

use std::sync::Arc;

use ::rest::{Caller, Json, Problem, json};
use auth::RefreshToken;
use axum::body::Body;
use axum::extract::{FromRequest, Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};

use super::body::{RefreshBody, Tokens};
use super::cookies;
use super::log_in::without_tokens;
use crate::Accounts;

/// Renews both tokens. A refresh token works once; one used before ends its whole session.
#[utoipa::path(
    post, path = "/refresh", tag = "accounts", operation_id = "refresh",
    request_body(content = Option<RefreshBody>, description = "The refresh token, unless its cookie is sent"),
    responses(
        (status = 200, description = "Both tokens anew, as at `/login`", body = Tokens),
        (status = 401, description = "The refresh token is not valid, or was used before"),
    )
)]
pub(super) async fn refresh(State(accounts): State<Arc<Accounts>>, request: Request) -> Response {
    let renewed = async {
        let token = shown(request).await?.ok_or_else(Problem::unauthorized)?;
        // What cannot be one of our tokens is as good as one that is not there.
        let token = RefreshToken::parse(&token).ok_or_else(Problem::unauthorized)?;
        accounts.refresh(&token).await
    };
    match renewed.await {
        Ok(grant) => cookies::signed_in(Json(Tokens::of(&grant)), &grant, &accounts.settings),
        Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => {
            cookies::signed_out(without_tokens(problem), &accounts.settings)
        }
        Err(problem) => without_tokens(problem).into_response(),
    }
}

/// Ends the session: the caller's, or the one whose refresh token is sent.
#[utoipa::path(
    post, path = "/logout", tag = "accounts", operation_id = "logout",
    request_body(content = Option<RefreshBody>, description = "A refresh token, for those whose access \
        token has expired; may also come as a cookie"),
    responses(
        (status = 204, description = "The session's tokens stop working everywhere; the cookies are cleared"),
        (status = 401, description = "There is no session to end"),
    )
)]
pub(super) async fn logout(
    State(accounts): State<Arc<Accounts>>,
    Caller(caller): Caller,
    request: Request,
) -> Result<Response, Problem> {
    let token = shown(request).await?.as_deref().and_then(RefreshToken::parse);
    let answer = if accounts.log_out(caller, token).await? {
        StatusCode::NO_CONTENT.into_response()
    } else {
        Problem::unauthorized().into_response()
    };
    Ok(cookies::signed_out(answer, &accounts.settings))
}

/// The refresh token that came with a request: in its body, else as a cookie.
async fn shown(request: Request) -> Result<Option<String>, Problem> {
    let (parts, body) = request.into_parts();
    let cookie = cookie(&parts.headers);
    let bytes = json::read(Request::from_parts(parts.clone(), body), &()).await?;
    if bytes.is_empty() {
        return Ok(cookie);
    }
    let request = Request::from_parts(parts, Body::from(bytes));
    let Json(body) = Json::<RefreshBody>::from_request(request, &()).await?;
    Ok(body.token().or(cookie))
}

fn cookie(headers: &HeaderMap) -> Option<String> {
    cookies::refresh_token(headers).map(str::to_owned)
}
