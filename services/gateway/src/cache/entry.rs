//! One cached answer, ready to be sent: as it is, compressed, or as a 304.

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::tags::Stamp;
use crate::body::Outbound;
use crate::compress::{self, Encoding};
use crate::head::Head;

const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
const HIT: HeaderValue = HeaderValue::from_static("hit");
const MISS: HeaderValue = HeaderValue::from_static("miss");
/// Room for what each answer adds: ids, age, `X-Cache`, encoding.
const ADDED: usize = 8;

/// A cached answer.
#[derive(Debug)]
pub(crate) struct Entry {
    headers: HeaderMap,
    body: Bytes,
    compressible: bool,
    brotli: OnceCell<Bytes>,
    gzip: OnceCell<Bytes>,
    stored_at: Instant,
    expires_at: Instant,
    stamp: Stamp,
}

impl Entry {
    /// A 200 with these headers and bytes, to be kept for `keep`.
    pub(crate) fn new(mut headers: HeaderMap, body: Bytes, keep: Duration, stamp: Stamp) -> Self {
        let compressible = compress::is_worthwhile(&headers, Some(body.len() as u64));
        if !headers.contains_key(header::ETAG) {
            headers.insert(header::ETAG, rest::etag(&body));
        }
        if compressible && !compress::names(&headers, header::VARY, "accept-encoding") {
            headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
        }
        headers.remove(header::CONTENT_LENGTH);
        headers.remove("x-request-id");
        headers.remove("traceparent");
        headers.reserve(ADDED);
        let now = Instant::now();
        Self {
            headers,
            body,
            compressible,
            brotli: OnceCell::new(),
            gzip: OnceCell::new(),
            stored_at: now,
            // Far enough for what never expires, and no overflow.
            expires_at: now + keep.min(Duration::from_secs(365 * 24 * 3600)),
            stamp,
        }
    }

    pub(crate) fn expires_at(&self) -> Instant {
        self.expires_at
    }

    pub(crate) fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// Bytes held, counting the compressed forms as if they were there.
    pub(crate) fn weight(&self) -> usize {
        let headers: usize =
            self.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 64).sum();
        headers + if self.compressible { self.body.len() * 3 / 2 } else { self.body.len() }
    }

    /// The answer to a `GET` or `HEAD`; `hit`: it was there before this request.
    pub(crate) async fn answer(
        &self,
        method: &Method,
        head: &Head,
        headers: &HeaderMap,
        hit: bool,
    ) -> Response<Outbound> {
        let mut response = if head.conditional && self.is_known_to(headers) {
            self.not_modified()
        } else if self.compressible && head.accept_encoding {
            self.encoded(Encoding::accepted(headers)).await
        } else {
            self.respond(self.body.clone())
        };
        if *method == Method::HEAD {
            let length = http_body::Body::size_hint(response.body()).exact().unwrap_or(0);
            response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
            *response.body_mut() = Outbound::empty();
        }
        let age = self.stored_at.elapsed().as_secs();
        response
            .headers_mut()
            .insert(header::AGE, if age == 0 { HeaderValue::from_static("0") } else { age.into() });
        response.headers_mut().insert(X_CACHE, if hit { HIT } else { MISS });
        response
    }

    fn respond(&self, body: Bytes) -> Response<Outbound> {
        let mut response = Response::new(Outbound::whole(body));
        *response.headers_mut() = self.headers.clone();
        response
    }

    async fn encoded(&self, encoding: Option<Encoding>) -> Response<Outbound> {
        let Some(encoding) = encoding else { return self.respond(self.body.clone()) };
        let form = match encoding {
            Encoding::Brotli => &self.brotli,
            Encoding::Gzip => &self.gzip,
        };
        let bytes = form.get_or_init(|| compress::whole(self.body.clone(), encoding)).await;
        let mut response = self.respond(bytes.clone());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_ENCODING, encoding.header());
        if let Some(tag) = headers.get(header::ETAG).and_then(compress::weak) {
            headers.insert(header::ETAG, tag);
        }
        response
    }

    fn is_known_to(&self, headers: &HeaderMap) -> bool {
        self.headers.get(header::ETAG).is_some_and(|tag| {
            // The comparison is weak: which form the client holds does not matter.
            let tag = tag
                .to_str()
                .ok()
                .and_then(|t| t.strip_prefix("W/"))
                .and_then(|t| HeaderValue::from_str(t).ok());
            let strong = self.headers.get(header::ETAG);
            tag.as_ref().or(strong).is_some_and(|tag| rest::conditional::matches(headers, tag))
        })
    }

    fn not_modified(&self) -> Response<Outbound> {
        let mut response = Response::new(Outbound::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        for name in [
            header::ETAG,
            header::CACHE_CONTROL,
            header::VARY,
            header::CONTENT_LOCATION,
            header::EXPIRES,
        ] {
            if let Some(value) = self.headers.get(&name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
        response
    }
}
