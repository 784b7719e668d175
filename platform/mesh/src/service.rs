//! What the mesh knows of one service: its door, if it is in this process, and its instances.

use std::sync::{Arc, OnceLock};

use crate::door::Door;
use crate::outcome::LazyMeters;
use crate::view::{Circuit, InstanceView, ServiceView};

/// One service by name, shared by all channels to it.
pub(crate) struct Service {
    pub(crate) name: Arc<str>,
    pub(crate) door: OnceLock<Door>,
    pub(crate) meters: LazyMeters,
}

impl Service {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.into(), door: OnceLock::new(), meters: LazyMeters::new() }
    }

    pub(crate) fn view(&self) -> ServiceView {
        let here = self.door.get().map(|door| InstanceView {
            host: "local".into(),
            version: String::new(),
            zone: String::new(),
            weight: 1,
            healthy: true,
            circuit: Circuit::Closed,
            in_flight: door.in_flight(),
            latency_ms: 0.0,
        });
        ServiceView { service: self.name.to_string(), local: here.is_some(), instances: here.into_iter().collect() }
    }
}
