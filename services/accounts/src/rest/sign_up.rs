//! Signing up, in three dialects; the fourth is `chat_user`.

use std::sync::Arc;

use ::rest::idempotency::{HEADER, REPLAYED};
use ::rest::{Json, Problem, Timestamp, json};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;
use telemetry::Context;

use super::body::{
    Credentials, Message, MessageAndError, NameAndPassword, Registered, Required, SignUpBody,
};
use super::cookies;
use crate::Accounts;

/// Signs up and signs in.
#[utoipa::path(
    post, path = "/users/register", tag = "accounts", operation_id = "users_register",
    params(("Idempotency-Key" = Option<String>, Header, description = "Repeats get the first answer")),
    request_body = SignUpBody,
    responses(
        (status = 201, description = "The account; the cookies sign its owner in", body = Registered),
        (status = 409, description = "The name is taken, or looks like one that is"),
        (status = 422, description = "A field is not acceptable"),
        (status = 429, description = "Too many sign-ups from this address"),
    )
)]
pub(super) async fn users_register(
    State(accounts): State<Arc<Accounts>>,
    Json(body): Json<SignUpBody>,
) -> Result<Response, Problem> {
    let required = Required { password: true, email: false };
    let wanted = body.read(required, accounts.settings.shortest_password)?;
    let (user, grant) = accounts.sign_up(wanted).await?;
    let answer = Registered {
        user_id: user.id(),
        username: user.username,
        email: user.email,
        created_at: Timestamp(user.created_at),
    };
    Ok(cookies::signed_in((StatusCode::CREATED, Json(answer)), &grant, &accounts.settings))
}

/// Signs up and signs in, for the lobbies' clients.
#[utoipa::path(
    post, path = "/register", tag = "accounts", operation_id = "register",
    params(("Idempotency-Key" = Option<String>, Header, description = "Repeats get the first answer")),
    request_body = SignUpBody,
    responses(
        (status = 201, description = "`Registration successful.`; the cookies sign in", body = Message),
        (status = 409, description = "The name is taken, or looks like one that is"),
        (status = 422, description = "A field is not acceptable"),
        (status = 429, description = "Too many sign-ups from this address"),
    )
)]
pub(super) async fn register(
    State(accounts): State<Arc<Accounts>>,
    Json(body): Json<SignUpBody>,
) -> Result<Response, Problem> {
    let required = Required { password: true, email: true };
    let wanted = body.read(required, accounts.settings.shortest_password)?;
    let (_, grant) = accounts.sign_up(wanted).await?;
    let answer = Message { message: "Registration successful." };
    Ok(cookies::signed_in((StatusCode::CREATED, Json(answer)), &grant, &accounts.settings))
}

/// Signs up and signs in, for the images' clients.
#[utoipa::path(
    post, path = "/signup", tag = "accounts", operation_id = "signup",
    params(("Idempotency-Key" = Option<String>, Header, description = "Repeats get the first answer")),
    request_body = NameAndPassword,
    responses(
        (status = 201, description = "`success`; the cookies sign in", body = MessageAndError),
        (status = 409, description = "`existing username`"),
        (status = 422, description = "`empty/invalid name and/or password`"),
        (status = 429, description = "Too many sign-ups from this address"),
    )
)]
pub(super) async fn signup(
    State(accounts): State<Arc<Accounts>>,
    body: Result<Json<NameAndPassword>, Problem>,
) -> Result<Response, Problem> {
    let wanted = body.and_then(|Json(body)| body.read(accounts.settings.shortest_password));
    let (_, grant) = accounts.sign_up(wanted.map_err(in_its_words)?).await.map_err(in_its_words)?;
    let answer = MessageAndError { message: "success", error: "" };
    Ok(cookies::signed_in((StatusCode::CREATED, Json(answer)), &grant, &accounts.settings))
}

/// The texts that the images' clients know.
fn in_its_words(problem: Problem) -> Problem {
    let text = match problem.status() {
        StatusCode::CONFLICT => "existing username",
        StatusCode::UNPROCESSABLE_ENTITY => "empty/invalid name and/or password",
        _ => return problem,
    };
    problem.with_extra("detail", json!(text)).with_extra("error", json!(text))
}

/// The answer to a repeated sign-up is kept without its tokens, which are stored nowhere. Whoever
/// repeats it knows the password, and is logged in with it. Nobody signs up as somebody: a repeat
/// that already brings the first answer's cookies is the same request as one that does not.
pub(super) async fn sign_in_again(
    State(accounts): State<Arc<Accounts>>,
    request: Request,
    next: Next,
) -> Response {
    if !request.headers().contains_key(HEADER) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let body = match json::read(Request::from_parts(parts.clone(), body), &()).await {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    let request = Request::from_parts(parts, Body::from(body.clone()));
    let context = Context::current().unwrap_or_else(Context::background);
    let nobody = Context { caller: None, ..context };
    let mut response = nobody.scope(next.run(request)).await;
    if response.headers().contains_key(REPLAYED)
        && let Ok((name, password)) = json::parse::<Credentials>(&body).and_then(Credentials::read)
    {
        match accounts.log_in(&name, &password).await {
            Ok((_, grant)) => cookies::set(response.headers_mut(), &grant, &accounts.settings),
            Err(problem) => {
                tracing::info!(status = %problem.status(), "a repeated sign-up was not signed in")
            }
        }
    }
    response
}
