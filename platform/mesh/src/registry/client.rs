//! A small HTTP client for one registry: JSON there, JSON back, within a time.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::body::{Body, Bytes};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};

use crate::settings::MeshSettings;
use crate::transport::h1;
use crate::transport::io::Dialer;
use crate::transport::outgoing::Outgoing;
use crate::transport::{Endpoint, Failure};

/// The largest answer of a registry that is read.
const ANSWER: usize = 16 * 1024 * 1024;

/// Why a registry did not answer as it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistryError {
    #[error("{0:?} is no host:port")]
    Address(String),
    #[error(transparent)]
    Unreachable(#[from] Failure),
    #[error("no answer in time")]
    Timeout,
    #[error("answered {0}")]
    Status(StatusCode),
    #[error("unreadable answer: {0}")]
    Answer(String),
}

/// One registry.
pub(crate) struct Registry {
    endpoint: Arc<Endpoint>,
}

impl Registry {
    pub(crate) fn new(
        address: &str,
        dialer: &Dialer,
        settings: &MeshSettings,
    ) -> Result<Self, RegistryError> {
        let endpoint = Endpoint::new(address, dialer, settings)
            .ok_or_else(|| RegistryError::Address(address.to_string()))?;
        Ok(Self { endpoint: Arc::new(endpoint) })
    }

    pub(crate) fn address(&self) -> &str {
        self.endpoint.address()
    }

    /// Sends `json` and gives back the body of a 2xx answer.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        json: Option<&serde_json::Value>,
        within: Duration,
    ) -> Result<Bytes, RegistryError> {
        let body = json.map_or_else(Body::empty, |json| Body::from(json.to_string()));
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().map_err(|_| RegistryError::Answer("bad path".into()))?;
        if json.is_some() {
            let kind = HeaderValue::from_static("application/json");
            request.headers_mut().insert(header::CONTENT_TYPE, kind);
        }
        tokio::time::timeout(within, self.exchange(request))
            .await
            .unwrap_or(Err(RegistryError::Timeout))
    }

    /// The registry's clock, as its answers tell it: in whole seconds, half of one ago on average.
    fn hear_the_time(&self, headers: &HeaderMap) {
        let date = headers.get(header::DATE).and_then(|date| date.to_str().ok());
        let told = date.and_then(|date| httpdate::parse_http_date(date).ok());
        if let Some(since) = told.and_then(|told| told.duration_since(UNIX_EPOCH).ok()) {
            let millis = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
            wall_clock::heard(self.address(), millis.saturating_add(500));
        }
    }

    async fn exchange(&self, request: Request<Body>) -> Result<Bytes, RegistryError> {
        let (parts, body) = request.into_parts();
        let mut body = Outgoing::new(body, true).await.map_err(Failure::Caller)?;
        // Whatever is asked of a registry may be asked twice.
        let received = h1::send(&self.endpoint, &parts, &mut body, true).await?;
        self.hear_the_time(&received.headers);
        if !received.status.is_success() {
            return Err(RegistryError::Status(received.status));
        }
        let body = Limited::new(received.content.into_unaccounted_body(), ANSWER);
        let body = body.collect().await.map_err(|e| RegistryError::Answer(e.to_string()))?;
        Ok(body.to_bytes())
    }
}
