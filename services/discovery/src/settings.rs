//! `[discovery]` of the configuration.

use broker::Servers;
use serde::{Deserialize, Serialize};

/// `[discovery]` of the configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where the registry listens. Private: whoever reaches it can redirect traffic.
    pub listen: String,
    /// Where other processes find registries, each `host:port`. Empty: at `listen`.
    pub at: Vec<String>,
    /// `nats://[USER:PASSWORD@]HOST:PORT[,nats://…]`: where several registries agree. Left out:
    /// each one knows what it is told itself.
    pub registry: Option<Servers>,
    /// The name of the bucket there.
    pub bucket: String,
    /// How many servers of a NATS cluster keep the bucket: 1, 3 or 5.
    pub bucket_replicas: usize,
    /// The most services that are known at once.
    pub max_services: usize,
    /// The most instances that are known at once.
    pub max_instances: usize,
    /// The most open tickets; the oldest is closed for one more.
    pub max_tickets: usize,
    /// When a ticket that nobody closes is closed.
    pub ticket_seconds: u64,
    /// The most watchers that wait at once.
    pub max_watchers: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8500".into(),
            at: Vec::new(),
            registry: None,
            bucket: "atelier-registry".into(),
            bucket_replicas: 1,
            max_services: 1_000,
            max_instances: 10_000,
            max_tickets: 100_000,
            ticket_seconds: 600,
            max_watchers: 10_000,
        }
    }
}

impl Settings {
    /// Where to look for registries.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        if !self.at.is_empty() {
            return self.at.clone();
        }
        // What listens everywhere is found here.
        let here = match self.listen.rsplit_once(':') {
            Some(("0.0.0.0", port)) => format!("127.0.0.1:{port}"),
            Some(("[::]", port)) => format!("[::1]:{port}"),
            _ => self.listen.clone(),
        };
        vec![here]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_that_listens_everywhere_is_found_here() {
        let at =
            |listen: &str| Settings { listen: listen.into(), ..Settings::default() }.addresses();
        assert_eq!(at("0.0.0.0:8500"), ["127.0.0.1:8500"]);
        assert_eq!(at("[::]:8500"), ["[::1]:8500"]);
        assert_eq!(at("10.0.0.7:8500"), ["10.0.0.7:8500"]);
    }
}
