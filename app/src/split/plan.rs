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
    /// Where the registry is.
    pub discovery: Option<SocketAddr>,
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
    /// [`StartError`] for an unknown service, or more than one registry: it keeps its state in
    /// memory, and heartbeats restore it in the process that takes its place.
    pub fn new(config: &Config, replicas: &[(String, usize)]) -> Result<Self, StartError> {
        let mut processes = Vec::new();
        let mut wanted: Vec<(Service, usize)> = Service::ALL.map(|service| (service, 1)).into();
        for (name, number) in replicas {
            let service: Service = name.parse()?;
            if service == Service::Discovery && *number > 1 {
                return Err(StartError::Build {
                    service: "discovery",
                    reason: "one machine has one registry; traffic goes on while it restarts"
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
                discovery: None,
            }));
        }
        Ok(Self(processes))
    }

    /// The plan with its addresses. Gateways after the first listen on the ports after the first's.
    #[must_use]
    pub fn with_addresses(mut self, public: SocketAddr, discovery: SocketAddr) -> Self {
        for process in &mut self.0 {
            process.discovery = Some(discovery);
            if process.service == Service::Gateway {
                let offset = u16::try_from(process.number - 1).unwrap_or(u16::MAX);
                let port = public.port().saturating_add(offset);
                process.listen = Some(SocketAddr::new(public.ip(), port));
            }
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
            ["discovery-1", "accounts-1", "palettes-1", "palettes-2", "popularity-1", "gateway-1"]
        );
    }

    #[test]
    fn what_cannot_work_is_refused() {
        assert!(plan(&[("palette", 2)]).is_err());
        assert!(plan(&[("discovery", 2)]).is_err());
    }

    #[test]
    fn gateways_stand_side_by_side() {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let plan =
            plan(&[("gateway", 2)]).expect("a plan").with_addresses(address(8080), address(1));
        let listens: Vec<_> = plan.processes().into_iter().filter_map(|p| p.listen).collect();
        assert_eq!(listens, [address(8080), address(8081)]);
    }
}
