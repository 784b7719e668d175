//! One client's connection, as its requests see it.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::HeaderMap;

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
}

impl Connection {
    pub(crate) fn new(shared: Arc<Shared>, wire: Arc<Wire>, peer: IpAddr, secure: bool) -> Self {
        let peer = peer.to_canonical();
        let behind_proxy = shared.settings.trusts(peer);
        let limiter = if behind_proxy { None } else { shared.limits.of_address(peer) };
        Self { shared, wire, peer, behind_proxy, secure, limiter }
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
