//! Channels between services. A service never knows whether its sibling is in the same process or
//! across a network: it calls [`Mesh::channel`], and the call takes the way that is there.
//!
//! - **local**: the sibling's router, installed with [`Mesh::install`], is called directly, or by a
//!   generated stub the sibling itself, as the trait that it offers with [`Mesh::offer`];
//! - **remote**: one of its instances, which `discovery` lists, is called over HTTP.
//!
//! Invariant: both ways give the same deadline, caller, trace, metrics, concurrency limit,
//! panic-to-error and cancellation. The few differences that remain are listed in
//! `tests/mesh/both_ways.rs`.

mod channel;
mod clock;
mod door;
mod error;
mod in_process;
mod outcome;
mod policy;
mod registry;
mod remote;
mod serve;
mod service;
mod settings;
mod transport;
mod view;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use axum::Router;

pub use channel::{Channel, IDEMPOTENT, idempotent};
pub use error::{Error, Kind};
pub use policy::Policy;
pub use serve::serve;
pub use settings::MeshSettings;
pub use transport::io::{Dial, Stream};
pub use view::{Circuit, InstanceView, ServiceView};

use clock::Clock;
use door::Door;
use registry::{Registration, Registry, RegistryError};
use remote::instance::{Instance, Tuning};
use service::Service;
use tasks::Tasks;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use transport::io::Dialer;

/// The most services a mesh keeps track of; a registry that lists more is not believed.
const SERVICES: usize = 1_000;

/// How long [`Mesh::drain`] waits for requests inside.
const DRAIN_WITHIN: Duration = Duration::from_secs(10);

/// The channels of a process. Clones share them.
#[derive(Clone)]
pub struct Mesh {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Arc<MeshSettings>,
    dialer: Dialer,
    tuning: Tuning,
    registries: OnceLock<Vec<String>>,
    registration: OnceLock<Registration>,
    /// A service was installed.
    installed: Notify,
    services: Mutex<HashMap<String, Arc<Service>>>,
    /// Fires when this process is to leave the registry.
    draining: CancellationToken,
    /// Fires when connections of siblings are to end after what runs on them.
    closing: CancellationToken,
}

impl Mesh {
    /// A mesh that knows no service yet.
    #[must_use]
    pub fn new(settings: MeshSettings) -> Self {
        Self::on(Dialer::default(), settings)
    }

    /// A mesh whose connections `dial` opens: for tests on a simulated network.
    #[must_use]
    pub fn simulated(settings: MeshSettings, dial: Dial) -> Self {
        Self::on(Dialer::simulated(dial), settings)
    }

    fn on(dialer: Dialer, settings: MeshSettings) -> Self {
        let shared = Shared {
            dialer,
            tuning: Tuning::new(Clock::begin(), &settings),
            settings: Arc::new(settings),
            registries: OnceLock::new(),
            registration: OnceLock::new(),
            installed: Notify::new(),
            services: Mutex::default(),
            draining: CancellationToken::new(),
            closing: CancellationToken::new(),
        };
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
        self.shared.installed.notify_waiters();
    }

    /// Lets siblings in this process call the service `name` as the trait `S`, with messages as they
    /// are instead of bytes; see [`seam::Seam`]. It counts from when the service is installed.
    pub fn offer<S: ?Sized + Send + Sync + 'static>(&self, name: &str, service: Arc<S>) {
        self.service(name).offer(service);
    }

    /// Learns from the registries at `addresses` (`host:port`) which instances there are, and
    /// goes on learning until the process stops. One registry is asked at a time; while none
    /// answers, what is known stays. To be called once.
    pub fn follow(&self, addresses: Vec<String>, tasks: &Tasks) {
        registry::follow(self.clone(), &addresses, tasks);
        // A second call follows, too, but registers nowhere new.
        drop(self.shared.registries.set(addresses));
    }

    /// Lists in each of the registries that are followed every service of this process, also
    /// those installed later, and `more`: a heartbeat every second, and a leave when the process
    /// drains or stops. A registry that is away is told when it is back.
    ///
    /// Siblings are told to call `mesh.advertise`, or else `private`.
    pub fn register<S: Into<String>>(
        &self,
        private: SocketAddr,
        version: &str,
        more: impl IntoIterator<Item = S>,
        tasks: &Tasks,
    ) {
        let host = self.shared.settings.advertise.clone().unwrap_or_else(|| private.to_string());
        if private.ip().is_unspecified() && self.shared.settings.advertise.is_none() {
            tracing::warn!(host, "siblings elsewhere cannot call this address: set mesh.advertise");
        }
        let services = more.into_iter().map(|name| canonical_name(&name.into())).collect();
        let registration = Registration { host, version: version.to_string(), services };
        registry::announce(self, &registration, tasks);
        // A second registration changes only what `instances` calls this process.
        drop(self.shared.registration.set(registration));
    }

    /// A channel to the service `name`, wherever it is, now or later.
    #[must_use]
    pub fn channel(&self, name: &str) -> Channel {
        Channel::new(self.service(name), self.shared.settings.clone())
    }

    /// A channel to each instance of the service `name` that is in another process, as far as the
    /// registry tells, with where that is: for what all of them have to hear. Each leads to its
    /// instance alone, and answers as any channel does when that cannot be asked.
    #[must_use]
    pub fn others(&self, name: &str) -> Vec<(String, Channel)> {
        let Shared { registration, tuning, settings, .. } = &*self.shared;
        let here = registration.get().map(|r| r.host.as_str());
        let service = self.service(name);
        let elsewhere = service.remote.set();
        let elsewhere = elsewhere.iter().filter(|i| Some(i.endpoint.address()) != here);
        let channel = |instance: &Arc<Instance>| {
            let alone = Service::new(&service.name, *tuning, settings);
            alone.remote.keep_to(instance.clone());
            let host = instance.endpoint.address().to_owned();
            (host, Channel::new(Arc::new(alone), settings.clone()))
        };
        elsewhere.map(channel).collect()
    }

    /// Every service this process holds or has heard of, by name, for `GET /status`.
    #[must_use]
    pub fn instances(&self) -> Vec<ServiceView> {
        let here = self.shared.registration.get().map(|r| r.host.as_str());
        let mut views: Vec<_> = self.all().iter().map(|s| s.view(here)).collect();
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

    /// The service that a registry lists as `name`, if it can be kept track of.
    fn listed(&self, name: &str) -> Option<Arc<Service>> {
        let known = self.shared.services.lock().unwrap_or_else(PoisonError::into_inner).len();
        self.known(name).or_else(|| (known < SERVICES).then(|| self.service(name)))
    }

    fn registry(&self, address: &str) -> Result<Registry, RegistryError> {
        Registry::new(address, &self.shared.dialer, &self.shared.settings)
    }

    /// Closes connections that have been idle for too long.
    fn expire_idle(&self) {
        for service in self.all() {
            service.remote.set().iter().for_each(|i| i.endpoint.pool.expire());
        }
    }

    fn service(&self, name: &str) -> Arc<Service> {
        let name = canonical_name(name);
        let Shared { services, tuning, settings, .. } = &*self.shared;
        let mut services = services.lock().unwrap_or_else(PoisonError::into_inner);
        let new = |name: &String| Arc::new(Service::new(name, *tuning, settings));
        services.entry(name).or_insert_with_key(new).clone()
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
