//! The gateway alone, in front of plain HTTP backends that a registry lists: what a request costs
//! in it. Prints its address and a token that it accepts.
//!
//! `/` is proxied, `/cached` is proxied once and then a hit. Token check, metrics, EWMA and
//! breaker are on, as in the program.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use auth::{Principal, Signer};
use axum::extract::Query;
use axum::routing::get;
use axum::{Json, Router};
use clap::Parser;
use data::DataSettings;
use events::Log;
use ids::UserId;
use mesh::{Mesh, MeshSettings};
use serde_json::json;
use tasks::Tasks;
use tokio::net::TcpListener;

/// As in the program that is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serves the backends at `/` and, cached, at `/cached`.
#[derive(Parser)]
struct Arguments {
    #[arg(long, default_value = "127.0.0.1:9301")]
    listen: SocketAddr,
    /// Where the backends are
    #[arg(long, default_values = ["127.0.0.1:9101", "127.0.0.1:9102"])]
    backend: Vec<String>,
    /// How a backend is chosen
    #[arg(long, default_value = "peak-ewma")]
    policy: String,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    // As the program does.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(Arguments::parse()))
}

async fn run(arguments: Arguments) -> Result<(), Failure> {
    let metrics = telemetry::metrics_handle();
    let tasks = Tasks::new();
    let signer = Signer::from_pkcs8("bench", &Signer::generate()?)?;
    let who = Principal { user: UserId::new(7), session: "bench".to_owned(), staff: false };
    let token = signer.sign_access(&who, Duration::from_secs(24 * 3600));

    let mesh = Mesh::new(MeshSettings::default());
    let keys = json!({"keys": [signer.jwk()]});
    let keys =
        Router::new().route("/.well-known/jwks.json", get(move || async move { Json(keys) }));
    mesh.install("accounts", keys);
    mesh.follow(vec![registry(arguments.backend).await?.to_string()], &tasks);

    let folder = tempfile::tempdir()?;
    let log = Log::open(&DataSettings::sqlite(folder.path().join("log.db"))).await?;
    let row = |path: &str, more: serde_json::Value| {
        let mut row =
            json!({"path": path, "service": "plain", "external": true, "policy": arguments.policy});
        row.as_object_mut()
            .into_iter()
            .for_each(|row| row.extend(more.as_object().cloned().unwrap_or_default()));
        row
    };
    let rows = [row("/", json!({})), row("/cached", json!({"cache": {"ms": 3_600_000}}))];
    let settings: gateway::Settings = serde_json::from_value(json!({"route": rows}))?;
    let gateway =
        gateway::build(mesh, log, &cache::Store::embedded(), settings, "{}".to_owned(), &tasks)?;
    let listener = TcpListener::bind(arguments.listen).await?;
    writeln!(std::io::stdout(), "listening at {} with {token}", listener.local_addr()?)?;
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            metrics.upkeep();
        }
    });
    gateway.serve(listener, tasks.stopping()).await;
    Ok(())
}

/// A registry that lists the backends, and nothing ever changes.
async fn registry(backends: Vec<String>) -> Result<SocketAddr, Failure> {
    #[derive(serde::Deserialize)]
    struct Watch {
        watch: Option<u64>,
    }
    let instances: Vec<_> =
        backends.iter().map(|host| json!({"host": host, "health": "healthy"})).collect();
    let list = move |Query(asked): Query<Watch>| async move {
        if asked.watch == Some(1) {
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
        Json(json!({"index": 1, "services": [{"serviceName": "plain", "instances": instances}]}))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        axum::serve(listener, Router::new().route("/services", get(list))).await
    });
    Ok(address)
}
