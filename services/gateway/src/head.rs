//! The head of a request, looked at once: what it carries, what of it is taken away, and whether
//! it may be passed on at all.
//!
//! Invariant: after [`Head::clean`] no header is left by which one hop speaks to the next, nor one
//! that only the gateway may set.

mod path;

use http::header::{self, HeaderMap, HeaderName};
use http::request::Parts;
use http::{Method, Version};
use rest::Problem;
use telemetry::headers as internal;

pub(crate) use path::check as check_path;

/// What the headers of a request hold. One pass fills it.
#[derive(Debug, Default)]
pub(crate) struct Head {
    /// Bytes of the request line and the headers, as HTTP/1.1 would write them.
    pub(crate) bytes: usize,
    pub(crate) authorization: bool,
    pub(crate) cookie: bool,
    pub(crate) origin: bool,
    pub(crate) request_id: bool,
    pub(crate) traceparent: bool,
    pub(crate) accept_encoding: bool,
    pub(crate) conditional: bool,
    pub(crate) range: bool,
    upgrade: bool,
    connection: bool,
    /// Hop-by-hop headers beside `connection` and `upgrade`.
    hop: bool,
    /// Headers that only the gateway sets.
    forged: bool,
    forwarded: bool,
    framed: bool,
    length: Option<u64>,
    hosts: u32,
    lengths: u32,
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
/// What every internal header's name begins with.
const INTERNAL: &str = "x-atelier-";

impl Head {
    /// Looks through the headers.
    pub(crate) fn of(request: &Parts) -> Self {
        let target = request.uri.path_and_query().map_or(1, |p| p.as_str().len());
        let mut head =
            Self { bytes: request.method.as_str().len() + target + 12, ..Self::default() };
        for (name, value) in &request.headers {
            head.bytes += name.as_str().len() + value.len() + 4;
            match *name {
                header::HOST => head.hosts += 1,
                header::AUTHORIZATION => head.authorization = true,
                header::COOKIE => head.cookie = true,
                header::ORIGIN => head.origin = true,
                header::ACCEPT_ENCODING => head.accept_encoding = true,
                header::CONTENT_LENGTH => {
                    head.lengths += 1;
                    head.length = value.to_str().ok().and_then(|v| v.parse().ok());
                }
                header::TRANSFER_ENCODING => head.framed = true,
                header::CONNECTION => head.connection = true,
                header::UPGRADE => head.upgrade = true,
                header::TE
                | header::TRAILER
                | header::PROXY_AUTHORIZATION
                | header::PROXY_AUTHENTICATE => head.hop = true,
                header::IF_NONE_MATCH
                | header::IF_MODIFIED_SINCE
                | header::IF_MATCH
                | header::IF_UNMODIFIED_SINCE => {
                    head.conditional = true;
                }
                header::RANGE | header::IF_RANGE => head.range = true,
                header::FORWARDED => head.forwarded = true,
                // Known by a name of their own: what is left has its name as text.
                header::ACCEPT
                | header::ACCEPT_LANGUAGE
                | header::USER_AGENT
                | header::CONTENT_TYPE
                | header::REFERER => {}
                _ => head.look_at_name(name.as_str()),
            }
        }
        head
    }

    fn look_at_name(&mut self, name: &str) {
        match name {
            "x-request-id" => self.request_id = true,
            "traceparent" => self.traceparent = true,
            "grpc-timeout" => self.forged = true,
            "keep-alive" | "proxy-connection" => self.hop = true,
            "x-forwarded-for" | "x-forwarded-host" | "x-forwarded-proto" | "x-real-ip" => {
                self.forwarded = true
            }
            _ => self.forged |= name.starts_with(INTERNAL),
        }
    }

    /// The length that was declared.
    pub(crate) fn declared_length(&self) -> Option<u64> {
        if self.framed { None } else { self.length }
    }

    /// Whether the client wants to speak WebSocket from here on (RFC 6455, 4.1).
    pub(crate) fn wants_socket(&self, request: &Parts) -> bool {
        let names = |name: HeaderName, word: &str| {
            request
                .headers
                .get_all(name)
                .iter()
                .filter_map(|v| v.to_str().ok())
                .any(|v| v.split(',').any(|one| one.trim().eq_ignore_ascii_case(word)))
        };
        self.upgrade
            && self.connection
            && request.method == Method::GET
            && request.version == Version::HTTP_11
            && names(header::UPGRADE, "websocket")
            && names(header::CONNECTION, "upgrade")
    }

    /// Whether the request is well-formed as far as the head tells (RFC 9112, 3.2 and 6.1).
    ///
    /// # Errors
    /// 400, 431.
    pub(crate) fn check(&self, request: &Parts, most_bytes: usize) -> Result<(), Problem> {
        if self.bytes > most_bytes {
            let detail = format!("the request's headers are larger than {most_bytes} bytes");
            return Err(Problem::new(http::StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, detail));
        }
        let named = self.hosts == 1 || (self.hosts == 0 && request.uri.authority().is_some());
        if !named && request.version >= Version::HTTP_11 {
            return Err(Problem::bad_request("the request needs exactly one Host header"));
        }
        if self.lengths > 1 || (self.lengths > 0 && self.framed) {
            return Err(Problem::bad_request("the length of the body is told twice"));
        }
        check_path(request.uri.path())
    }

    /// Takes away what is meant for the next hop alone, and what only the gateway says.
    pub(crate) fn clean(&self, headers: &mut HeaderMap, keep_upgrade: bool, trusted_proxy: bool) {
        if self.connection && !keep_upgrade {
            remove_named_by_connection(headers);
            headers.remove(header::CONNECTION);
        }
        if self.upgrade && !keep_upgrade {
            headers.remove(header::UPGRADE);
        }
        if self.hop {
            for name in [
                header::TE,
                header::TRAILER,
                header::PROXY_AUTHORIZATION,
                header::PROXY_AUTHENTICATE,
                KEEP_ALIVE,
                PROXY_CONNECTION,
            ] {
                headers.remove(name);
            }
        }
        if self.framed {
            headers.remove(header::TRANSFER_ENCODING);
        }
        if self.forwarded && !trusted_proxy {
            for name in
                [header::FORWARDED, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, X_REAL_IP]
            {
                headers.remove(name);
            }
        }
        if self.forged {
            remove_internal(headers);
        }
    }
}

/// The headers that `Connection` declares to be for this hop (RFC 9110, 7.6.1), if they are not
/// ones that decide how the request is understood.
fn remove_named_by_connection(headers: &mut HeaderMap) {
    const STAYS: [HeaderName; 5] = [
        header::HOST,
        header::AUTHORIZATION,
        header::COOKIE,
        header::CONTENT_TYPE,
        header::CONTENT_LENGTH,
    ];
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name| !STAYS.contains(name))
        .take(16)
        .collect();
    for name in named {
        headers.remove(name);
    }
}

/// Takes away every header by which Atelier's own services speak to each other.
pub(crate) fn remove_internal(headers: &mut HeaderMap) {
    let internal: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(INTERNAL)).cloned().collect();
    for name in internal {
        headers.remove(name);
    }
    headers.remove(internal::TIMEOUT);
}

/// Takes away from a response what is between the service and the gateway.
pub(crate) fn clean_response(headers: &mut HeaderMap) {
    let (mut hop, mut internal) = (false, false);
    for name in headers.keys() {
        match *name {
            header::CONNECTION
            | header::TRANSFER_ENCODING
            | header::UPGRADE
            | header::TE
            | header::TRAILER => hop = true,
            header::CONTENT_TYPE
            | header::CONTENT_LENGTH
            | header::DATE
            | header::ETAG
            | header::SERVER => {}
            _ => {
                let name = name.as_str();
                hop |= matches!(name, "keep-alive" | "proxy-connection");
                internal |= name.starts_with(INTERNAL);
            }
        }
    }
    if hop {
        for name in [
            header::CONNECTION,
            header::TRANSFER_ENCODING,
            header::UPGRADE,
            header::TE,
            header::TRAILER,
            KEEP_ALIVE,
            PROXY_CONNECTION,
        ] {
            headers.remove(name);
        }
    }
    if internal {
        remove_internal(headers);
    }
}

#[cfg(test)]
mod tests;
