//! The opening handshake of RFC 6455, section 4.2, as an axum extractor.

use std::fmt;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{
    ALLOW, CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, RETRY_AFTER,
    SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::request::Parts;
use http::{Method, StatusCode, Version};
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;
use tungstenite::handshake::derive_accept_key;

/// A request that asks for a WebSocket, checked. Give it to [`crate::Hub::join`] or one of its
/// siblings, whose response makes it one.
pub struct Upgrade {
    pub(crate) on: OnUpgrade,
    pub(crate) begun: Instant,
    accept: String,
    origin: Option<String>,
    host: Option<String>,
    offered: Vec<String>,
    protocol: Option<HeaderValue>,
    request_id: Option<String>,
}

impl Upgrade {
    /// The page that opens the socket, as a browser names it: `https://example.org`.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// Whether it is no page of another origin that asks: browsers send cookies along with
    /// WebSocket handshakes from anywhere, so a socket that trusts a cookie has to check this.
    /// Programs that are no browsers send no `Origin` and pass.
    #[must_use]
    pub fn same_origin(&self) -> bool {
        let Some(origin) = &self.origin else {
            return true;
        };
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        authority.is_some_and(|authority| {
            let host = self.host.as_deref().unwrap_or_default();
            authority.eq_ignore_ascii_case(host)
        })
    }

    /// Agrees to the first subprotocol offered that `choose` takes.
    #[must_use]
    pub fn protocol(mut self, choose: impl Fn(&str) -> bool) -> Self {
        let chosen = self.offered.iter().find(|offered| choose(offered));
        self.protocol = chosen.and_then(|chosen| HeaderValue::from_str(chosen).ok());
        self
    }

    /// A refusal of this request.
    #[must_use]
    pub fn refuse(&self, status: StatusCode, detail: &'static str) -> Refusal {
        Refusal { status, detail, headers: Vec::new(), request_id: self.request_id.clone() }
    }

    /// `101 Switching Protocols`.
    pub(crate) fn agree(&self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        if let Ok(accept) = HeaderValue::from_str(&self.accept) {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        if let Some(protocol) = &self.protocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol.clone());
        }
        response
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// Why a request does not become a WebSocket; a response in the house's error shape.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// 400, 403, 405, 426 or 503.
    pub status: StatusCode,
    /// What the client is told.
    pub detail: &'static str,
    headers: Vec<(HeaderName, &'static str)>,
    request_id: Option<String>,
}

impl Refusal {
    /// 503: no room for one more, or none will be taken any more.
    pub(crate) fn full(upgrade: &Upgrade, detail: &'static str) -> Self {
        let mut refusal = upgrade.refuse(StatusCode::SERVICE_UNAVAILABLE, detail);
        refusal.headers.push((RETRY_AFTER, "5"));
        refusal
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = serde_json::json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or_default(),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "message": "failure",
            "error": self.detail,
            "request_id": self.request_id,
        });
        let mut response = (self.status, body.to_string()).into_response();
        let headers = response.headers_mut();
        let problem = HeaderValue::from_static("application/problem+json");
        headers.insert(http::header::CONTENT_TYPE, problem);
        for (name, value) in self.headers {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Upgrade {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let headers = &parts.headers;
        let text = |name: HeaderName| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.map(str::to_owned)
        };
        let request_id = text(HeaderName::from_static("x-request-id"));
        let refuse = |status, detail, with: &[(HeaderName, &'static str)]| Refusal {
            status,
            detail,
            headers: with.to_vec(),
            request_id: request_id.clone(),
        };
        if parts.method != Method::GET {
            let detail = "a WebSocket is opened with GET";
            return Err(refuse(StatusCode::METHOD_NOT_ALLOWED, detail, &[(ALLOW, "GET")]));
        }
        // Only HTTP/1.1 may carry `Connection`.
        let upgrade = [(UPGRADE, "websocket"), (CONNECTION, "upgrade")];
        let upgrade = if parts.version == Version::HTTP_11 { &upgrade[..] } else { &upgrade[..1] };
        if !has_token(headers, &UPGRADE, "websocket") || !has_token(headers, &CONNECTION, "upgrade")
        {
            let detail = "this path speaks WebSocket: connect with Upgrade: websocket";
            return Err(refuse(StatusCode::UPGRADE_REQUIRED, detail, upgrade));
        }
        if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
            let detail = "this path speaks version 13 of the WebSocket protocol";
            let mut with = upgrade.to_vec();
            with.push((SEC_WEBSOCKET_VERSION, "13"));
            return Err(refuse(StatusCode::UPGRADE_REQUIRED, detail, &with));
        }
        let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
        let Some(key) = key.filter(|key| is_nonce(key)) else {
            let detail = "Sec-WebSocket-Key must be 16 bytes in base64";
            return Err(refuse(StatusCode::BAD_REQUEST, detail, &[]));
        };
        let accept = derive_accept_key(key);
        let offered = tokens(headers, &SEC_WEBSOCKET_PROTOCOL).map(str::to_owned).collect();
        let (origin, host) = (text(ORIGIN), text(HOST));
        let Some(on) = parts.extensions.remove::<OnUpgrade>() else {
            let detail = "this connection cannot become a WebSocket: use HTTP/1.1";
            return Err(refuse(StatusCode::UPGRADE_REQUIRED, detail, upgrade));
        };
        Ok(Self {
            on,
            begun: Instant::now(),
            accept,
            origin,
            host,
            offered,
            protocol: None,
            request_id,
        })
    }
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(str::trim)
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|its| its.eq_ignore_ascii_case(token))
}

fn is_nonce(key: &[u8]) -> bool {
    BASE64_STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16)
}
