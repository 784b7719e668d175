//! WebSockets on their way through, and the register by which their sessions end them.
//!
//! A service of this process upgrades the client's connection itself; for one elsewhere the bytes
//! are relayed. Either way the client's stream is the gateway's ([`crate::transport`]), which says
//! goodbye between two frames when the session ends or the process stops.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use auth::Pass;
use axum::body::Body;
use http::request::Parts;
use http::{Request, Response, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use ids::UserId;
use mesh::Channel;
use rest::Problem;
use telemetry::Context;
use tokio_util::sync::CancellationToken;

use crate::answer;
use crate::body::Outbound;
use crate::connection::Connection;
use crate::head::{Head, remove_internal};
use crate::measure;
use crate::wire::Wire;

/// The session of a socket has ended: sign in again. (4000 to 4999 are for applications.)
pub(crate) const SESSION_ENDED: u16 = 4401;
/// The process stops: connect again (RFC 6455's registry, 1012).
pub(crate) const RESTART: u16 = 1012;

/// The open sockets and whose they are.
#[derive(Default)]
pub(crate) struct Sockets {
    next: AtomicU64,
    open: Mutex<HashMap<u64, Open>>,
    /// Fires when relays are to end.
    stop: CancellationToken,
}

struct Open {
    wire: Weak<Wire>,
    session: Option<(UserId, Box<str>)>,
}

impl Sockets {
    /// Puts a socket into the register as long as its connection lives.
    pub(crate) fn register(self: &Arc<Self>, wire: &Arc<Wire>, caller: Option<&Pass>) {
        let id = self.next.fetch_add(1, Relaxed);
        let session = caller.map(|c| (c.principal.user, c.principal.session.as_str().into()));
        self.lock().insert(id, Open { wire: Arc::downgrade(wire), session });
        wire.become_socket(Registration { id, sockets: self.clone() });
        measure::open_sockets().increment(1.0);
    }

    /// Closes the sockets of a session.
    pub(crate) fn close_session(&self, session: &str) {
        self.close(SESSION_ENDED, |open| {
            open.session.as_ref().is_some_and(|(_, s)| &**s == session)
        });
    }

    /// Closes the sockets of an account.
    pub(crate) fn close_account(&self, account: UserId) {
        self.close(SESSION_ENDED, |open| {
            open.session.as_ref().is_some_and(|(user, _)| *user == account)
        });
    }

    /// Tells all sockets to connect again.
    pub(crate) fn close_all(&self) {
        self.stop.cancel();
        self.close(RESTART, |_| true);
    }

    fn close(&self, code: u16, which: impl Fn(&Open) -> bool) {
        // Collected first: a connection that ends here takes itself out of the register.
        let wires: Vec<_> = self
            .lock()
            .values()
            .filter(|open| which(open))
            .filter_map(|open| open.wire.upgrade())
            .collect();
        for wire in wires {
            wire.close_socket(code);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Open>> {
        // Entries are put in and taken out whole: a panic leaves nothing torn.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket's place in the register; left when its connection ends.
pub(crate) struct Registration {
    id: u64,
    sockets: Arc<Sockets>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.sockets.lock().remove(&self.id);
        measure::open_sockets().decrement(1.0);
    }
}

impl std::fmt::Debug for Registration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registration").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What is asked for: a socket of a service, in somebody's name or in nobody's.
pub(crate) struct Ask<'a> {
    pub(crate) channel: &'a Channel,
    pub(crate) context: Context,
    pub(crate) caller: Option<&'a Pass>,
}

/// Passes the handshake on; where the service agrees, the connection becomes a socket.
///
/// # Errors
/// What the mesh could not deliver; 426 where no upgrade is possible.
pub(crate) async fn open(
    connection: &Arc<Connection>,
    head: &Head,
    mut parts: Parts,
    ask: Ask<'_>,
) -> Result<Response<Body>, Problem> {
    head.clean(&mut parts.headers, true, connection.behind_proxy);
    // Frames pass as they are: nothing is agreed on that only one of two hops could undo.
    parts.headers.remove(header::SEC_WEBSOCKET_EXTENSIONS);
    let client = parts.extensions.get::<OnUpgrade>().cloned().ok_or_else(needs_upgrade)?;
    let sent = ask.context.scope(ask.channel.send(Request::from_parts(parts, Body::empty()))).await;
    let mut response = sent.map_err(|error| answer::undelivered(&error))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(response);
    }
    let sockets = &connection.shared.sockets;
    sockets.register(&connection.wire, ask.caller);
    let verifier = &connection.shared.keys.verifier;
    if ask.caller.is_some_and(|caller| verifier.check(caller).is_err()) {
        // The session ended between the check and the register, when there was nothing to close.
        connection.wire.close_socket(SESSION_ENDED);
    }
    if let Some(upstream) = response.extensions_mut().remove::<OnUpgrade>() {
        let settings = fanout::RelaySettings {
            stop: sockets.stop.clone(),
            ..fanout::RelaySettings::default()
        };
        tokio::spawn(async move {
            if let (Ok(client), Ok(upstream)) = tokio::join!(client, upstream) {
                fanout::relay(client, upstream, settings).await;
            }
        });
    }
    remove_internal(response.headers_mut());
    Ok(response)
}

/// 426: the path speaks WebSocket, and the request does not ask for it.
pub(crate) fn needs_upgrade() -> Problem {
    Problem::new(
        StatusCode::UPGRADE_REQUIRED,
        "this path speaks WebSocket: connect with Upgrade: websocket",
    )
}

/// What a 426 has to say (RFC 9110, 15.5.22).
pub(crate) fn name_the_protocol(response: &mut Response<Outbound>) {
    if response.status() == StatusCode::UPGRADE_REQUIRED {
        response.headers_mut().insert(header::UPGRADE, http::HeaderValue::from_static("websocket"));
    }
}
