//! Conditional requests: a strong `ETag` of the bytes, and 304 for a client that has them.

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

/// The strong entity tag of some bytes: the first 128 bits of their SHA-256.
#[must_use]
pub fn etag(body: &[u8]) -> HeaderValue {
    let digest = Sha256::digest(body);
    let tag = format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(&digest[..16]));
    HeaderValue::from_str(&tag).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// Whether `If-None-Match` names this tag (RFC 9110, 13.1.2: weak comparison).
#[must_use]
pub fn matches(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let Ok(tag) = tag.to_str() else { return false };
    headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok()).any(|listed| {
        listed.trim() == "*"
            || listed.split(',').any(|one| {
                let one = one.trim();
                one.strip_prefix("W/").unwrap_or(one) == tag
            })
    })
}

/// Whether `If-Match`, if sent, allows changing a thing whose tag is `tag`.
#[must_use]
pub fn permits(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let Ok(tag) = tag.to_str() else { return false };
    let mut sent = headers.get_all(header::IF_MATCH).iter().peekable();
    if sent.peek().is_none() {
        return true;
    }
    sent.filter_map(|v| v.to_str().ok())
        .any(|listed| listed.trim() == "*" || listed.split(',').any(|one| one.trim() == tag))
}

/// The bytes with their `ETag`, or 304 if the client has them.
pub fn conditional(
    headers: &HeaderMap,
    media_type: &'static str,
    body: impl Into<Bytes>,
) -> Response {
    let body = body.into();
    let tag = etag(&body);
    let mut response = if matches(headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let media_type = HeaderValue::from_static(media_type);
        ([(header::CONTENT_TYPE, media_type)], Body::from(body)).into_response()
    };
    response.headers_mut().insert(header::ETAG, tag);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn who_has_it_gets_304() {
        let first = conditional(&HeaderMap::new(), "text/plain", "abc");
        assert_eq!(first.status(), 200);
        let mut again = HeaderMap::new();
        again.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        assert_eq!(conditional(&again, "text/plain", "abc").status(), 304);
        assert_eq!(conditional(&again, "text/plain", "abd").status(), 200);
    }

    #[test]
    fn lists_weak_tags_and_stars_are_understood() {
        let tag = HeaderValue::from_static("\"a\"");
        assert!(matches(&headers(header::IF_NONE_MATCH, "\"b\", W/\"a\""), &tag));
        assert!(matches(&headers(header::IF_NONE_MATCH, "*"), &tag));
        assert!(!matches(&headers(header::IF_NONE_MATCH, "\"b\""), &tag));
        assert!(permits(&HeaderMap::new(), &tag));
        assert!(permits(&headers(header::IF_MATCH, "\"a\""), &tag));
        assert!(!permits(&headers(header::IF_MATCH, "W/\"a\""), &tag));
    }
}
