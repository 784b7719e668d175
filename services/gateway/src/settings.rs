//! `[gateway]` and `[limits]` of the configuration.
//!
//! Invariant: the defaults serve one household or one test run without a setting, and every
//! buffer, table and wait that they name is bounded.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::routes::{Invalidation, Route};

/// `[gateway]` of the configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Routes beside the built-in ones; one with the path of a built-in route replaces it.
    pub route: Vec<Route>,
    /// What events drop from the response cache, beside the built-in rules.
    pub invalidate: Vec<Invalidation>,
    /// Connections open at once; one more is answered 503 and closed.
    pub max_connections: usize,
    /// The most bytes of a request's line and headers together (431 above).
    pub max_header_bytes: usize,
    /// The most bytes of a body where its route says nothing else (413 above).
    pub max_body_bytes: u64,
    /// How long a client may take to send the head of a request, in milliseconds.
    pub header_timeout_ms: u64,
    /// How long a connection may stay open between requests, in milliseconds.
    pub idle_timeout_ms: u64,
    /// How long a client may stay below `min_bytes_per_second` while it sends a body or takes an
    /// answer, in milliseconds.
    pub stall_timeout_ms: u64,
    /// The slowest client that is waited for.
    pub min_bytes_per_second: u64,
    /// How long a service may take to answer where its route says nothing else, in milliseconds.
    pub request_timeout_ms: u64,
    /// How long requests may take to finish when the process stops, in milliseconds.
    pub drain_timeout_ms: u64,
    /// Memory for cached responses. 0: none are cached.
    pub cache_bytes: u64,
    /// How long an account that has written is answered without caches and replicas, in
    /// milliseconds. 0: caches and replicas answer at once.
    pub fresh_ms: u64,
    /// How long the access tokens of `accounts` live at most, in milliseconds: as far back the
    /// event log is read for sessions that have ended.
    pub access_token_ms: u64,
    /// Addresses or networks (`10.0.0.0/8`) of proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// Which other origins may use the API from a browser.
    pub cors: Cors,
    /// HTTPS in place of HTTP.
    pub tls: Option<Tls>,
    /// `[limits]` of the configuration; whoever reads the configuration puts it here.
    #[serde(skip)]
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            route: Vec::new(),
            invalidate: Vec::new(),
            max_connections: 20_000,
            max_header_bytes: 32 * 1024,
            max_body_bytes: 1024 * 1024,
            header_timeout_ms: 10_000,
            idle_timeout_ms: 75_000,
            stall_timeout_ms: 10_000,
            min_bytes_per_second: 256,
            request_timeout_ms: 30_000,
            drain_timeout_ms: 10_000,
            cache_bytes: 32 * 1024 * 1024,
            fresh_ms: 2_000,
            access_token_ms: u64::try_from(auth::ACCESS_LIFETIME.as_millis()).unwrap_or(u64::MAX),
            trusted_proxies: Vec::new(),
            cors: Cors::default(),
            tls: None,
            limits: Limits::default(),
        }
    }
}

impl Settings {
    pub(crate) fn fresh(&self) -> Duration {
        Duration::from_millis(self.fresh_ms)
    }

    pub(crate) fn trusts(&self, proxy: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(proxy))
    }
}

/// The part of `[limits]` that the gateway keeps. 0 turns a limit off.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests a second from one address.
    pub requests_per_second_per_address: u32,
    /// Requests a second with one account's tokens.
    pub requests_per_second_per_account: u32,
    /// Accounts made in an hour from one address.
    pub sign_ups_per_hour_per_address: u32,
}

impl Default for Limits {
    /// More than one machine can ask for over its own loopback, so that only floods meet them.
    fn default() -> Self {
        Self {
            requests_per_second_per_address: 100_000,
            requests_per_second_per_account: 100_000,
            sign_ups_per_hour_per_address: 10_000,
        }
    }
}

/// Cross-origin resource sharing: <https://fetch.spec.whatwg.org/#http-cors-protocol>.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cors {
    /// Origins as browsers send them, `https://app.example.org`; `*` for any, then without cookies.
    pub origins: Vec<String>,
    /// Whether the listed origins may send cookies.
    pub credentials: bool,
    /// How long browsers may remember a preflight, in seconds.
    pub max_age_seconds: u32,
}

/// The certificate and what is spoken under it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain, PEM, its own certificate first.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Whether clients are offered HTTP/2.
    #[serde(default = "yes")]
    pub http2: bool,
}

fn yes() -> bool {
    true
}

/// An address, or all addresses that share its first bits: `10.0.0.0/8`, `::1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    fn contains(self, other: IpAddr) -> bool {
        match (self.address, other.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let mask = u32::MAX.checked_shl(32 - self.bits).unwrap_or(0);
                (u32::from(a) ^ u32::from(b)) & mask == 0
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let mask = u128::MAX.checked_shl(128 - self.bits).unwrap_or(0);
                (u128::from(a) ^ u128::from(b)) & mask == 0
            }
            _ => false,
        }
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no address and no network such as 10.0.0.0/8");
        let (address, bits) = text.split_once('/').map_or((&*text, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(longest), |b| b.parse().map_err(|_| wrong()))?;
        if bits > longest { Err(wrong()) } else { Ok(Self { address, bits }) }
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        format!("{}/{}", network.address, network.bits)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn network(text: &str) -> Network {
        Network::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        let ten = network("10.0.0.0/8");
        assert!(ten.contains("10.255.1.2".parse().unwrap()));
        assert!(ten.contains("::ffff:10.0.0.1".parse().unwrap()));
        assert!(!ten.contains("11.0.0.1".parse().unwrap()));
        assert!(network("::1").contains("::1".parse().unwrap()));
        assert!(!network("::1").contains("::2".parse().unwrap()));
        assert!(network("0.0.0.0/0").contains("9.9.9.9".parse().unwrap()));
        for wrong in ["10.0.0.0/33", "ten", "10.0.0.0/x"] {
            assert!(Network::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_it() {
        let error = toml::from_str::<Settings>("max_conections = 1").unwrap_err();
        assert!(error.to_string().contains("max_conections"), "{error}");
    }

    #[test]
    fn settings_survive_being_shown() {
        let mut settings = Settings::default();
        settings.trusted_proxies.push(network("10.0.0.0/8"));
        let shown = toml::to_string(&settings).unwrap();
        assert_eq!(
            toml::from_str::<Settings>(&shown).unwrap().trusted_proxies,
            settings.trusted_proxies
        );
    }
}
