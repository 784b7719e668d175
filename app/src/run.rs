//! Services in this process, from the start to the signal that ends it.

use std::future::Future;
use std::io::Write;
use std::process;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::config::Config;
use crate::topology::{Service, StartError, System};

/// How often readiness is looked at during the start.
const READY_POLL: Duration = Duration::from_millis(5);
/// How often a child looks whether its parent is still there.
const PARENT_POLL: Duration = Duration::from_millis(500);
/// The exit code of a process that a second signal ended: 128 + SIGINT, as shells have it.
const ENDED_AT_ONCE: i32 = 130;

/// Runs `services` until SIGTERM or Ctrl-C, or until the process `parent` is gone.
///
/// # Errors
/// [`StartError`] if they cannot start.
pub async fn here(
    config: &Config,
    services: &[Service],
    parent: Option<u32>,
) -> Result<(), StartError> {
    let asked_to_end = signals().map_err(StartError::Folder)?;
    let system = System::start(config, services).await?;
    let mut end = std::pin::pin!(async {
        tokio::select! {
            () = asked_to_end => {}
            () = orphaned(parent) => {}
        }
    });
    match system.public() {
        Some(address) => {
            let scheme = if config.gateway.tls.is_some() { "https" } else { "http" };
            tokio::select! {
                () = ready(&system) => {
                    say(&format!("atelier is ready at {scheme}://{address}"));
                    end.await;
                }
                () = &mut end => {}
            }
        }
        None => {
            say(&format!("{} at {}", names(services), system.private));
            end.await;
        }
    }
    system.stop().await;
    Ok(())
}

async fn ready(system: &System) {
    while !system.is_ready() {
        tokio::time::sleep(READY_POLL).await;
    }
}

/// Completes at the first SIGTERM or Ctrl-C; the second one ends the process at once.
pub(crate) fn signals() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let either = async |terminate: &mut tokio::signal::unix::Signal,
                            interrupt: &mut tokio::signal::unix::Signal| {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        };
        either(&mut terminate, &mut interrupt).await;
        tokio::spawn(async move {
            either(&mut terminate, &mut interrupt).await;
            process::exit(ENDED_AT_ONCE);
        });
    })
}

/// Completes when the process that started this one is gone: a supervisor that is killed must not
/// leave its services behind.
async fn orphaned(parent: Option<u32>) {
    let Some(parent) = parent else { return std::future::pending().await };
    while std::os::unix::process::parent_id() == parent {
        tokio::time::sleep(PARENT_POLL).await;
    }
}

fn names(services: &[Service]) -> String {
    services.iter().map(|service| service.name()).collect::<Vec<_>>().join(", ")
}

/// Prints what the user asked for. A closed standard output is no reason to end.
pub fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()));
}
