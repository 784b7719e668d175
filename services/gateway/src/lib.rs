//! The one door: whatever a client sends comes through here, and reaches a service only through
//! [`mesh::Mesh::channel`].
//!
//! **Owns** the table of routes, the response cache, rate limits and the register of open sockets;
//! nothing of it outlives the process. **Calls** `accounts` for the keys that verify tokens, and
//! whatever the table names. **Emits** nothing. **Handles** `session.revoked.v1` and
//! `account.deleted.v1` (tokens and sockets end within a second) and the events that drop cached
//! answers.
//!
//! **Fails** small: a service that is down answers 503 with `Retry-After` and takes no other with
//! it; without keys nobody is signed in, and the gateway says that it is not ready; without the
//! event log, sessions that have ended live until their tokens expire.
//!
//! ```text
//!                    ┌─ plain ─┐
//! socket ─ transport ┴─ hyper ─┴ proxy ─┬─ pages        /healthz /readyz /status /openapi.json
//!             │                         ├─ cache ─┐
//!           wire ◄─ slow (watch)        ├─────────┴─ forward ─ mesh ─ service
//!                                       └─ sockets ─────────── mesh ─ service
//! ```
//!
//! Invariants: a request goes on in somebody's name only with a token that verifies now; nothing a
//! client sends is taken for a word between services; no failure shows the inside; everything
//! that a client can make grow is bounded.

mod answer;
mod body;
mod cache;
mod compress;
mod connection;
mod cors;
mod edge;
mod fresh;
mod head;
mod keys;
mod limits;
mod live;
mod measure;
mod pages;
mod plain;
mod proxy;
mod refusal;
mod routes;
mod server;
mod settings;
mod shared;
mod slow;
mod sockets;
mod standing;
mod tls;
mod trace;
mod transport;
mod wire;

use std::sync::Arc;

use events::Log;
use mesh::Mesh;
use tasks::Tasks;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

pub use routes::{BadTable, CacheRule, Invalidation, Route, StaleTokens};
pub use settings::{Cors, Limits, Network, Settings, Tls};
pub use tls::TlsError;

use shared::Shared;
use standing::Standing;

/// Why a gateway cannot be built. The text says what to change.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The table of routes.
    #[error(transparent)]
    Routes(#[from] BadTable),
    /// Certificate or key.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A gateway that can be served. Clones share it.
#[derive(Clone)]
pub struct Gateway {
    shared: Arc<Shared>,
    tls: Option<TlsAcceptor>,
}

/// Builds the gateway: its table, and the loops that fetch keys and follow the log. It waits for
/// no service; what is missing makes it not ready.
///
/// # Errors
/// A table, certificate or key that cannot be used.
pub fn build(
    mesh: Mesh,
    log: Log,
    caches: &::cache::Store,
    settings: Settings,
    openapi: String,
    tasks: &Tasks,
) -> Result<Gateway, BuildError> {
    let tls = settings.tls.as_ref().map(tls::acceptor).transpose()?;
    let standing = Standing::new(log.clone(), &mesh, caches);
    let shared = Arc::new(Shared::new(settings, mesh, standing, openapi)?);
    let (kept, stopping) = (shared.clone(), tasks.stopping());
    tasks.spawn_loop("gateway keys", move || {
        let (shared, stopping) = (kept.clone(), stopping.clone());
        async move { shared.keys.keep(stopping).await }
    });
    let (followed, stopping) = (shared.clone(), tasks.stopping());
    tasks.spawn_loop("gateway events", move || {
        live::follow(followed.clone(), log.clone(), stopping.clone())
    });
    Ok(Gateway { shared, tls })
}

impl Gateway {
    /// Serves clients at `listener` until `stop` fires; then takes no more connections, lets
    /// requests finish (`gateway.drain_timeout_ms`), tells sockets to connect again, and returns.
    /// The services behind should go on until it has.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        server::serve(self.shared, listener, self.tls, stop).await;
    }

    /// Whether requests can be served: keys are there, the log has been read, and every service of
    /// the table was seen. The same as `GET /readyz`.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.shared.waits_for().is_empty()
    }
}
