//! The chat's dialect: one path that signs up with an e-mail address and logs in without.

use std::sync::Arc;

use ::rest::{Json, Problem, json};
use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequest, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::StatusCode;
use ids::UserId;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use tower::ServiceExt;
use utoipa::ToSchema;

use super::body::{Credentials, Required, SignUpBody};
use super::cookies;
use crate::Accounts;
use crate::grant::Grant;
use crate::store::User;

/// Where it is.
pub(super) const PATH: &str = "/api/user";

/// The answer to both.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChatUser {
    message: &'static str,
    user: ChatUserInfo,
}

#[derive(Serialize, ToSchema)]
struct ChatUserInfo {
    id: UserId,
    username: String,
    email: Option<String>,
}

/// The route. `sign_up` answers those who bring an e-mail address; it alone keeps idempotency
/// keys, since a log-in creates nothing and its answer is not to be given twice.
pub(super) fn routes(accounts: Arc<Accounts>, sign_up: Router) -> Router<Arc<Accounts>> {
    Router::new().route(PATH, post(move |request| user(accounts, sign_up, request)))
}

/// Signs up with an e-mail address, logs in without.
#[utoipa::path(
    post, path = "/api/user", tag = "accounts", operation_id = "chat_user",
    params(("Idempotency-Key" = Option<String>, Header, description = "For sign-ups: repeats get the first answer")),
    request_body(content = SignUpBody, description = "With an `email` a sign-up, whose password may be \
        left out and set later; without one a log-in"),
    responses(
        (status = 201, description = "`User registered successfully`; the cookies sign in", body = ChatUser),
        (status = 200, description = "`Login successful`; the cookies sign in", body = ChatUser),
        (status = 401, description = "Wrong name or password"),
        (status = 409, description = "The name is taken, or looks like one that is"),
        (status = 422, description = "A field is not acceptable"),
        (status = 429, description = "Too many failed log-ins, or sign-ups from this address"),
    )
)]
pub(super) async fn user(accounts: Arc<Accounts>, sign_up: Router, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = match json::read(Request::from_parts(parts.clone(), body), &()).await {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    let request = Request::from_parts(parts, Body::from(body.clone()));
    if brings_email(&body) {
        let Ok(response) = sign_up.oneshot(request).await;
        return response;
    }
    log_in(accounts, request).await.unwrap_or_else(IntoResponse::into_response)
}

/// Whether the body has an e-mail address, of whatever form; what is no JSON is the log-in's to
/// refuse.
fn brings_email(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Peek {
        email: Option<IgnoredAny>,
    }
    serde_json::from_slice::<Peek>(body).is_ok_and(|peek| peek.email.is_some())
}

/// The sign-up behind the idempotency keys.
pub(super) async fn register(
    State(accounts): State<Arc<Accounts>>,
    Json(body): Json<SignUpBody>,
) -> Result<Response, Problem> {
    let required = Required { password: false, email: true };
    let wanted = body.read(required, accounts.settings.shortest_password)?;
    let (user, grant) = accounts.sign_up(wanted).await?;
    Ok(answer(&accounts, StatusCode::CREATED, "User registered successfully", user, &grant))
}

async fn log_in(accounts: Arc<Accounts>, request: Request) -> Result<Response, Problem> {
    let Json(body) = Json::<Credentials>::from_request(request, &()).await?;
    let (name, password) = body.read()?;
    let (user, grant) = accounts.log_in(&name, &password).await?;
    Ok(answer(&accounts, StatusCode::OK, "Login successful", user, &grant))
}

fn answer(
    accounts: &Accounts,
    status: StatusCode,
    message: &'static str,
    user: User,
    grant: &Grant,
) -> Response {
    let user = ChatUserInfo { id: user.id(), username: user.username, email: user.email };
    cookies::signed_in((status, Json(ChatUser { message, user })), grant, &accounts.settings)
}
