//! The watch: learns of every change in `discovery` as it happens.

use std::time::Duration;

use http::Method;
use tasks::Tasks;

use crate::Mesh;
use crate::registry::client::{Registry, RegistryError};
use crate::registry::{Group, Snapshot};

/// A registry answers a watch after 30 s at the latest.
const WATCH_WITHIN: Duration = Duration::from_secs(40);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Follows the first of `addresses` that answers, and the next when it does not any more.
pub(crate) fn follow(mesh: Mesh, addresses: &[String], tasks: &Tasks) {
    let registries: Vec<String> = addresses.to_vec();
    let stopping = tasks.stopping();
    tasks.spawn_loop("registry watch", move || {
        let (mesh, addresses, stopping) = (mesh.clone(), registries.clone(), stopping.clone());
        async move {
            tokio::select! {
                () = watch(&mesh, &addresses) => {}
                () = stopping.cancelled() => {}
            }
        }
    });
}

async fn watch(mesh: &Mesh, addresses: &[String]) {
    let registries: Vec<Registry> = addresses
        .iter()
        .filter_map(|address| match mesh.registry(address) {
            Ok(registry) => Some(registry),
            Err(error) => {
                tracing::error!(%error, "registry ignored");
                None
            }
        })
        .collect();
    let mut pause = FIRST_PAUSE;
    for registry in registries.iter().cycle() {
        let failed = follow_one(mesh, registry, &mut pause).await;
        tracing::debug!(registry = registry.address(), error = %failed, "registry does not answer");
        mesh.expire_idle();
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Follows one registry until it fails.
async fn follow_one(mesh: &Mesh, registry: &Registry, pause: &mut Duration) -> RegistryError {
    let mut index = None;
    loop {
        match changed(registry, index).await {
            Ok(snapshot) => {
                *pause = FIRST_PAUSE;
                index = Some(snapshot.index);
                apply(mesh, &snapshot);
                mesh.expire_idle();
            }
            Err(error) => return error,
        }
    }
}

async fn changed(registry: &Registry, index: Option<u64>) -> Result<Snapshot, RegistryError> {
    let path = match index {
        Some(index) => format!("/services?watch={index}"),
        None => "/services".to_string(),
    };
    let answer = registry.ask(Method::GET, &path, None, WATCH_WITHIN).await?;
    serde_json::from_slice(&answer).map_err(|e| RegistryError::Answer(e.to_string()))
}

/// Takes over a snapshot. What a warming registry does not list stays; so does the last set of a
/// service that it lists nobody of: if they are gone, their circuits say so soon enough.
fn apply(mesh: &Mesh, snapshot: &Snapshot) {
    for Group { service_name, instances } in &snapshot.services {
        let Some(service) = mesh.listed(service_name) else { continue };
        let keep = snapshot.warming || instances.is_empty();
        if instances.is_empty() && !snapshot.warming {
            service.remote.set().iter().for_each(|i| i.unlist());
        }
        service.remote.update(instances, keep, &mesh.shared.dialer, &mesh.shared.settings);
    }
}
