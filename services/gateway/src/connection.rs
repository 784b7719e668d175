//! One client's connection, as its requests see it.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{HeaderMap, HeaderValue};

use crate::edge;
use crate::limits::Limiter;
use crate::shared::Shared;
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
    limiter: Option<Limiter>,
    /// The peer's address as services of strangers are told it.
    peer_header: HeaderValue,
}

impl Connection {
    pub(crate) fn new(shared: Arc<Shared>, wire: Arc<Wire>, peer: IpAddr, secure: bool) -> Self {
        let peer = peer.to_canonical();
        let behind_proxy = shared.settings.trusts(peer);
        let limiter = if behind_proxy { None } else { shared.limits.of_address(peer) };
        let text = HeaderValue::try_from(peer.to_string());
        // An address is legal in a header.
        let peer_header = text.unwrap_or_else(|_| HeaderValue::from_static(""));
        Self { shared, wire, peer, behind_proxy, secure, limiter, peer_header }
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
            return (self.peer, self.limiter.clone());
        }
        let address =
            edge::client_address(self.peer, headers, |proxy| self.shared.settings.trusts(proxy));
        (address, self.shared.limits.of_address(address))
    }
}
