//! Request ids and trace context at the edge: taken over from the client when well-formed, made
//! otherwise, passed on, and returned.

use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http::HeaderValue;
use http::header::HeaderMap;
use telemetry::{Trace, headers};

use crate::head::Head;

/// The longest request id that is taken over.
const LONGEST_ID: usize = 128;

/// A new request id: random for the process, counted within it.
pub(crate) fn new_request_id() -> String {
    static PROCESS: LazyLock<[u8; 12]> = LazyLock::new(|| {
        let random = uuid::Uuid::new_v4().as_u64_pair().0;
        std::array::from_fn(|at| DIGITS[(random >> (5 * at)) as usize & 31])
    });
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut count = COUNT.fetch_add(1, Relaxed);
    let mut id = [0; 12 + 13];
    id[..12].copy_from_slice(&*PROCESS);
    let mut end = 12;
    loop {
        id[end] = DIGITS[count as usize & 31];
        end += 1;
        count >>= 5;
        if count == 0 {
            break;
        }
    }
    String::from_utf8_lossy(&id[..end]).into_owned()
}

/// Crockford's base 32, lower case.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The ids of one request, as they are passed on and as they are returned.
pub(crate) struct Ids {
    pub(crate) request: Arc<str>,
    pub(crate) request_header: HeaderValue,
    pub(crate) trace: Trace,
}

impl Ids {
    /// Takes over what the client sent, or makes it.
    pub(crate) fn of(head: &Head, headers: &HeaderMap) -> Self {
        let sent = if head.request_id { headers.get(&headers::REQUEST_ID) } else { None };
        let (request, request_header) =
            match sent.and_then(|value| Some((well_formed(value)?, value))) {
                Some((id, value)) => (id.into(), value.clone()),
                None => {
                    let id = new_request_id();
                    let request = id.as_str().into();
                    // Its own digits are legal in a header.
                    (
                        request,
                        HeaderValue::try_from(id).unwrap_or_else(|_| HeaderValue::from_static("")),
                    )
                }
            };
        let sent = if head.traceparent { headers.get(&headers::TRACEPARENT) } else { None };
        let trace = sent
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map_or_else(Trace::begin, Trace::child);
        Self { request, request_header, trace }
    }
}

fn well_formed(id: &HeaderValue) -> Option<&str> {
    let id = id.to_str().ok()?;
    ((1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn ids(sent: &[(&str, &str)]) -> Ids {
        let mut request = Request::builder().uri("/");
        for (name, value) in sent {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request").into_parts().0;
        Ids::of(&Head::of(&request), &request.headers)
    }

    #[test]
    fn what_the_client_sent_is_taken_over() {
        let got = ids(&[
            ("x-request-id", "mine-7"),
            ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ]);
        assert_eq!((&*got.request, got.request_header.as_bytes()), ("mine-7", &b"mine-7"[..]));
        assert_eq!(got.trace.id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
    }

    #[test]
    fn what_is_hostile_is_made_anew() {
        for bad in ["two words", "", &"x".repeat(129)] {
            let got = ids(&[("x-request-id", bad), ("traceparent", bad)]);
            assert_ne!(&*got.request, bad);
            assert_eq!(got.request_header.as_bytes(), got.request.as_bytes());
        }
    }

    #[test]
    fn ids_differ() {
        let ids: std::collections::HashSet<_> = (0..10_000).map(|_| new_request_id()).collect();
        assert_eq!(ids.len(), 10_000);
    }
}
