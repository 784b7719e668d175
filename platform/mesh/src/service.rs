//! What the mesh knows of one service: its door, if it is in this process, and its instances.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use http::HeaderValue;

use crate::door::Door;
use crate::outcome::LazyMeters;
use crate::remote::Remote;
use crate::remote::instance::Tuning;
use crate::settings::MeshSettings;
use crate::view::{Circuit, InstanceView, ServiceView};

/// One service by name, shared by all channels to it.
pub(crate) struct Service {
    pub(crate) name: Arc<str>,
    /// The name as siblings are asked for it.
    pub(crate) label: HeaderValue,
    pub(crate) door: OnceLock<Door>,
    /// The service as the traits that its contracts generate, each an `Arc<dyn Trait>`.
    offers: ArcSwap<Vec<Arc<dyn Any + Send + Sync>>>,
    pub(crate) remote: Remote,
    pub(crate) meters: LazyMeters,
}

impl Service {
    pub(crate) fn new(name: &str, tuning: Tuning, settings: &MeshSettings) -> Self {
        let name: Arc<str> = name.into();
        let remote = Remote::new(name.clone(), tuning, settings);
        // A name that cannot be written into a header is no service of ours.
        let label = HeaderValue::from_str(&name).unwrap_or_else(|_| HeaderValue::from_static(""));
        Self {
            name,
            label,
            door: OnceLock::new(),
            offers: ArcSwap::default(),
            remote,
            meters: LazyMeters::new(),
        }
    }

    pub(crate) fn offer<S: ?Sized + Send + Sync + 'static>(&self, service: Arc<S>) {
        let offer: Arc<dyn Any + Send + Sync> = Arc::new(service);
        self.offers.rcu(|offers| {
            let mut offers = Vec::clone(offers);
            offers.push(offer.clone());
            offers
        });
    }

    /// The service as `S`, if it is in this process and was offered so.
    pub(crate) fn as_offered<S: ?Sized + Send + Sync + 'static>(&self) -> Option<Arc<S>> {
        self.door.get()?;
        self.offers.load().iter().find_map(|offer| offer.downcast_ref::<Arc<S>>().cloned())
    }

    /// `here` is the address at which this process is registered.
    pub(crate) fn view(&self, here: Option<&str>) -> ServiceView {
        let mut instances: Vec<_> = self.remote.set().iter().map(|i| i.view()).collect();
        let door = self.door.get();
        if let Some(door) = door {
            let host = here.unwrap_or("local");
            match instances.iter_mut().find(|i| i.host == host) {
                Some(listed) => listed.in_flight = door.in_flight(),
                None => instances.push(unlisted(host, door)),
            }
        }
        ServiceView { service: self.name.to_string(), local: door.is_some(), instances }
    }
}

/// The instance in this process, when the registry does not list it.
fn unlisted(host: &str, door: &Door) -> InstanceView {
    InstanceView {
        host: host.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        zone: String::new(),
        weight: 1,
        healthy: true,
        circuit: Circuit::Closed,
        in_flight: door.in_flight(),
        latency_ms: 0.0,
    }
}
