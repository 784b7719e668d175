//! What a channel itself can answer in place of the service, the same on both ways.
//!
//! An error is a value here, a problem document for REST callers and a [`tonic::Status`] for gRPC
//! callers. Between processes it travels as a response marked with [`ERROR`], so that the caller's
//! channel tells "the door turned me away" from "the service answered 503".

use std::fmt;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use rest::Problem;

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
    /// The connection broke before an answer came, or the request's own body did. What was asked may have been done or not.
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
        let retry_after = retry_after.max(1);
        let status = Box::new(problem(kind, service, retry_after).into());
        Self { kind, service: service.clone(), retry_after, status }
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

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        problem(error.kind, &error.service, error.retry_after)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        Problem::from(self).into_response()
    }
}

fn problem(kind: Kind, service: &str, retry_after: u64) -> Problem {
    let detail = detail(kind, service);
    match kind {
        Kind::Deadline => Problem::timed_out(detail),
        Kind::Unavailable | Kind::Busy | Kind::Broken => Problem::unavailable(retry_after, detail),
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
pub(crate) fn panicked(grpc: bool) -> Response {
    if grpc {
        tonic::Status::from(Problem::internal()).into_http()
    } else {
        Problem::internal().into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    fn error(kind: Kind) -> Error {
        Error::new(kind, &"palettes".into(), 7)
    }

    #[test]
    fn an_error_crosses_the_network_and_is_the_same() {
        for kind in [Kind::Unavailable, Kind::Busy, Kind::Deadline, Kind::Broken] {
            let response = error(kind).to_response();
            let back = Error::from_headers(&"palettes".into(), response.headers()).unwrap();
            assert_eq!(back.kind(), kind);
            if kind != Kind::Deadline {
                assert_eq!(back.retry_after(), 7);
            }
        }
        assert!(Error::from_headers(&"palettes".into(), &HeaderMap::new()).is_none());
    }

    #[test]
    fn rest_and_grpc_callers_see_the_same_problem() {
        for (kind, status) in [
            (Kind::Busy, StatusCode::SERVICE_UNAVAILABLE),
            (Kind::Deadline, StatusCode::GATEWAY_TIMEOUT),
        ] {
            let problem = Problem::from(error(kind));
            assert_eq!(problem.status(), status);
            let seen = tonic::Status::from_error(Box::new(error(kind)));
            assert_eq!(Problem::from(seen), problem);
        }
    }
}
