//! The pages that the gateway answers itself: health, status, the OpenAPI document.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};
use mesh::{Circuit, ServiceView};
use serde::Serialize;

use crate::body::Outbound;
use crate::cache::{Entry, Stamp};
use crate::head::Head;
use crate::routes::Page;
use crate::shared::Shared;

/// A document that does not change while the process runs.
pub(crate) struct Document(Arc<Entry>);

impl Document {
    pub(crate) fn json(text: String) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self(Arc::new(Entry::new(headers, Bytes::from(text), Duration::MAX, Stamp::default())))
    }
}

/// The answer of a page.
pub(crate) async fn answer(
    shared: &Shared,
    page: Page,
    head: &Head,
    parts: &Parts,
) -> Response<Outbound> {
    match page {
        Page::Healthz => json(StatusCode::OK, &Health { status: "ok", waiting_for: Vec::new() }),
        Page::Readyz => readyz(shared),
        Page::Status => json(StatusCode::OK, &status(shared)),
        Page::OpenApi => {
            let mut response =
                shared.openapi.0.answer(&parts.method, head, &parts.headers, true).await;
            for name in [header::AGE, header::HeaderName::from_static("x-cache")] {
                response.headers_mut().remove(name);
            }
            response
        }
    }
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waiting_for: Vec<String>,
}

fn readyz(shared: &Shared) -> Response<Outbound> {
    let waiting_for = shared.waits_for();
    if waiting_for.is_empty() {
        return json(StatusCode::OK, &Health { status: "ready", waiting_for });
    }
    let mut response =
        json(StatusCode::SERVICE_UNAVAILABLE, &Health { status: "not ready", waiting_for });
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// `GET /status`.
#[derive(Serialize)]
struct Status {
    /// `ok`, or `degraded` when a service has no healthy instance.
    status: &'static str,
    version: &'static str,
    ready: bool,
    services: Vec<ServiceView>,
}

fn status(shared: &Shared) -> Status {
    let services = shared.mesh.instances();
    let works = |view: &ServiceView| {
        view.local
            || view
                .instances
                .iter()
                .any(|i| i.healthy && matches!(i.circuit, Circuit::Closed | Circuit::HalfOpen))
    };
    let all = services.iter().all(works);
    Status {
        status: if all { "ok" } else { "degraded" },
        version: env!("CARGO_PKG_VERSION"),
        ready: shared.waits_for().is_empty(),
        services,
    }
}

fn json(status: StatusCode, body: &impl Serialize) -> Response<Outbound> {
    let mut response = (status, Json(body)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.map(Outbound::stream)
}
