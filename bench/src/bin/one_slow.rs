//! Backends of which one is slow, and a steady stream of requests through whatever stands in front of
//! them: how many are answered within a second.
//!
//! `one_slow backends` prints the backends' addresses and serves; `one_slow load URL` prints what was
//! answered, as JSON. The load is open: a request is sent when its time has come, however long the
//! others take, as users do.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use clap::{Parser, Subcommand};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::Instant;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What a fast backend takes for an answer.
const FAST: Duration = Duration::from_millis(5);
/// What is in time.
const IN_TIME: Duration = Duration::from_secs(1);
/// When a request is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// One slow instance among others.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves the backends, the first of them slow
    Backends {
        #[arg(long, default_value_t = 8)]
        number: usize,
        /// What the slow one takes for an answer
        #[arg(long, default_value_t = 2000)]
        slow_ms: u64,
    },
    /// Asks at a steady rate
    Load {
        url: String,
        #[arg(long, default_value_t = 500)]
        per_second: u32,
        #[arg(long, default_value_t = 10)]
        seconds: u32,
    },
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    match Arguments::parse().command {
        Command::Backends { number, slow_ms } => {
            backends(number, Duration::from_millis(slow_ms)).await
        }
        Command::Load { url, per_second, seconds } => load(&url, per_second, seconds).await,
    }
}

async fn backends(number: usize, slow: Duration) -> Result<(), Failure> {
    let mut addresses = Vec::new();
    for place in 0..number {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        addresses.push(listener.local_addr()?.to_string());
        let takes = if place == 0 { slow } else { FAST };
        let answer = move || async move {
            tokio::time::sleep(takes).await;
            "answered"
        };
        tokio::spawn(
            async move { axum::serve(listener, Router::new().route("/", get(answer))).await },
        );
    }
    writeln!(std::io::stdout(), "{}", addresses.join(" "))?;
    std::future::pending().await
}

async fn load(url: &str, per_second: u32, seconds: u32) -> Result<(), Failure> {
    let client = Client::builder(TokioExecutor::new()).build_http::<axum::body::Body>();
    let uri: hyper::Uri = url.parse()?;
    let took = Arc::new(Mutex::new(Vec::new()));
    let mut pace = tokio::time::interval(Duration::from_secs(1) / per_second);
    let mut asked = Vec::new();
    for _ in 0..per_second * seconds {
        pace.tick().await;
        let (client, uri, took) = (client.clone(), uri.clone(), took.clone());
        asked.push(tokio::spawn(async move {
            let since = Instant::now();
            let answer = tokio::time::timeout(PATIENCE, client.get(uri)).await;
            let fine = matches!(answer, Ok(Ok(answer)) if answer.status().is_success());
            let took_it = if fine { since.elapsed() } else { PATIENCE };
            took.lock().unwrap_or_else(PoisonError::into_inner).push(took_it);
        }));
    }
    for one in asked {
        one.await?;
    }
    let mut took = took.lock().unwrap_or_else(PoisonError::into_inner).clone();
    took.sort();
    let share = |within: Duration| {
        took.iter().filter(|took| **took <= within).count() as f64 / took.len().max(1) as f64
    };
    let at = |share: f64| {
        let place = ((took.len() as f64 * share) as usize).min(took.len().saturating_sub(1));
        took.get(place).map_or(0.0, |took| took.as_secs_f64() * 1000.0)
    };
    let told = json!({"asked": took.len(), "in_time": share(IN_TIME), "p50_ms": at(0.5), "p99_ms": at(0.99), "p999_ms": at(0.999)});
    writeln!(std::io::stdout(), "{told}")?;
    Ok(())
}
