//! `atelier up --split`: every service a process of its own, started again when it dies.
//!
//! Invariants: a child that ends is started again after a pause that doubles up to 10 s and
//! shrinks back once it has run for a while; when the supervisor ends, so do its children.

mod child;
mod plan;

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use tasks::Tasks;
use tokio::sync::watch;

use crate::arguments::Common;
use crate::config::Config;
use crate::folder;
use crate::run::{say, signals};
use crate::topology::{Service, StartError};

use child::{Child, supervise};

pub use plan::Plan;

/// How often the gateway is asked whether it can serve.
const READY_POLL: Duration = Duration::from_millis(25);
/// How long the gateway is given for such an answer.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs the whole system in processes of this machine until SIGTERM or Ctrl-C.
///
/// # Errors
/// [`StartError`] if the plan cannot work; a child that fails is started again instead.
pub async fn up(
    config: &Config,
    arguments: &Common,
    replicas: &[(String, usize)],
) -> Result<(), StartError> {
    let asked_to_end = signals().map_err(StartError::Folder)?;
    folder::prepare(&config.data).map_err(StartError::Folder)?;
    folder::secret(&config.data).map_err(StartError::Folder)?;
    let plan = Plan::new(config, replicas)?;
    let plan = plan.with_addresses(
        free(&config.listen, "--listen")?,
        free(&config.discovery.listen, "[discovery] listen")?,
    );

    // The gateway ends first, then what it calls, then the registry.
    let (edge, inner, registry) = (Tasks::new(), Tasks::new(), Tasks::new());
    let (public, mut address) = watch::channel(None);
    for process in plan.processes() {
        let tasks = match process.service {
            Service::Gateway => &edge,
            Service::Discovery => &registry,
            _ => &inner,
        };
        let child = Child::new(process, config, arguments)?;
        supervise(child, public.clone(), tasks);
    }
    let mut end = std::pin::pin!(asked_to_end);
    tokio::select! {
        url = ready(&mut address) => {
            say(&format!("atelier is ready at {url}"));
            end.await;
        }
        () = &mut end => {}
    }
    edge.stop().await;
    inner.stop().await;
    registry.stop().await;
    Ok(())
}

/// Waits until the gateway answers `/readyz` with success, and tells where.
async fn ready(address: &mut watch::Receiver<Option<String>>) -> String {
    // The sender lives as long as the supervised children: the wait ends only with an address.
    let url = match address.wait_for(Option::is_some).await {
        Ok(url) => url.clone().unwrap_or_default(),
        Err(_) => return std::future::pending().await,
    };
    let client =
        reqwest::Client::builder().timeout(READY_TIMEOUT).danger_accept_invalid_certs(true);
    let Ok(client) = client.build() else { return url };
    loop {
        let answer = client.get(format!("{url}/readyz")).send().await;
        if answer.is_ok_and(|a| a.status().is_success()) {
            return url;
        }
        tokio::time::sleep(READY_POLL).await;
    }
}

/// Checks that an address is free and makes port 0 a certain one, so that a child that is started
/// again listens where its siblings and clients know it.
fn free(address: &str, how: &'static str) -> Result<SocketAddr, StartError> {
    let taken = |error| StartError::Listen { address: address.to_owned(), error, how };
    TcpListener::bind(address).and_then(|probe| probe.local_addr()).map_err(taken)
}
