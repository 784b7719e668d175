//! What travels with a request: who asks, in which trace, until when, and how fresh the answer
//! must be. The mesh sets it at a service's door; extractors and outgoing channels read it.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

use crate::Trace;

/// The headers in which a [`Context`] crosses a network. The gateway takes only the public two
/// (`x-request-id`, `traceparent`) from its clients.
pub mod headers {
    use http::HeaderName;

    /// One request, one id, everywhere.
    pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
    /// W3C trace context.
    pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
    /// Time left, as gRPC writes it; used for REST between services as well.
    pub const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
    /// The verified caller.
    pub const CALLER: HeaderName = HeaderName::from_static("x-atelier-caller");
    /// The address of the client at the gateway.
    pub const CLIENT: HeaderName = HeaderName::from_static("x-atelier-client");
    /// The caller wrote recently and must see it.
    pub const FRESH: HeaderName = HeaderName::from_static("x-atelier-fresh");
}

/// What travels with a request.
#[derive(Clone, Debug)]
pub struct Context {
    /// The request's id, at most 128 visible ASCII characters.
    pub request_id: Arc<str>,
    /// The trace and the span above the present work.
    pub trace: Trace,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
    /// The verified caller, as `auth::Principal` encodes it.
    pub caller: Option<HeaderValue>,
    /// The client's address as the gateway saw it.
    pub client: Option<IpAddr>,
    /// The caller wrote recently: no replicas and no caches, so that they see their own writes.
    pub fresh: bool,
}

tokio::task_local! {
    static CURRENT: Context;
}

impl Context {
    /// A context for work that no request asked for.
    #[must_use]
    pub fn background() -> Self {
        Self {
            request_id: new_request_id(),
            trace: Trace::begin(),
            deadline: None,
            caller: None,
            client: None,
            fresh: false,
        }
    }

    /// The context of the work that runs now, if it has one.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// Looks at the present context without copying it.
    pub fn with_current<T>(look: impl FnOnce(&Self) -> T) -> Option<T> {
        CURRENT.try_with(look).ok()
    }

    /// Runs `work` with this context as the current one.
    pub fn scope<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, work)
    }

    /// Time left until the deadline; zero once it has passed.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        self.deadline.map(|d| d.saturating_duration_since(Instant::now()))
    }

    /// Reads the context that a sibling sent. What is missing or malformed is made anew.
    #[must_use]
    pub fn from_headers(from: &HeaderMap) -> Self {
        let text = |name: &HeaderName| from.get(name).and_then(|v| v.to_str().ok());
        Self {
            request_id: text(&headers::REQUEST_ID)
                .filter(|id| is_request_id(id))
                .map_or_else(new_request_id, Arc::from),
            trace: text(&headers::TRACEPARENT)
                .and_then(|t| t.parse().ok())
                .unwrap_or_else(Trace::begin),
            deadline: text(&headers::TIMEOUT)
                .and_then(parse_timeout)
                .and_then(|left| Instant::now().checked_add(left)),
            caller: from.get(&headers::CALLER).cloned(),
            client: text(&headers::CLIENT).and_then(|a| a.parse().ok()),
            fresh: from.contains_key(&headers::FRESH),
        }
    }

    /// Writes the context for a sibling, replacing what stood there.
    pub fn write_to(&self, to: &mut HeaderMap) {
        let mut put = |name: HeaderName, value: Option<HeaderValue>| match value {
            Some(value) => drop(to.insert(name, value)),
            None => drop(to.remove(name)),
        };
        put(headers::REQUEST_ID, HeaderValue::from_str(&self.request_id).ok());
        put(headers::TRACEPARENT, HeaderValue::from_str(&self.trace.to_string()).ok());
        put(headers::TIMEOUT, self.time_left().map(format_timeout));
        put(headers::CALLER, self.caller.clone());
        put(headers::CLIENT, self.client.and_then(|a| HeaderValue::from_str(&a.to_string()).ok()));
        put(headers::FRESH, self.fresh.then(|| HeaderValue::from_static("1")));
    }
}

/// Whether a request id of a client can be taken over: 1 to 128 visible ASCII characters.
fn is_request_id(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// A new request id: random for the process, counted within it.
fn new_request_id() -> Arc<str> {
    static PROCESS: std::sync::LazyLock<u64> =
        std::sync::LazyLock::new(|| uuid::Uuid::new_v4().as_u64_pair().0);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{:016x}-{:x}", *PROCESS, COUNT.fetch_add(1, Ordering::Relaxed)).into()
}

/// Reads gRPC's `TimeoutValue TimeoutUnit`: at most eight digits and a unit.
#[must_use]
pub fn parse_timeout(text: &str) -> Option<Duration> {
    let (value, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if value.is_empty() || value.len() > 8 || !value.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: u64 = value.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

fn format_timeout(left: Duration) -> HeaderValue {
    let millis = left.as_millis().min(99_999_999);
    let text = format!("{millis}m");
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("0m"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_context_survives_the_wire() {
        let sent = Context {
            deadline: Some(Instant::now() + Duration::from_millis(1500)),
            caller: Some(HeaderValue::from_static("7;s=a")),
            client: Some([10, 0, 0, 1].into()),
            fresh: true,
            ..Context::background()
        };
        let mut wire = HeaderMap::new();
        sent.write_to(&mut wire);
        let got = Context::from_headers(&wire);
        assert_eq!(got.request_id, sent.request_id);
        assert_eq!(got.trace, sent.trace);
        assert_eq!(got.deadline, sent.deadline);
        assert_eq!(got.caller, sent.caller);
        assert_eq!(got.client, sent.client);
        assert!(got.fresh);
    }

    #[test]
    fn a_missing_part_removes_what_stood_there() {
        let mut wire = HeaderMap::new();
        wire.insert(headers::CALLER, HeaderValue::from_static("1;s=forged"));
        Context::background().write_to(&mut wire);
        assert!(!wire.contains_key(headers::CALLER));
    }

    #[test]
    fn a_hostile_request_id_is_replaced() {
        for bad in ["", "two words", "\u{e9}", &"x".repeat(129)] {
            let mut wire = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(bad.as_bytes()) {
                wire.insert(headers::REQUEST_ID, value);
            }
            assert_ne!(&*Context::from_headers(&wire).request_id, bad);
        }
    }

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        assert_eq!(parse_timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse_timeout("1H"), Some(Duration::from_secs(3600)));
        for bad in ["", "m", "1", "-1S", "123456789S", "1s", "1é"] {
            assert_eq!(parse_timeout(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn scope_makes_it_current_and_only_there() {
        assert!(Context::current().is_none());
        let context = Context::background();
        let id = context.request_id.clone();
        let seen = context.scope(async { Context::current().map(|c| c.request_id) }).await;
        assert_eq!(seen, Some(id));
    }
}
