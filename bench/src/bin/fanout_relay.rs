//! A gateway as small as it can be: every socket is relayed to one upstream.

use std::io::Write;
use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::any;
use clap::Parser;
use fanout::{RelaySettings, relay};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

/// As in the program that is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Relays `/` to an upstream.
#[derive(Parser)]
struct Arguments {
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    #[arg(long)]
    upstream: SocketAddr,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    let app = axum::Router::new().route("/", any(pass)).with_state(arguments.upstream);
    let listener = TcpListener::bind(arguments.listen).await?;
    writeln!(std::io::stdout(), "listening at {}", listener.local_addr()?)?;
    axum::serve(listener, app).await
}

async fn pass(
    State(upstream): State<SocketAddr>,
    request: Request,
) -> Result<Response, StatusCode> {
    open(upstream, request).await.map_err(|_| StatusCode::BAD_GATEWAY)
}

async fn open(
    upstream: SocketAddr,
    mut request: Request,
) -> Result<Response, Box<dyn std::error::Error>> {
    let stream = TcpStream::connect(upstream).await?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection.with_upgrades());
    let client = hyper::upgrade::on(&mut request);
    let mut response = sender.send_request(request).await?;
    let upstream = hyper::upgrade::on(&mut response);
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        tokio::spawn(async move {
            if let (Ok(client), Ok(upstream)) = tokio::join!(client, upstream) {
                relay(client, upstream, RelaySettings::default()).await;
            }
        });
    }
    let (parts, body) = response.into_parts();
    Ok(Response::from_parts(parts, Body::new(body)))
}
