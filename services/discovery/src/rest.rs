//! Section 7 of the contract: parse, ask the registry, answer.

#![allow(unused_qualifications, reason = "utoipa's macros write them")]

mod bodies;
mod watch;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State as Shared};
use axum::routing::{get, post};
use http::{HeaderValue, header};
use rest::{Json, Problem, Timestamp};
use utoipa::OpenApi;

use crate::model::{Full, NoInstance, service_name};
use crate::state::State;
use bodies::{Close, Done, Leave, Lookup, Named, Register};

/// The routes of the registry.
pub(crate) fn routes(state: Arc<State>) -> Router {
    let routes = Router::new()
        .route("/service", get(look_up).post(register).delete(leave))
        .route("/ticket", post(close))
        .route("/services", get(watch::list))
        .with_state(state);
    rest::router(routes)
}

/// The registry's OpenAPI document. It is a private one: none of its paths exist at the gateway.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Atelier's registry", description = "Who runs where. On the private network only."),
    paths(look_up, register, leave, close, watch::list),
    components(schemas(rest::FieldError)),
    tags((name = "discovery", description = "Who runs where"))
)]
struct Document;

/// Names a healthy instance of a service: the one with the fewest open tickets.
#[utoipa::path(
    get, path = "/service", tag = "discovery", params(Lookup),
    responses((status = 200, body = Named), (status = 404, description = "no such service"),
              (status = 503, description = "none healthy"))
)]
async fn look_up(
    Shared(state): Shared<Arc<State>>,
    request: Request,
) -> Result<Json<Named>, Problem> {
    let asked = bodies::lookup(request).await?;
    let name = name(&asked.service_name)?;
    match state.hand_out(&name) {
        Ok(handed) => Ok(Json(Named { host: handed.host, conn_ticket: handed.ticket })),
        Err(NoInstance::Unknown) => Err(Problem::not_found("there is no service of that name")),
        Err(NoInstance::NoneHealthy) => {
            Err(Problem::unavailable(1, format!("no instance of {name} is healthy")))
        }
    }
}

/// Registers an instance; registering again is its heartbeat.
#[utoipa::path(
    post, path = "/service", tag = "discovery", request_body = Register,
    responses((status = 200, body = Done), (status = 422, description = "what cannot be"),
              (status = 503, description = "the registry is full"))
)]
async fn register(
    Shared(state): Shared<Arc<State>>,
    Json(body): Json<Register>,
) -> Result<Json<Done>, Problem> {
    let name = name(&body.service_name)?;
    let said = body.registration()?;
    let at = Timestamp::now().0;
    state
        .register(&name, said, at)
        .map_err(|Full| Problem::unavailable(1, "the registry is full"))?;
    Ok(Json(Done::success()))
}

/// An instance leaves.
#[utoipa::path(
    delete, path = "/service", tag = "discovery", request_body = Leave,
    responses((status = 200, body = Done), (status = 404, description = "it is not registered"))
)]
async fn leave(
    Shared(state): Shared<Arc<State>>,
    Json(body): Json<Leave>,
) -> Result<Json<Done>, Problem> {
    let name = name(&body.service_name)?;
    if state.leave(&name, &body.host) {
        Ok(Json(Done::success()))
    } else {
        Err(Problem::not_found("that instance is not registered"))
    }
}

/// Closes a ticket.
#[utoipa::path(
    post, path = "/ticket", tag = "discovery", request_body = Close,
    responses((status = 200, body = Done), (status = 404, description = "it is not open"))
)]
async fn close(
    Shared(state): Shared<Arc<State>>,
    Json(body): Json<Close>,
) -> Result<Json<Done>, Problem> {
    if state.close(&body.conn_ticket) {
        Ok(Json(Done::success()))
    } else {
        Err(Problem::not_found("that ticket is not open"))
    }
}

fn name(text: &str) -> Result<String, Problem> {
    service_name(text).ok_or_else(|| {
        Problem::invalid_field("serviceName", "1 to 64 letters, digits, spaces, `-`, `_` or `.`")
    })
}

/// What the registry says is true now and maybe not in a moment.
const NO_STORE: (header::HeaderName, HeaderValue) =
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
