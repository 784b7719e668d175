//! Which processes a split system has and where they listen.

use std::net::SocketAddr;

use crate::config::Config;
use crate::topology::{Service, StartError};

/// One process of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// What it runs.
    pub service: Service,
    /// Which of the service's processes it is, from 1.
    pub number: usize,
    /// Where clients connect, for a gateway.
    pub listen: Option<SocketAddr>,
    /// Where the registry listens, for a registry.
    pub registry: Option<SocketAddr>,
    /// Where all registries are.
    pub registries: Vec<SocketAddr>,
}

impl Process {
    /// The process' name in logs: `palettes-2`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}-{}", self.service, self.number)
    }
}

/// The processes of a split system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan(Vec<Process>);

impl Plan {
    /// One process for each service, more where `replicas` says so.
    ///
    /// # Errors
    /// [`StartError`] for an unknown service, or for more than one registry without a broker through
    /// which they agree.
    pub fn new(config: &Config, replicas: &[(String, usize)]) -> Result<Self, StartError> {
        let mut processes = Vec::new();
        let mut wanted: Vec<(Service, usize)> = Service::ALL.map(|service| (service, 1)).into();
        for (name, number) in replicas {
            let service: Service = name.parse()?;
            if service == Service::Discovery && *number > 1 && config.discovery.registry.is_none() {
                return Err(StartError::Build {
                    service: "discovery",
                    reason: "several registries agree through a broker: set [discovery] registry"
                        .into(),
                });
            }
            wanted.iter_mut().filter(|(s, _)| *s == service).for_each(|(_, n)| *n = *number);
        }
        for (service, number) in wanted {
            if config.database(service.name()).engine().is_err() {
                return Err(StartError::Build {
                    service: service.name(),
                    reason: "the database's address starts with neither sqlite: nor postgres:"
                        .into(),
                });
            }
            processes.extend((1..=number).map(|number| Process {
                service,
                number,
                listen: None,
                registry: None,
                registries: Vec::new(),
            }));
        }
        Ok(Self(processes))
    }

    /// The plan with its addresses. Gateways and registries after the first listen on the ports
    /// after the first's.
    #[must_use]
    pub fn with_addresses(mut self, public: SocketAddr, discovery: SocketAddr) -> Self {
        for process in &mut self.0 {
            let nth = |first: SocketAddr| {
                let offset = u16::try_from(process.number - 1).unwrap_or(u16::MAX);
                SocketAddr::new(first.ip(), first.port().saturating_add(offset))
            };
            match process.service {
                Service::Gateway => process.listen = Some(nth(public)),
                Service::Discovery => process.registry = Some(nth(discovery)),
                _ => {}
            }
        }
        let registries: Vec<_> = self.0.iter().filter_map(|process| process.registry).collect();
        for process in &mut self.0 {
            process.registries.clone_from(&registries);
        }
        self
    }

    /// The processes, the registry first.
    #[must_use]
    pub fn processes(self) -> Vec<Process> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(replicas: &[(&str, usize)]) -> Result<Plan, StartError> {
        let replicas: Vec<_> = replicas.iter().map(|(s, n)| ((*s).to_owned(), *n)).collect();
        Plan::new(&Config::default(), &replicas)
    }

    #[test]
    fn every_service_has_its_process_and_some_have_more() {
        let names: Vec<_> = plan(&[("palettes", 2)])
            .expect("a plan")
            .processes()
            .iter()
            .map(Process::name)
            .collect();
        assert_eq!(
            names,
            [
                "discovery-1",
                "accounts-1",
                "palettes-1",
                "palettes-2",
                "popularity-1",
                "chat-1",
                "gateway-1"
            ]
        );
    }

    #[test]
    fn what_cannot_work_is_refused() {
        assert!(plan(&[("palette", 2)]).is_err());
        assert!(plan(&[("discovery", 2)]).is_err());
    }

    #[test]
    fn gateways_and_registries_stand_side_by_side() {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let mut config = Config::default();
        config.discovery.registry = "nats://127.0.0.1:4222".to_owned().try_into().ok();
        let replicas = [("gateway".to_owned(), 2), ("discovery".to_owned(), 2)];
        let plan = Plan::new(&config, &replicas).expect("a plan");
        let processes = plan.with_addresses(address(8080), address(8500)).processes();
        let listens: Vec<_> = processes.iter().filter_map(|p| p.listen).collect();
        assert_eq!(listens, [address(8080), address(8081)]);
        let registries = [address(8500), address(8501)];
        assert_eq!(processes.iter().filter_map(|p| p.registry).collect::<Vec<_>>(), registries);
        assert!(processes.iter().all(|process| process.registries == registries));
    }
}
