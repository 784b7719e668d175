//! Addresses for servers that are started, killed and started again.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Ports that the kernel gives to nobody by itself, so that a server that is started again finds
/// its own still free.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// An address of this machine that nobody listens on, nor will but whoever asked.
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
        .find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()?.local_addr().ok())
        .expect("a free port")
}
