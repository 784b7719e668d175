//! How this process is listed: a heartbeat every second for each service it holds, at every
//! registry, and a graceful leave.

use std::time::Duration;

use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};
use tasks::Tasks;
use tokio::time::MissedTickBehavior;

use crate::Mesh;
use crate::registry::client::Registry;

/// Between two heartbeats; three missed ones are a death.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// A registry that does not answer by then has missed this one.
const WITHIN: Duration = Duration::from_millis(900);

/// What this process tells the registries of itself.
#[derive(Clone, Debug)]
pub struct Registration {
    /// `host:port` at which siblings reach the private address.
    pub host: String,
    /// The version that runs.
    pub version: String,
    /// Where it runs.
    pub zone: String,
    /// Its share of the requests, relative to the others; at least 1.
    pub weight: u32,
}

impl Registration {
    /// This version at `host`, with weight 1.
    #[must_use]
    pub fn at(host: impl Into<String>) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_string();
        Self { host: host.into(), version, zone: String::new(), weight: 1 }
    }

    fn of(&self, service: &str) -> Value {
        json!({
            "serviceName": service,
            "host": self.host,
            "version": self.version,
            "weight": self.weight.max(1),
            "zone": self.zone,
        })
    }
}

/// Announces every service of this process at each of `registries` until it drains or stops.
pub(crate) fn announce(
    mesh: &Mesh,
    registration: &Registration,
    registries: &[String],
    tasks: &Tasks,
) {
    for address in registries {
        let (mesh, registration, address) = (mesh.clone(), registration.clone(), address.clone());
        let stopping = tasks.stopping();
        tasks.spawn_loop("registration", move || {
            let (mesh, registration, address) =
                (mesh.clone(), registration.clone(), address.clone());
            let stopping = stopping.clone();
            async move {
                let registry = match mesh.registry(&address) {
                    Ok(registry) => registry,
                    Err(error) => return tracing::error!(%error, "not registered"),
                };
                tokio::select! {
                    () = beat(&mesh, &registration, &registry) => {}
                    () = mesh.shared.draining.cancelled() => {}
                    () = stopping.cancelled() => {}
                }
                tell(&mesh, &registration, &registry, Method::DELETE).await;
            }
        });
    }
}

async fn beat(mesh: &Mesh, registration: &Registration, registry: &Registry) {
    let mut ticks = tokio::time::interval(HEARTBEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut listed = true;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            // A service that was just installed need not wait for the next tick.
            () = mesh.shared.installed.notified() => {}
        }
        let now = tell(mesh, registration, registry, Method::POST).await;
        if now != listed {
            let registry = registry.address();
            if now {
                tracing::info!(registry, "registered");
            } else {
                tracing::warn!(
                    registry,
                    "the registry does not answer; serving goes on without it"
                );
            }
            listed = now;
        }
    }
}

/// Tells a registry of every local service at once; false if one of them did not get through.
async fn tell(
    mesh: &Mesh,
    registration: &Registration,
    registry: &Registry,
    method: Method,
) -> bool {
    let services = mesh.all().into_iter().filter(|s| s.door.get().is_some());
    let told = services.map(|service| {
        let (body, method) = (registration.of(&service.name), method.clone());
        async move {
            let told = registry.ask(method, "/service", Some(&body), WITHIN).await;
            if let Err(error) = &told {
                tracing::debug!(registry = registry.address(), %error, "not told");
            }
            told.is_ok()
        }
    });
    join_all(told).await.into_iter().all(|told| told)
}
