//! A hub with one topic, served as the services serve theirs: publishes at a rate, prints its
//! address when it listens.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use axum::routing::any;
use clap::Parser;
use fanout::{Frame, Hub, Settings, Upgrade};
use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval};

/// As in the program that is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serves `/` as a WebSocket.
#[derive(Parser)]
struct Arguments {
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Frames a second; 0 publishes nothing
    #[arg(long, default_value_t = 100)]
    rate: u64,
    /// Bytes of text in a frame
    #[arg(long, default_value_t = 120)]
    size: usize,
    /// Sockets to wait for before the first frame
    #[arg(long, default_value_t = 1000)]
    clients: usize,
    /// Milliseconds in which frames share a write
    #[arg(long, default_value_t = 0)]
    pace: u64,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    let pace = Duration::from_millis(arguments.pace);
    let hub: Hub<()> = Hub::new(Settings { pace, ..Settings::default() });
    let app = axum::Router::new().route("/", any(join)).with_state(hub.clone());
    let listener = TcpListener::bind(arguments.listen).await?;
    writeln!(std::io::stdout(), "listening at {}", listener.local_addr()?)?;
    if arguments.rate > 0 {
        tokio::spawn(async move {
            let frame = Frame::text(&"x".repeat(arguments.size));
            let mut due = interval(Duration::from_nanos(1_000_000_000 / arguments.rate));
            due.set_missed_tick_behavior(MissedTickBehavior::Burst);
            loop {
                due.tick().await;
                if hub.sockets() < arguments.clients {
                    continue;
                }
                hub.publish(&(), frame.clone());
            }
        });
    }
    axum::serve(listener, app).await
}

async fn join(State(hub): State<Hub<()>>, upgrade: Upgrade) -> Response {
    hub.join(upgrade, (), ())
}
