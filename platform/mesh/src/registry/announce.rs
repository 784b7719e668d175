//! How this process is listed: a heartbeat every second for each service it holds, at every
//! registry, and a graceful leave.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};
use tasks::Tasks;

use crate::Mesh;
use crate::registry::client::Registry;

/// Between two heartbeats; three missed ones are a death.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Until a registry that was away is tried again.
const RETRY: Duration = Duration::from_millis(200);
/// A registry that does not answer by then has missed this one.
const WITHIN: Duration = Duration::from_millis(900);

/// What this process tells the registries of itself.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    /// `host:port` at which siblings reach the private address.
    pub(crate) host: String,
    pub(crate) version: String,
    /// Services besides those that were installed in the mesh.
    pub(crate) services: Vec<String>,
}

impl Registration {
    fn of(&self, service: &str) -> Value {
        json!({ "serviceName": service, "host": self.host, "version": self.version })
    }

    /// Every service of this process, each once.
    fn services(&self, mesh: &Mesh) -> BTreeSet<String> {
        let installed = mesh.all().into_iter().filter(|s| s.door.get().is_some());
        installed.map(|s| s.name.to_string()).chain(self.services.iter().cloned()).collect()
    }
}

/// Announces every service of this process at each registry until it drains or stops.
pub(crate) fn announce(mesh: &Mesh, registration: &Registration, tasks: &Tasks) {
    for address in mesh.shared.registries.get().into_iter().flatten() {
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
    let mut listed = true;
    loop {
        let now = tell(mesh, registration, registry, Method::POST).await;
        if now != listed {
            let registry = registry.address();
            if now {
                tracing::info!(registry, "registered");
            } else {
                tracing::info!(
                    registry,
                    "the registry does not answer; serving goes on without it"
                );
            }
            listed = now;
        }
        let pause = if listed { HEARTBEAT } else { RETRY };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            // A service that was just installed need not wait.
            () = mesh.shared.installed.notified() => {}
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
    wall_clock::look();
    let told = registration.services(mesh).into_iter().map(|service| {
        let (body, method) = (registration.of(&service), method.clone());
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
