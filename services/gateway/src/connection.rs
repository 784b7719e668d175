//! One client's connection, as its requests see it.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use auth::{AuthError, Pass};
use governor::DefaultDirectRateLimiter;
use http::header::{HeaderMap, HeaderValue};

use crate::edge;
use crate::limits::{self, Limiter};
use crate::shared::Shared;
use crate::slow;
use crate::wire::Wire;

/// A client's connection.
pub(crate) struct Connection {
    pub(crate) shared: Arc<Shared>,
    pub(crate) wire: Arc<Wire>,
    pub(crate) peer: IpAddr,
    /// The peer is a proxy whose word on its clients is believed.
    pub(crate) behind_proxy: bool,
    /// Under TLS.
    pub(crate) secure: bool,
    limiter: ArcSwapOption<DefaultDirectRateLimiter>,
    /// When the limiter was last asked for, in ticks.
    asked: AtomicU32,
    /// Whom the last token spoke for: a connection nearly always speaks for one account, and
    /// comparing a token costs less than looking it up.
    known: Mutex<Option<Arc<Known>>>,
    /// The peer's address as services of strangers are told it.
    peer_header: HeaderValue,
}

/// Whom a token speaks for.
pub(crate) struct Known {
    token: Box<str>,
    pub(crate) pass: Pass,
    /// Of the account.
    pub(crate) limiter: Option<Limiter>,
    /// When it was looked up, in ticks.
    since: u32,
}

/// How long a limiter is kept without asking for it again, in ticks.
const KEEP: u32 = (limits::KEEP.as_millis() / slow::SWEEP.as_millis()) as u32;

impl Connection {
    pub(crate) fn new(shared: Arc<Shared>, wire: Arc<Wire>, peer: IpAddr, secure: bool) -> Self {
        let peer = peer.to_canonical();
        let behind_proxy = shared.settings.trusts(peer);
        let limiter = if behind_proxy { None } else { shared.limits.of_address(peer) };
        let limiter = ArcSwapOption::new(limiter);
        let text = HeaderValue::try_from(peer.to_string());
        // An address is legal in a header.
        let peer_header = text.unwrap_or_else(|_| HeaderValue::from_static(""));
        let asked = AtomicU32::new(shared.watch.ticks.now());
        let known = Mutex::default();
        Self { shared, wire, peer, behind_proxy, secure, limiter, asked, known, peer_header }
    }

    /// A client's address as services of strangers are told it.
    pub(crate) fn address_header(&self, client: Option<IpAddr>) -> Option<HeaderValue> {
        match client? {
            peer if peer == self.peer => Some(self.peer_header.clone()),
            other => HeaderValue::try_from(other.to_string()).ok(),
        }
    }

    /// Who a request comes from, and the limiter of that address.
    pub(crate) fn client(&self, headers: &HeaderMap) -> (IpAddr, Option<Limiter>) {
        if !self.behind_proxy {
            let now = self.shared.watch.ticks.now();
            if now.saturating_sub(self.asked.load(Relaxed)) > KEEP {
                self.asked.store(now, Relaxed);
                self.limiter.store(self.shared.limits.of_address(self.peer));
            }
            return (self.peer, self.limiter.load_full());
        }
        let address =
            edge::client_address(self.peer, headers, |proxy| self.shared.settings.trusts(proxy));
        (address, self.shared.limits.of_address(address))
    }

    /// Checks a token, and tells whom it speaks for.
    ///
    /// # Errors
    /// Why it does not count.
    pub(crate) async fn recognise(&self, token: &str) -> Result<Arc<Known>, AuthError> {
        let known = match self.last_known(token) {
            Some(known) => known,
            None => self.look_up(token).await?,
        };
        let session = &known.pass.principal.session;
        if self.shared.standing.stands(session).await { Ok(known) } else { Err(AuthError::Revoked) }
    }

    async fn look_up(&self, token: &str) -> Result<Arc<Known>, AuthError> {
        let pass = self.shared.keys.verify(token).await?;
        let limiter = self.shared.limits.of_account(pass.principal.user);
        let since = self.shared.watch.ticks.now();
        let known = Arc::new(Known { token: token.into(), pass, limiter, since });
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known.clone());
        Ok(known)
    }

    /// Whom the last token spoke for, if it was this one and still counts.
    fn last_known(&self, token: &str) -> Option<Arc<Known>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.as_ref().filter(|known| *known.token == *token)?;
        let lately = self.shared.watch.ticks.now().saturating_sub(known.since) <= KEEP;
        let counts = lately && self.shared.keys.verifier.check(&known.pass).is_ok();
        counts.then(|| known.clone())
    }
}
