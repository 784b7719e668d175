//! `[mesh]` of the configuration. Times are milliseconds.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// `[mesh]` of the configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MeshSettings {
    /// The private address at which the services of this process answer their siblings. Port 0:
    /// any free one; `discovery` tells the others.
    pub listen: String,
    /// What siblings are told to call, if that is not what is listened on: `10.0.0.7:3799`.
    pub advertise: Option<String>,
    /// What siblings show each other as `x-atelier-mesh-secret`. Empty: none is asked for, which
    /// is right only where the private address is a loopback address.
    pub secret: String,
    /// Requests that one service works on at once; more are turned away at the door (503).
    pub max_in_flight: usize,
    /// How long a call may take when its context names no deadline. 0: for ever.
    pub call_timeout_ms: u64,
    /// How long connecting to an instance may take.
    pub connect_timeout_ms: u64,
    /// Idle HTTP/1.1 connections kept to one instance.
    pub idle_connections: usize,
    /// How long an idle HTTP/1.1 connection is kept.
    pub idle_timeout_ms: u64,
    /// How often an HTTP/2 connection is pinged; it is given up when the answer takes as long.
    pub ping_ms: u64,
    /// Failures in a row that open an instance's breaker.
    pub breaker_failures: u32,
    /// How long a breaker stays open at first; doubles with each failed probe.
    pub breaker_open_ms: u64,
    /// The longest a breaker stays open.
    pub breaker_open_max_ms: u64,
    /// The share of failures, in percent, from which an instance counts as an outlier.
    pub outlier_percent: u32,
    /// How many instances of a set may be ejected as outliers at once, in percent.
    pub outlier_share_percent: u32,
    /// How long an outlier is ejected.
    pub outlier_eject_ms: u64,
    /// Retries allowed as a percentage of requests.
    pub retry_percent: u32,
    /// Retries allowed each second on top of that.
    pub retry_per_second: u32,
    /// Time in which an old latency sample loses its weight (to 1/e).
    pub ewma_decay_ms: u64,
    /// How long a draining process goes on accepting connections after it has left the registry.
    pub drain_grace_ms: u64,
}

impl Default for MeshSettings {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:0".into(),
            advertise: None,
            secret: String::new(),
            max_in_flight: 4096,
            call_timeout_ms: 30_000,
            connect_timeout_ms: 1_000,
            idle_connections: 256,
            idle_timeout_ms: 30_000,
            ping_ms: 5_000,
            breaker_failures: 5,
            breaker_open_ms: 1_000,
            breaker_open_max_ms: 30_000,
            outlier_percent: 30,
            outlier_share_percent: 50,
            outlier_eject_ms: 5_000,
            retry_percent: 20,
            retry_per_second: 10,
            ewma_decay_ms: 10_000,
            drain_grace_ms: 300,
        }
    }
}

impl MeshSettings {
    pub(crate) fn call_timeout(&self) -> Option<Duration> {
        (self.call_timeout_ms > 0).then(|| Duration::from_millis(self.call_timeout_ms))
    }
}
