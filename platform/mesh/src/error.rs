//! What a channel itself can answer in place of the service, the same on both ways.
//!
//! An error is a value here, a problem document for REST callers and a [`tonic::Status`] for gRPC
//! callers. Between processes it travels as a response marked with [`ERROR`], so that the caller's
//! channel tells "the door turned me away" from "the service answered 503".

use std::fmt;
use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use telemetry::Context;

/// Marks a response that the door of a service gave, not the service; its value is the kind.
pub(crate) const ERROR: HeaderName = HeaderName::from_static("x-atelier-mesh-error");

/// Why a call got no answer from the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No instance can be asked: none known, or every circuit open. Nothing was sent.
    Unavailable,
    /// The service works on as many requests as it may. Nothing was done.
    Busy,
    /// The deadline passed. What was asked may have been done or not.
    Deadline,
    /// The connection broke before an answer came. What was asked may have been done or not.
    Broken,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Busy => "busy",
            Self::Deadline => "deadline",
            Self::Broken => "broken",
        }
    }

    fn from_name(name: &[u8]) -> Option<Self> {
        [Self::Unavailable, Self::Busy, Self::Deadline, Self::Broken]
            .into_iter()
            .find(|k| k.name().as_bytes() == name)
    }
}

/// A call that got no answer from the service.
#[derive(Clone, Debug)]
pub struct Error {
    kind: Kind,
    service: Arc<str>,
    retry_after: u64,
    /// What a tonic client finds as this error's source, and so answers with.
    status: Box<tonic::Status>,
}

impl Error {
    pub(crate) fn new(kind: Kind, service: &Arc<str>, retry_after: u64) -> Self {
        let detail = detail(kind, service);
        let status = match kind {
            Kind::Deadline => tonic::Status::deadline_exceeded(detail),
            Kind::Unavailable | Kind::Busy | Kind::Broken => tonic::Status::unavailable(detail),
        };
        Self {
            kind,
            service: service.clone(),
            retry_after: retry_after.max(1),
            status: Box::new(status),
        }
    }

    /// What happened.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The service that was called.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The HTTP status this is answered with: 503, or 504 for a deadline.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self.kind {
            Kind::Deadline => StatusCode::GATEWAY_TIMEOUT,
            Kind::Unavailable | Kind::Busy | Kind::Broken => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Seconds after which trying again makes sense, at least 1.
    #[must_use]
    pub fn retry_after(&self) -> u64 {
        self.retry_after
    }

    /// The response of a door to a sibling's channel, which makes this error of it again.
    pub(crate) fn to_response(&self) -> Response {
        let mut response = self.clone().into_response();
        response.headers_mut().insert(ERROR, HeaderValue::from_static(self.kind.name()));
        response
    }

    /// The error that a sibling's door sent, if it did.
    pub(crate) fn from_headers(service: &Arc<str>, headers: &HeaderMap) -> Option<Self> {
        let kind = Kind::from_name(headers.get(&ERROR)?.as_bytes())?;
        let retry_after = headers
            .get(header::RETRY_AFTER)
            .and_then(|v| v.to_str().ok()?.parse().ok())
            .unwrap_or(1);
        Some(Self::new(kind, service, retry_after))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&detail(self.kind, &self.service))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.status)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = problem(status, &detail(self.kind, &self.service));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(self.retry_after));
        }
        response
    }
}

fn detail(kind: Kind, service: &str) -> String {
    match kind {
        Kind::Unavailable => format!("{service} cannot be reached at the moment"),
        Kind::Busy => format!("{service} has too much to do at the moment"),
        Kind::Deadline => format!("{service} did not answer in time"),
        Kind::Broken => format!("the connection to {service} broke"),
    }
}

/// What is answered when a handler panicked: nothing of what it said.
pub(crate) fn internal(grpc: bool) -> Response {
    const DETAIL: &str = "something went wrong here";
    if grpc {
        tonic::Status::internal(DETAIL).into_http()
    } else {
        problem(StatusCode::INTERNAL_SERVER_ERROR, DETAIL)
    }
}

/// A problem document of the public contract.
pub(crate) fn problem(status: StatusCode, detail: &str) -> Response {
    let request_id = Context::with_current(|c| c.request_id.clone());
    let body = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": detail,
        "message": "failure",
        "error": detail,
        "request_id": request_id.as_deref(),
    });
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}
