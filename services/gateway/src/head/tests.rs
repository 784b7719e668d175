//! What is refused by its head.

use super::*;
use http::{HeaderValue, Request};

fn request(headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().uri("/palettes/7");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}

fn cleaned(headers: &[(&str, &str)], trusted: bool) -> Vec<String> {
    let mut request = request(headers);
    let head = Head::of(&request);
    head.clean(&mut request.headers, false, trusted);
    let mut left: Vec<String> = request.headers.keys().map(ToString::to_string).collect();
    left.sort();
    left
}

#[test]
fn what_only_the_gateway_says_is_taken_away() {
    let left = cleaned(
        &[
            ("host", "a"),
            ("x-atelier-caller", "1;s=a;staff"),
            ("X-Atelier-Mesh-Secret", "guess"),
            ("x-atelier-anything", "x"),
            ("grpc-timeout", "1n"),
            ("x-forwarded-for", "1.2.3.4"),
            ("accept", "*/*"),
        ],
        false,
    );
    assert_eq!(left, ["accept", "host"]);
}

#[test]
fn what_is_for_one_hop_goes_no_further() {
    let left = cleaned(
        &[
            ("host", "a"),
            ("connection", "keep-alive, x-mine, authorization"),
            ("keep-alive", "timeout=5"),
            ("x-mine", "1"),
            ("authorization", "Bearer x"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("proxy-authorization", "Basic x"),
        ],
        false,
    );
    assert_eq!(left, ["authorization", "host"]);
}

#[test]
fn a_trusted_proxys_word_stays() {
    assert_eq!(
        cleaned(&[("host", "a"), ("x-forwarded-for", "1.2.3.4")], true),
        ["host", "x-forwarded-for"]
    );
}

#[test]
fn malformed_heads_are_refused() {
    for (headers, status) in [
        (vec![], 400),
        (vec![("host", "a"), ("host", "b")], 400),
        (vec![("host", "a"), ("content-length", "1"), ("content-length", "1")], 400),
        (vec![("host", "a"), ("content-length", "1"), ("transfer-encoding", "chunked")], 400),
        (
            vec![
                ("host", "a"),
                (
                    "cookie",
                    "01234567890123456789012345678901234567890123456789012345678901234567890123456789",
                ),
            ],
            431,
        ),
        (vec![("host", "a")], 200),
    ] {
        let request = request(&headers);
        let got =
            Head::of(&request).check(&request, 100).map_or_else(|p| p.status().as_u16(), |()| 200);
        assert_eq!(got, status, "{headers:?}");
    }
}

#[test]
fn a_socket_is_asked_for_with_both_headers() {
    let both = request(&[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")]);
    assert!(Head::of(&both).wants_socket(&both));
    for headers in
        [vec![("upgrade", "websocket")], vec![("connection", "upgrade"), ("upgrade", "h2c")]]
    {
        let one = request(&headers);
        assert!(!Head::of(&one).wants_socket(&one), "{headers:?}");
    }
}

#[test]
fn a_response_loses_what_is_internal() {
    let mut headers = HeaderMap::new();
    for name in ["connection", "x-atelier-mesh-error", "content-type", "x-mine"] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static("x"));
    }
    clean_response(&mut headers);
    let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    left.sort_unstable();
    assert_eq!(left, ["content-type", "x-mine"]);
}
