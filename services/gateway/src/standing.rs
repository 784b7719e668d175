//! Whether a session goes on, asked of `accounts` while the event log is away: then nobody tells the
//! gateway of those that end.
//!
//! Invariant: while the log is there nothing is asked. While it is not, a session that has ended is
//! taken for one that goes on for [`KEPT`] at most; longer only if accounts does not answer either.

use std::time::Duration;

use cache::{Shared, Store};
use contracts::accounts::{AccountsStub, SessionStandsRequest};
use events::Log;
use mesh::{Channel, Mesh};
use telemetry::Context;
use tokio::time::timeout;

/// How long an answer counts, for all gateways that share caches.
const KEPT: Duration = Duration::from_secs(1);
/// How long accounts may take to answer.
const WITHIN: Duration = Duration::from_millis(500);
/// Sessions whose standing is kept.
const SESSIONS: u64 = 50_000;

/// Who is asked.
pub(crate) struct Standing {
    log: Log,
    accounts: AccountsStub<Channel>,
    sessions: Shared<String, bool>,
}

impl Standing {
    pub(crate) fn new(log: Log, mesh: &Mesh, caches: &Store) -> Self {
        let sessions = caches.cache("standing", SESSIONS, KEPT);
        Self { log, accounts: AccountsStub::new(mesh.channel("accounts")), sessions }
    }

    /// Whether a session goes on, as far as can be known.
    pub(crate) async fn stands(&self, session: &str) -> bool {
        if self.log.is_ready() {
            return true;
        }
        let ask = async {
            let request = SessionStandsRequest { session_id: session.to_owned() };
            let asked = timeout(WITHIN, self.accounts.session_stands(request));
            match Context::background().scope(asked).await {
                Ok(Ok(reply)) => Ok(reply.into_inner().stands),
                Ok(Err(_)) | Err(_) => Err(()),
            }
        };
        // Boxed: it is seldom, and large.
        Box::pin(self.sessions.get_with(session.to_owned(), ask)).await.unwrap_or(true)
    }
}
