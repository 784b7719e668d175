//! Channels between services. A service never knows whether its sibling is in the same process or
//! across a network: it calls [`Mesh::channel`], and the call takes the way that is there.
//!
//! - **local**: the sibling's router, installed with [`Mesh::install`], is called directly;
//! - **remote**: one of its instances, which `discovery` lists, is called over HTTP.
//!
//! Invariant: both ways give the same deadline, caller, trace, metrics, concurrency limit,
//! panic-to-error and cancellation. The few differences that remain are listed in
//! `tests/both_ways.rs`.

mod channel;
mod door;
mod error;
mod outcome;
mod policy;
mod serve;
mod service;
mod settings;
mod view;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;

pub use channel::Channel;
pub use error::{Error, Kind};
pub use policy::Policy;
pub use serve::serve;
pub use settings::MeshSettings;
pub use view::{Circuit, InstanceView, ServiceView};

use door::Door;
use service::Service;
use tokio_util::sync::CancellationToken;

/// The channels of a process. Clones share them.
#[derive(Clone)]
pub struct Mesh {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Arc<MeshSettings>,
    services: Mutex<HashMap<String, Arc<Service>>>,
    /// Fires when this process is to leave the registry.
    draining: CancellationToken,
    /// Fires when connections of siblings are to end after what runs on them.
    closing: CancellationToken,
}

/// How long [`Mesh::drain`] waits for requests inside.
const DRAIN_WITHIN: Duration = Duration::from_secs(10);

impl Mesh {
    /// A mesh that knows no service yet.
    #[must_use]
    pub fn new(settings: MeshSettings) -> Self {
        let shared = Shared { settings: Arc::new(settings), services: Mutex::default(), draining: CancellationToken::new(), closing: CancellationToken::new() };
        Self { shared: Arc::new(shared) }
    }

    /// Makes `router` the service `name` of this process. Channels handed out before lead to it
    /// from now on. A second service of the same name is ignored, and logged.
    pub fn install(&self, name: &str, router: Router) {
        let service = self.service(name);
        let door = Door::new(service.name.clone(), router, self.shared.settings.max_in_flight);
        if service.door.set(door).is_err() {
            tracing::error!(service = name, "installed twice; the first one stays");
        }
    }

    /// A channel to the service `name`, wherever it is, now or later.
    #[must_use]
    pub fn channel(&self, name: &str) -> Channel {
        Channel::new(self.service(name), self.shared.settings.clone())
    }

    /// Every service this process holds or has heard of, by name, for `GET /status`.
    #[must_use]
    pub fn instances(&self) -> Vec<ServiceView> {
        let mut views: Vec<_> = self.all().iter().map(|s| s.view()).collect();
        views.sort_by(|a, b| a.service.cmp(&b.service));
        views
    }

    /// Leaves the registry and waits until the services of this process have finished what runs,
    /// at most 10 s. What still comes is answered.
    pub async fn drain(&self) {
        self.shared.draining.cancel();
        let services = self.all();
        let empty = async {
            tokio::time::sleep(Duration::from_millis(self.shared.settings.drain_grace_ms)).await;
            while services.iter().filter_map(|s| s.door.get()).any(|d| d.in_flight() > 0) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(DRAIN_WITHIN, empty).await.is_err() {
            tracing::warn!("requests did not finish in time");
        }
    }

    fn is_draining(&self) -> bool {
        self.shared.draining.is_cancelled()
    }

    fn all(&self) -> Vec<Arc<Service>> {
        let services = self.shared.services.lock().unwrap_or_else(PoisonError::into_inner);
        services.values().cloned().collect()
    }

    fn known(&self, name: &str) -> Option<Arc<Service>> {
        self.shared.services.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn service(&self, name: &str) -> Arc<Service> {
        let name = canonical_name(name);
        let mut services = self.shared.services.lock().unwrap_or_else(PoisonError::into_inner);
        services.entry(name).or_insert_with_key(|name| Arc::new(Service::new(name))).clone()
    }
}

/// The name under which a service is known: lower case, words joined by `-`, without a trailing
/// `-service`. `Palette Service`, `palette_service` and `palette` are one name.
#[must_use]
pub fn canonical_name(name: &str) -> String {
    let name = name.trim().to_lowercase().replace([' ', '_'], "-");
    name.strip_suffix("-service").filter(|n| !n.is_empty()).map(String::from).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_service_has_one_name() {
        for name in ["USER SERVICE", "user-service", "User_Service", " user "] {
            assert_eq!(canonical_name(name), "user");
        }
        assert_eq!(canonical_name("-service"), "-service");
    }
}
