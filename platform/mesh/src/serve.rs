//! The private address of a process: every service it holds answers its siblings here.
//!
//! HTTP/1.1 and HTTP/2 with prior knowledge. The header [`SERVICE`] names the service, [`SECRET`]
//! shows that a sibling asks. `/healthz` and `/metrics` answer without either.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use axum::serve::Listener;
use http::{HeaderName, HeaderValue, Request, StatusCode, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rest::Problem;
use subtle::ConstantTimeEq;
use tasks::Tasks;
use telemetry::{Context, headers};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::Mesh;
use crate::error::{Error, Kind};

/// Which service of the process is called.
pub(crate) const SERVICE: HeaderName = HeaderName::from_static("x-atelier-service");
/// What siblings show each other.
pub(crate) const SECRET: HeaderName = HeaderName::from_static("x-atelier-mesh-secret");

/// Streams a sibling may have open on one HTTP/2 connection.
const STREAMS: u32 = 4096;
/// A header block that takes longer is given up. An idle connection counts as one, so this is
/// longer than siblings keep theirs.
const HEADER_TIMEOUT: Duration = Duration::from_secs(60);

/// Answers siblings at `listener` until the process stops: then it goes on for
/// `mesh.drain_grace_ms`, takes no new connections, and finishes what runs.
pub fn serve<L>(listener: L, mesh: Mesh, tasks: &Tasks)
where
    L: Listener,
    L::Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connections = tasks.clone();
    tasks.spawn("mesh listener", accept(listener, mesh, connections));
}

async fn accept<L>(mut listener: L, mesh: Mesh, tasks: Tasks)
where
    L: Listener,
    L::Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stopping = tasks.stopping();
    let grace = Duration::from_millis(mesh.shared.settings.drain_grace_ms);
    let mut closed = pin!(async {
        stopping.cancelled().await;
        if !mesh.is_draining() {
            tokio::time::sleep(grace).await;
        }
    });
    loop {
        tokio::select! {
            (io, _) = listener.accept() => tasks.spawn("mesh connection", converse(io, mesh.clone())),
            () = &mut closed => break,
        }
    }
    mesh.shared.closing.cancel();
}

async fn converse<I>(io: I, mesh: Mesh)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let ping = Duration::from_millis(mesh.shared.settings.ping_ms.max(1));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .adaptive_window(true)
        .keep_alive_interval(Some(ping))
        .keep_alive_timeout(ping);
    let closing = mesh.shared.closing.clone();
    let service = service_fn(|request| {
        let mesh = mesh.clone();
        async move { Ok::<_, Infallible>(answer(&mesh, request).await) }
    });
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(io), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "connection of a sibling ended");
    }
}

async fn answer(mesh: &Mesh, mut request: Request<Incoming>) -> Response {
    let Some(name) = request.headers_mut().remove(SERVICE) else {
        return unnamed(mesh, request.uri().path());
    };
    let secret = request.headers_mut().remove(SECRET);
    if !is_sibling(&mesh.shared.settings.secret, secret.as_ref()) {
        let detail = "this address is for siblings";
        return Problem::new(StatusCode::UNAUTHORIZED, detail).into_response();
    }
    let service = name.to_str().ok().and_then(|name| mesh.known(name));
    let Some(door) = service.as_ref().and_then(|s| s.door.get()) else {
        let name = name.to_str().unwrap_or_default().into();
        return Error::new(Kind::Unavailable, &name, 1).to_response();
    };
    let context = Context::from_headers(request.headers());
    for name in [headers::TIMEOUT, headers::CALLER, headers::CLIENT, headers::FRESH] {
        request.headers_mut().remove(name);
    }
    door.enter(context, request.map(Body::new)).await.unwrap_or_else(|e| e.to_response())
}

/// What is asked without naming a service: by an operator, a probe, Prometheus.
fn unnamed(mesh: &Mesh, path: &str) -> Response {
    match path {
        "/healthz" if mesh.is_draining() => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        "/healthz" => "ok\n".into_response(),
        "/metrics" => {
            let mut response = Response::new(Body::from(telemetry::metrics_handle().render()));
            let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, text);
            response
        }
        _ => Problem::not_found("no service was named").into_response(),
    }
}

/// Whether `shown` is the secret; takes the same time for any wrong one of its length.
fn is_sibling(secret: &str, shown: Option<&HeaderValue>) -> bool {
    secret.is_empty() || shown.is_some_and(|s| bool::from(s.as_bytes().ct_eq(secret.as_bytes())))
}
