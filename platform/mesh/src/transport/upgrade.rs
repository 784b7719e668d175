//! A request to change the protocol, such as a WebSocket's: on a connection of its own, which
//! hyper drives until the new protocol takes it over.

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, Request, Response, Version, header};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use crate::transport::outgoing::Outgoing;
use crate::transport::{Endpoint, Failure};

/// Whether a request wants to change the protocol of its connection.
pub(crate) fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(header::UPGRADE) && headers.contains_key(header::CONNECTION)
}

/// Sends the request; the response carries its `OnUpgrade` if the instance agrees.
pub(super) async fn send(
    endpoint: &Arc<Endpoint>,
    parts: &Parts,
    body: &mut Outgoing,
) -> Result<Response<Incoming>, Failure> {
    let io = TokioIo::new(endpoint.connect().await?);
    let broken = |e: hyper::Error| Failure::Broken(std::io::Error::other(e));
    let (mut sender, connection) = http1::handshake(io).await.map_err(broken)?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "connection of an upgrade ended");
        }
    });
    let mut request = Request::new(std::mem::take(body));
    *request.method_mut() = parts.method.clone();
    *request.version_mut() = Version::HTTP_11;
    if let Some(path) = parts.uri.path_and_query() {
        *request.uri_mut() = path.clone().into();
    }
    *request.headers_mut() = parts.headers.clone();
    request.headers_mut().entry(header::HOST).or_insert_with(|| endpoint.host.clone());
    sender.send_request(request).await.map_err(broken)
}
