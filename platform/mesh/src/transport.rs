//! How a request gets to one instance: HTTP/1.1 for REST, HTTP/2 for gRPC, a connection of its
//! own for an upgrade. Knows nothing of other instances.

pub(crate) mod h1;
mod h2;
pub(crate) mod io;
pub(crate) mod outgoing;
pub(crate) mod upgrade;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, StatusCode};
use hyper::body::Incoming;

use crate::remote::grpc;
use crate::remote::instance::Ticket;
use crate::settings::MeshSettings;
use h1::pool::Pool;
use h2::Multiplexed;
use io::{Dialer, Io};
use outgoing::Outgoing;

/// Why a request got no response from an instance.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// No connection: nothing was sent.
    #[error("connecting failed: {0}")]
    Connect(std::io::Error),
    /// The connection was not open any more: nothing was sent, the body is still there.
    #[error("the connection had ended")]
    NotSent,
    /// The instance says that it did not work on the request.
    #[error("the instance refused the request")]
    Refused,
    /// The connection ended without a byte of a response.
    #[error("the connection was closed: {0}")]
    Closed(std::io::Error),
    /// The connection ended within the response.
    #[error("the connection broke: {0}")]
    Broken(std::io::Error),
    /// What came is not HTTP.
    #[error("{0}")]
    Malformed(h1::Malformed),
    /// The caller's own body failed.
    #[error("the request's body failed: {0}")]
    Caller(axum::Error),
}

impl Failure {
    fn caller(reason: &str) -> Self {
        Self::Caller(axum::Error::new(std::io::Error::other(reason.to_string())))
    }
}

/// Where an instance is, and the connections to it.
pub(crate) struct Endpoint {
    address: String,
    /// The same as the value of a `host` field, and as part of a URI.
    host: HeaderValue,
    authority: Authority,
    dialer: Dialer,
    connect_within: Duration,
    ping: Duration,
    pub(crate) pool: Pool,
    multiplexed: Multiplexed,
}

impl Endpoint {
    /// `None` if `address` is no `host:port`.
    pub(crate) fn new(address: &str, dialer: &Dialer, settings: &MeshSettings) -> Option<Self> {
        let authority: Authority = address.parse().ok()?;
        authority.port_u16()?;
        Some(Self {
            address: address.to_string(),
            host: HeaderValue::from_str(address).ok()?,
            authority,
            dialer: dialer.clone(),
            connect_within: Duration::from_millis(settings.connect_timeout_ms),
            ping: Duration::from_millis(settings.ping_ms.max(1)),
            pool: Pool::new(
                settings.idle_connections,
                Duration::from_millis(settings.idle_timeout_ms),
            ),
            multiplexed: Multiplexed::default(),
        })
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    async fn connect(&self) -> Result<Io, Failure> {
        match tokio::time::timeout(self.connect_within, self.dialer.open(&self.address)).await {
            Ok(opened) => opened.map_err(Failure::Connect),
            Err(_) => Err(Failure::Connect(std::io::ErrorKind::TimedOut.into())),
        }
    }
}

/// What an instance answered. The body is not read yet, or only if it is small.
pub(crate) enum Answer {
    Plain(h1::Received),
    Hyper(http::Response<Incoming>),
}

impl Answer {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Plain(received) => received.status,
            Self::Hyper(response) => response.status(),
        }
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        match self {
            Self::Plain(received) => &received.headers,
            Self::Hyper(response) => response.headers(),
        }
    }

    pub(crate) fn headers_mut(&mut self) -> &mut HeaderMap {
        match self {
            Self::Plain(received) => &mut received.headers,
            Self::Hyper(response) => response.headers_mut(),
        }
    }

    /// The response; the call ends with its body.
    pub(crate) fn into_response(self, ticket: Ticket) -> Response {
        match self {
            Self::Plain(received) => {
                let mut response = Response::new(received.content.into_body(ticket));
                *response.status_mut() = received.status;
                *response.headers_mut() = received.headers;
                response
            }
            // Whoever takes over the connection is no call any more.
            Self::Hyper(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                response.map(Body::new)
            }
            Self::Hyper(response) => {
                response.map(|body| Body::new(grpc::Watched::new(body, ticket)))
            }
        }
    }
}

/// Sends a request to an instance. Takes the body, unless nothing was sent or it can be sent again.
pub(crate) async fn send(
    endpoint: &Arc<Endpoint>,
    parts: &Parts,
    body: &mut Outgoing,
    way: Way,
    idempotent: bool,
) -> Result<Answer, Failure> {
    match way {
        Way::Plain => h1::send(endpoint, parts, body, idempotent).await.map(Answer::Plain),
        Way::Multiplexed => h2::send(endpoint, parts, body).await.map(Answer::Hyper),
        Way::Upgrade => upgrade::send(endpoint, parts, body).await.map(Answer::Hyper),
    }
}

/// The protocol a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// HTTP/1.1.
    Plain,
    /// HTTP/2 with prior knowledge.
    Multiplexed,
    /// HTTP/1.1 on a connection that becomes something else.
    Upgrade,
}

impl Way {
    pub(crate) fn of(parts: &Parts, grpc: bool) -> Self {
        if grpc {
            Self::Multiplexed
        } else if upgrade::is_upgrade(&parts.headers) {
            Self::Upgrade
        } else {
            Self::Plain
        }
    }
}
