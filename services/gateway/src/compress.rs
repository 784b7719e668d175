//! Compression of answers: gzip and Brotli, for types that gain by it, above 1 KiB.

use std::convert::Infallible;
use std::sync::LazyLock;

use axum::body::Body;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Request, Response};
use http_body::Body as _;
use http_body_util::BodyExt;
use tower::{ServiceExt, service_fn};
use tower_http::CompressionLevel;
use tower_http::compression::{Compression, Predicate};

/// Smaller answers are sent as they are.
pub(crate) const SMALLEST: u64 = 1024;
/// Brotli at the level at which it is about as fast as gzip.
const BROTLI_LEVEL: CompressionLevel = CompressionLevel::Precise(4);

/// How an answer is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Brotli,
    Gzip,
}

impl Encoding {
    pub(crate) fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        })
    }

    /// What the client likes best of what there is (RFC 9110, 12.5.3); Brotli where it likes both
    /// the same.
    pub(crate) fn accepted(headers: &HeaderMap) -> Option<Self> {
        let (mut brotli, mut gzip, mut any) = (None, None, None);
        let lines =
            headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
        for one in lines.flat_map(|line| line.split(',')) {
            let (name, parameters) = one.split_once(';').unwrap_or((one, ""));
            let quality = parameters
                .trim()
                .strip_prefix("q=")
                .map_or(Some(1.0), |q| q.trim().parse::<f32>().ok());
            let quality = quality.unwrap_or(0.0);
            let slot = match name.trim() {
                name if name.eq_ignore_ascii_case("br") => &mut brotli,
                name if name.eq_ignore_ascii_case("gzip")
                    || name.eq_ignore_ascii_case("x-gzip") =>
                {
                    &mut gzip
                }
                "*" => &mut any,
                _ => continue,
            };
            *slot = Some(quality);
        }
        let any = any.unwrap_or(0.0);
        let (brotli, gzip) = (brotli.unwrap_or(any), gzip.unwrap_or(any));
        if brotli > 0.0 && brotli >= gzip {
            Some(Self::Brotli)
        } else if gzip > 0.0 {
            Some(Self::Gzip)
        } else {
            None
        }
    }
}

/// Whether an answer of this type and length gains by compression and may be changed on its way.
pub(crate) fn is_worthwhile(headers: &HeaderMap, length: Option<u64>) -> bool {
    length.is_none_or(|length| length >= SMALLEST)
        && !headers.contains_key(header::CONTENT_ENCODING)
        && !headers.contains_key(header::CONTENT_RANGE)
        && !names(headers, header::CACHE_CONTROL, "no-transform")
        && headers
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(is_compressible)
}

fn is_compressible(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim();
    // Events must not wait in a compressor.
    (kind.starts_with("text/") && kind != "text/event-stream")
        || kind.ends_with("json")
        || kind.ends_with("xml")
        || matches!(
            kind,
            "application/javascript"
                | "application/wasm"
                | "application/manifest+json"
                | "font/ttf"
        )
}

/// Whether one of a header's comma-separated words is `word`.
pub(crate) fn names(headers: &HeaderMap, name: header::HeaderName, word: &str) -> bool {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|one| one.trim().eq_ignore_ascii_case(word))
}

/// Compresses an answer while it is sent. Its tag becomes a weak one, since the bytes are others.
pub(crate) async fn stream(response: Response<Body>, encoding: Encoding) -> Response<Body> {
    let mut request = Request::new(());
    request.headers_mut().insert(header::ACCEPT_ENCODING, encoding.header());
    let mut response = Some(response);
    let answer = service_fn(move |_: Request<()>| {
        let response = response.take().unwrap_or_default();
        async move { Ok::<_, Infallible>(response) }
    });
    let compression = Compression::new(answer).quality(BROTLI_LEVEL).compress_when(Always);
    let Ok(response) = compression.oneshot(request).await;
    let mut response = response.map(Body::new);
    if let Some(tag) = response.headers().get(header::ETAG).and_then(weak) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// The bytes of an answer, compressed.
pub(crate) async fn whole(bytes: Bytes, encoding: Encoding) -> Bytes {
    let compressed = stream(Response::new(Body::from(bytes)), encoding).await.into_body();
    // A body in memory does not fail.
    compressed.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default()
}

/// The tag as a weak one.
pub(crate) fn weak(tag: &HeaderValue) -> Option<HeaderValue> {
    let text = tag.to_str().ok()?;
    if text.starts_with("W/") {
        return Some(tag.clone());
    }
    HeaderValue::try_from(format!("W/{text}")).ok()
}

/// Compresses an answer if its client takes that and it gains by it.
pub(crate) async fn perhaps(
    response: Response<Body>,
    accepted: Option<Encoding>,
) -> Response<Body> {
    static VARY: LazyLock<HeaderValue> =
        LazyLock::new(|| HeaderValue::from_static("accept-encoding"));
    let Some(encoding) = accepted else { return response };
    if !is_worthwhile(response.headers(), response.body().size_hint().exact()) {
        return response;
    }
    let mut response = stream(response, encoding).await;
    if !names(response.headers(), header::VARY, "accept-encoding") {
        response.headers_mut().append(header::VARY, VARY.clone());
    }
    response
}

/// Whether to compress was decided before.
#[derive(Clone, Copy)]
struct Always;

impl Predicate for Always {
    fn should_compress<B: http_body::Body>(&self, _: &Response<B>) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(line: &'static str) -> Option<Encoding> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(line));
        Encoding::accepted(&headers)
    }

    #[test]
    fn the_client_chooses() {
        assert_eq!(accepted("gzip, deflate, br"), Some(Encoding::Brotli));
        assert_eq!(accepted("gzip;q=1.0, br;q=0.5"), Some(Encoding::Gzip));
        assert_eq!(accepted("GZIP"), Some(Encoding::Gzip));
        assert_eq!(accepted("br;q=0, gzip;q=0"), None);
        assert_eq!(accepted("*"), Some(Encoding::Brotli));
        assert_eq!(accepted("identity, *;q=0"), None);
        assert_eq!(accepted("br;q=x"), None);
    }

    #[tokio::test]
    async fn what_gains_is_compressed_and_says_so() {
        let text = "#AABBCC ".repeat(500);
        let answer = |kind: &'static str, length: usize| {
            let mut response = Response::new(Body::from(text[..length].to_owned()));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            response.headers_mut().insert(header::ETAG, HeaderValue::from_static("\"a\""));
            response
        };
        let got = perhaps(answer("application/json", 4000), Some(Encoding::Gzip)).await;
        assert_eq!(got.headers()[header::CONTENT_ENCODING], "gzip");
        assert_eq!(got.headers()[header::VARY], "accept-encoding");
        assert_eq!(got.headers()[header::ETAG], "W/\"a\"");
        assert!(got.into_body().collect().await.expect("bytes").to_bytes().len() < 400);
        for (kind, length) in [("application/json", 1000), ("image/png", 4000)] {
            let got = perhaps(answer(kind, length), Some(Encoding::Brotli)).await;
            assert!(!got.headers().contains_key(header::CONTENT_ENCODING), "{kind} {length}");
        }
    }
}
