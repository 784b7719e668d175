//! What `GET /status` shows of the mesh.

use serde::{Serialize, Serializer};

/// A service and its instances.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServiceView {
    /// The service's canonical name.
    pub service: String,
    /// Whether this process holds it; then calls go there and nowhere else.
    pub local: bool,
    /// Its instances as `discovery` lists them, and this process itself if it holds the service.
    pub instances: Vec<InstanceView>,
}

/// One instance of a service, seen from this process.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InstanceView {
    /// `host:port`; `local` for the one in this process when it is not registered.
    pub host: String,
    /// As registered.
    pub version: String,
    /// As registered.
    pub zone: String,
    /// As registered.
    pub weight: u32,
    /// Whether calls may be sent there now: `healthy` or `failing`.
    #[serde(rename = "health", serialize_with = "health")]
    pub healthy: bool,
    /// The state of its circuit.
    pub circuit: Circuit,
    /// Requests under way from this process.
    pub in_flight: usize,
    /// Peak EWMA of its latency in milliseconds, as this process measured it.
    pub latency_ms: f64,
}

fn health<S: Serializer>(healthy: &bool, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(if *healthy { "healthy" } else { "failing" })
}

/// The state of a circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Circuit {
    /// Calls pass.
    Closed,
    /// Calls do not pass until its time is over.
    Open,
    /// One call is under way as a probe.
    HalfOpen,
    /// An outlier of its set, left out for a while.
    Ejected,
}
