//! What is plain, what is for hyper, and how a plain answer is written.

use bytes::BytesMut;
use http::header::HeaderMap;
use proptest::prelude::*;

use super::head::{Parsed, parse};

fn parsed(text: &[u8]) -> (Parsed, BytesMut) {
    let mut read = BytesMut::from(text);
    let parsed = parse(&mut read, &mut HeaderMap::new());
    (parsed, read)
}

#[test]
fn a_plain_request_is_taken_and_what_follows_stays() {
    let text = b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-Empty:\r\nAccept:  */* \r\nConnection: Keep-Alive\r\n\r\nGET /";
    let (Parsed::Plain(parts), rest) = parsed(text) else { panic!("it is plain") };
    assert_eq!((parts.method.as_str(), parts.uri.to_string().as_str()), ("GET", "/a?b=c"));
    assert_eq!(parts.version, http::Version::HTTP_11);
    assert_eq!(
        (&parts.headers["accept"], &parts.headers["x-empty"]),
        (&"*/*".parse().unwrap(), &"".parse().unwrap())
    );
    assert_eq!(&rest[..], b"GET /");
}

#[test]
fn all_else_is_for_hyper_and_untouched() {
    for fields in [
        "content-length: 0",
        "Content-Length: 5",
        "transfer-encoding: chunked",
        "connection: close",
        "connection: upgrade",
        "upgrade: websocket",
        "expect: 100-continue",
        "te: trailers",
        "trailer: x",
        "bad name: x",
        "x: a\0b",
        " folded: x",
    ] {
        let text = format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\n");
        let (parsed, rest) = parsed(text.as_bytes());
        assert!(matches!(parsed, Parsed::Other), "{fields}");
        assert_eq!(rest, text, "{fields}");
    }
    for line in [
        "POST / HTTP/1.1",
        "GET / HTTP/1.0",
        "GET / HTTP/2.0",
        "BREW / HTTP/1.1",
        "GET http:// HTTP/1.1",
        "GET /\0 HTTP/1.1",
        "PRI * HTTP/2.0",
    ] {
        let text = format!("{line}\r\nhost: a\r\n\r\n");
        let (parsed, rest) = parsed(text.as_bytes());
        assert!(matches!(parsed, Parsed::Other), "{line}");
        assert_eq!(rest, text, "{line}");
    }
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(65));
    assert!(matches!(parsed(many.as_bytes()).0, Parsed::Other));
    let large = format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(50_000));
    assert!(matches!(parsed(large.as_bytes()).0, Parsed::Other), "also before its end");
}

#[test]
fn a_beginning_is_waited_for() {
    let text = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    for end in 0..text.len() {
        let (parsed, rest) = parsed(&text[..end]);
        assert!(matches!(parsed, Parsed::Partial), "{end}");
        assert_eq!(&rest[..], &text[..end]);
    }
}

proptest! {
    /// What is taken to be plain, a second reader takes to be the same: no length is told, and the
    /// head ends where it was cut.
    #[test]
    fn nothing_hides_a_body(fields in proptest::collection::vec("[ -~]{0,30}", 0..6)) {
        let text = format!("GET / HTTP/1.1\r\n{}\r\n\r\n", fields.join("\r\n"));
        let (parsed, rest) = parsed(text.as_bytes());
        if let Parsed::Plain(parts) = parsed {
            prop_assert!(!parts.headers.contains_key("content-length"));
            prop_assert!(!parts.headers.contains_key("transfer-encoding"));
            let end = text.find("\r\n\r\n").map_or(0, |at| at + 4);
            prop_assert_eq!(&rest[..], &text.as_bytes()[end..]);
        } else {
            prop_assert_eq!(&rest[..], text.as_bytes());
        }
    }

    #[test]
    fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parsed(&bytes);
        let mut with_start = b"GET / HTTP/1.1\r\n".to_vec();
        with_start.extend_from_slice(&bytes);
        let _ = parsed(&with_start);
    }
}
