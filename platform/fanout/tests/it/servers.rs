//! Servers on a free port, over plain TCP and over a stream that hides it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::response::Response;
use axum::routing::any;
use fanout::{Close, Frame, Hub, Key, Meta, Snapshot, Upgrade};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// What the connections are made of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wire {
    /// axum's own server: the hub gets the TCP stream.
    Plain,
    /// The hub gets a box.
    Hidden,
}

pub(crate) const WIRES: [Wire; 2] = [Wire::Plain, Wire::Hidden];

pub(crate) async fn serve(wire: Wire, router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    match wire {
        Wire::Plain => {
            tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        }
        Wire::Hidden => {
            tokio::spawn(async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let service = TowerToHyperService::new(router.clone());
                    let io = TokioIo::new(Hidden(stream));
                    let http = hyper::server::conn::http1::Builder::new();
                    tokio::spawn(http.serve_connection(io, service).with_upgrades());
                }
            });
        }
    }
    address
}

/// One path, `/`, whose sockets read `key` and are told `welcome` when they do.
pub(crate) fn welcoming<K: Key, M: Meta + Clone + Sync>(
    hub: &Hub<K, M>,
    key: K,
    meta: M,
) -> Router {
    let hub = hub.clone();
    joining(move |upgrade| {
        hub.join_with(upgrade, key.clone(), meta.clone(), || async {
            Ok::<_, Close>(Snapshot::from(vec![Frame::text("welcome")]))
        })
    })
}

/// One path, `/`, answered by `join`.
pub(crate) fn joining(
    join: impl Fn(Upgrade) -> Response + Clone + Send + Sync + 'static,
) -> Router {
    Router::new().route("/", any(move |upgrade: Upgrade| async move { join(upgrade) }))
}

struct Hidden(TcpStream);

impl AsyncRead for Hidden {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Hidden {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
