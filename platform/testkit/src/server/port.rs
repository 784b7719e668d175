//! Addresses for servers that are started, killed and started again.

use std::net::{SocketAddr, TcpListener};
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
#[cfg(target_os = "linux")]
use std::os::unix::net::{self, UnixListener};
use std::sync::atomic::{AtomicU32, Ordering};
#[cfg(target_os = "linux")]
use std::sync::{Mutex, PoisonError};

/// Ports that the kernel gives to nobody by itself, so that a server that is started again finds
/// its own still free.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// What keeps the ports of this process from other tests while nobody listens there.
#[cfg(target_os = "linux")]
static RESERVED: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());

/// An address of this machine that nobody listens on, nor will but whoever asked: it is this
/// process's until it ends.
///
/// # Panics
/// If every port is taken.
#[must_use]
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Processes that test at the same time begin at different places.
    let begin = std::process::id().wrapping_mul(97);
    (0..PORTS.len())
        .map(|_| begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)))
        .map(|number| PORTS.start + (number % PORTS.len() as u32) as u16)
        .filter(|port| reserve(*port))
        .find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()?.local_addr().ok())
        .expect("a free port")
}

/// Takes a name that only one process can have and that goes with it.
#[cfg(target_os = "linux")]
fn reserve(port: u16) -> bool {
    let name = format!("atelier-test-port-{port}");
    let reserved =
        net::SocketAddr::from_abstract_name(name).and_then(|name| UnixListener::bind_addr(&name));
    let Ok(reserved) = reserved else { return false };
    RESERVED.lock().unwrap_or_else(PoisonError::into_inner).push(reserved);
    true
}

/// Elsewhere there are no such names, and two processes may, rarely, meet.
#[cfg(not(target_os = "linux"))]
fn reserve(_: u16) -> bool {
    true
}
