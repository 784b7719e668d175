//! The public address: connections are taken, watched, served, and brought to their end.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::body::{InFlight, Outbound};
use crate::connection::Connection;
use crate::measure;
use crate::plain::Plain;
use crate::proxy;
use crate::refusal;
use crate::shared::Shared;
use crate::transport::{Stream, Transport};
use crate::wire::{Mode, Wire};

/// The pause after a connection could not be taken, for want of file descriptors above all.
const AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(50);
/// How long a handshake under TLS may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// hyper reads at least this much of a head; the gateway's own limit stands below.
const HEAD_BUFFER: usize = 64 * 1024;
/// Requests that one HTTP/2 connection may have under way.
const STREAMS: u32 = 256;
const PING_EVERY: Duration = Duration::from_secs(20);

/// Serves connections until `stop`, then lets what runs finish.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    stop: CancellationToken,
) {
    let connections = TaskTracker::new();
    let server = Arc::new(Server { shared, tls, draining: Arc::default(), http2: http2() });
    let watch = server.shared.watch.clone();
    let watching = tokio::spawn(async move { watch.run().await });
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let server = server.clone();
                connections.spawn(async move { server.take(stream, peer).await });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(AFTER_FAILED_ACCEPT).await;
            }
        }
    }
    drop(listener);
    server.drain(&connections).await;
    watching.abort();
}

struct Server {
    shared: Arc<Shared>,
    tls: Option<TlsAcceptor>,
    /// Connections are to end after what runs on them.
    draining: Arc<Draining>,
    http2: http2::Builder<TokioExecutor>,
}

fn http2() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_BUFFER as u32)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY);
    builder
}

impl Server {
    async fn take(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        // Answers are written whole; waiting for more would only delay them.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        if self.shared.open.load(Relaxed) >= self.shared.settings.max_connections {
            return turn_away(stream, self.tls.is_some()).await;
        }
        measure::open_connections().increment(1.0);
        match self.tls.clone() {
            None => self.serve(stream, peer, Mode::Http1, false).await,
            Some(tls) => match tokio::time::timeout(HANDSHAKE_WITHIN, tls.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    self.serve(stream, peer, if http2 { Mode::Http2 } else { Mode::Http1 }, true)
                        .await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "no TLS"),
                Err(_) => measure::cut_off("handshake"),
            },
        }
        measure::open_connections().decrement(1.0);
    }

    async fn serve<S>(&self, stream: S, peer: SocketAddr, mode: Mode, secure: bool)
    where
        S: Stream,
    {
        let shared = self.shared.clone();
        let wire = Arc::new(Wire::new(shared.watch.ticks.clone(), shared.open.clone(), mode));
        let transport = Transport::new(stream, wire.clone());
        let connection = Arc::new(Connection::new(shared, wire.clone(), peer.ip(), secure));
        let draining = self.draining.clone();
        // On a task of its own, which the watch can end.
        let task = match mode {
            Mode::Http2 => {
                let http2 =
                    self.http2.serve_connection(TokioIo::new(transport), service(connection));
                tokio::spawn(until_drained(http2, |http2| http2.graceful_shutdown(), draining))
            }
            _ => tokio::spawn(http1(transport, connection, draining)),
        };
        let _watched = self.shared.watch.over(wire, task.abort_handle());
        match task.await {
            Ok(Err(error)) => tracing::debug!(%error, %peer, "connection ended"),
            Err(error) if error.is_panic() => tracing::error!(%peer, "connection panicked"),
            _ => {}
        }
    }

    /// Ends what is open: requests may finish, sockets are told to connect again.
    async fn drain(&self, connections: &TaskTracker) {
        self.shared.ready.drain();
        self.draining.begin();
        self.shared.sockets.close_all();
        connections.close();
        let within = Duration::from_millis(self.shared.settings.drain_timeout_ms);
        if tokio::time::timeout(within, connections.wait()).await.is_err() {
            tracing::warn!(left = connections.len(), "requests did not finish in time");
        }
    }
}

/// Serves a connection by hand as long as its requests are plain, and then with hyper.
async fn http1<S: Stream>(
    transport: Transport<S>,
    connection: Arc<Connection>,
    draining: Arc<Draining>,
) -> hyper::Result<()> {
    let mut wakes = pin!(draining.wakes.cancelled());
    // Asked once, it wakes this task when the time comes.
    let _ = poll_fn(|cx| Poll::Ready(wakes.as_mut().poll(cx))).await;
    let Some(transport) = Plain::new(transport).serve(&connection, &draining).await else {
        return Ok(());
    };
    let mut builder = http1::Builder::new();
    // The watch over slow clients stands in for hyper's timer.
    builder.header_read_timeout(None).max_buf_size(HEAD_BUFFER);
    let hyper = builder.serve_connection(TokioIo::new(transport), service(connection));
    until_drained(hyper.with_upgrades(), |hyper| hyper.graceful_shutdown(), draining.clone()).await
}

/// What hyper hands requests to.
fn service(
    connection: Arc<Connection>,
) -> impl HttpService<
    Incoming,
    ResBody = Outbound,
    Error = Infallible,
    Future: Future<Output = Result<Response<Outbound>, Infallible>> + Send,
> {
    service_fn(move |request: Request<Incoming>| {
        let connection = connection.clone();
        async move {
            let place = InFlight::begin(&connection.wire);
            let (parts, body) = request.into_parts();
            let body = Some(body).filter(|body| !body.is_end_stream());
            let response = proxy::serve(&connection, parts, body).await;
            Ok::<_, Infallible>(response.map(|body| body.holding(place)))
        }
    })
}

/// One connection too many.
async fn turn_away(mut stream: TcpStream, tls: bool) {
    if tls {
        return;
    }
    let told = async {
        stream.write_all(&refusal::too_many_connections()).await?;
        stream.shutdown().await
    };
    let told: Result<io::Result<()>, _> = tokio::time::timeout(Duration::from_secs(1), told).await;
    drop(told);
}

/// The end of all connections.
#[derive(Default)]
pub(crate) struct Draining {
    /// What each connection looks at whenever it runs: no lock, where the token has one.
    begun: AtomicBool,
    wakes: CancellationToken,
}

impl Draining {
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Acquire)
    }

    fn begin(&self) {
        self.begun.store(true, Release);
        self.wakes.cancel();
    }
}

/// Drives a connection to its end; once draining has begun, tells it to `end` after what runs on it.
async fn until_drained<C: Future>(
    connection: C,
    end: impl Fn(Pin<&mut C>),
    draining: Arc<Draining>,
) -> C::Output {
    let mut connection = pin!(connection);
    let mut wakes = pin!(draining.wakes.cancelled());
    let (mut asked, mut told) = (false, false);
    poll_fn(|cx: &mut Context<'_>| {
        // Asked once, it wakes this task when the time comes.
        if !asked {
            asked = true;
            let _ = wakes.as_mut().poll(cx);
        }
        if !told && draining.has_begun() {
            told = true;
            end(connection.as_mut());
        }
        connection.as_mut().poll(cx)
    })
    .await
}
