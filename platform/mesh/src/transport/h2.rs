//! HTTP/2 with prior knowledge to an instance: one connection, many calls at once.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, Request, Response, Uri, Version, request::Parts};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::Mutex;

use crate::transport::h1::request::{is_hop_by_hop, named_by_connection};
use crate::transport::outgoing::Outgoing;
use crate::transport::{Endpoint, Failure};

/// How much an instance may send ahead: on one stream, and on the connection.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;

/// The connection to one instance, opened when first needed and after it broke.
#[derive(Default)]
pub(crate) struct Multiplexed {
    open: ArcSwapOption<SendRequest<Outgoing>>,
    /// Held while one caller opens it for all.
    opening: Mutex<()>,
}

impl Multiplexed {
    async fn sender(&self, endpoint: &Endpoint) -> Result<SendRequest<Outgoing>, Failure> {
        if let Some(sender) = self.ready() {
            return Ok(sender);
        }
        let _opening = self.opening.lock().await;
        if let Some(sender) = self.ready() {
            return Ok(sender);
        }
        let io = TokioIo::new(endpoint.connect().await?);
        let (sender, connection) = builder(endpoint.ping)
            .handshake(io)
            .await
            .map_err(|e| Failure::Connect(std::io::Error::other(e)))?;
        // Ends when the endpoint is dropped and its last call is over, or when a ping is lost.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to an instance ended");
            }
        });
        self.open.store(Some(Arc::new(sender.clone())));
        Ok(sender)
    }

    fn ready(&self) -> Option<SendRequest<Outgoing>> {
        let open = self.open.load();
        open.as_ref().filter(|s| s.is_ready()).map(|s| SendRequest::clone(s))
    }
}

fn builder(ping: Duration) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(ping)
        .keep_alive_timeout(ping)
        .keep_alive_while_idle(true);
    builder
}

/// Sends a request and waits for the response's head. Takes the body, unless nothing was sent.
pub(super) async fn send(
    endpoint: &Endpoint,
    parts: &Parts,
    body: &mut Outgoing,
) -> Result<Response<Incoming>, Failure> {
    // The connection may have ended at the moment it was used; then there is a fresh one for the
    // second try.
    match send_once(endpoint, parts, body).await {
        Err(Failure::NotSent) => send_once(endpoint, parts, body).await,
        sent => sent,
    }
}

async fn send_once(
    endpoint: &Endpoint,
    parts: &Parts,
    body: &mut Outgoing,
) -> Result<Response<Incoming>, Failure> {
    let mut sender = endpoint.multiplexed.sender(endpoint).await?;
    let copy = body.again().unwrap_or_else(|| std::mem::take(body));
    match sender.try_send_request(request(endpoint, parts, copy)).await {
        Ok(response) => Ok(response),
        Err(mut error) => {
            if let Some(unsent) = error.take_message() {
                *body = unsent.into_body();
                return Err(Failure::NotSent);
            }
            Err(failure(error.into_error()))
        }
    }
}

fn request(endpoint: &Endpoint, parts: &Parts, body: Outgoing) -> Request<Outgoing> {
    let mut request = Request::new(body);
    *request.method_mut() = parts.method.clone();
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = uri(endpoint, parts);
    let named = named_by_connection(&parts.headers);
    let mut headers = HeaderMap::with_capacity(parts.headers.len());
    for (name, value) in &parts.headers {
        // `te: trailers` is the one that HTTP/2 knows, and gRPC demands it.
        let passes = !is_hop_by_hop(name) && *name != http::header::HOST && !named.contains(name);
        if passes || (*name == http::header::TE && value == "trailers") {
            headers.append(name, value.clone());
        }
    }
    *request.headers_mut() = headers;
    request
}

fn uri(endpoint: &Endpoint, parts: &Parts) -> Uri {
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = Some(endpoint.authority.clone());
    let root = || PathAndQuery::from_static("/");
    uri.path_and_query = Some(parts.uri.path_and_query().cloned().unwrap_or_else(root));
    // All three parts are there, and were parsed before.
    Uri::from_parts(uri).unwrap_or_default()
}

/// Tells whether the instance can have worked on the request.
fn failure(error: hyper::Error) -> Failure {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(current) = cause {
        if let Some(h2) = current.downcast_ref::<h2::Error>()
            && (h2.reason() == Some(h2::Reason::REFUSED_STREAM)
                || h2.is_go_away() && h2.is_remote())
        {
            // After a GOAWAY only those streams fail with it that came too late.
            return Failure::Refused;
        }
        if let Some(caller) = current.downcast_ref::<axum::Error>() {
            return Failure::caller(&caller.to_string());
        }
        cause = current.source();
    }
    Failure::Broken(std::io::Error::other(error))
}
