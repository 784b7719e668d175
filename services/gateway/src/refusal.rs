//! Refusals that are written without a service behind them: for what hyper cannot parse, and for
//! connections beyond the limit.

use bytes::Bytes;
use http::StatusCode;
use rest::Problem;

use crate::measure;
use crate::trace::new_request_id;

/// hyper's refusals are shorter than this; every answer of the gateway has a request id.
const LONGEST_BARE: usize = 200;

/// Whether these bytes are a refusal that hyper wrote by itself: a status line of the 4xx, no
/// body, and no request id.
pub(crate) fn is_bare(bytes: &[u8]) -> bool {
    bytes.starts_with(b"HTTP/1.")
        && bytes.get(9) == Some(&b'4')
        && bytes.len() < LONGEST_BARE
        && bytes.ends_with(b"\r\n\r\n")
        && !bytes.windows(12).any(|w| w == b"x-request-id")
}

/// The contract's form of a bare refusal.
pub(crate) fn in_place_of(bare: &[u8]) -> Bytes {
    measure::refused("malformed");
    let status = bare.get(9..12).and_then(|digits| StatusCode::from_bytes(digits).ok());
    let problem = match status {
        Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE) => Problem::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "the request's headers are too large",
        ),
        Some(StatusCode::URI_TOO_LONG) => {
            Problem::new(StatusCode::URI_TOO_LONG, "the request's path is too long")
        }
        _ => Problem::bad_request("the request is not HTTP"),
    };
    write(&problem, None)
}

/// What a connection is told that is one too many.
pub(crate) fn too_many_connections() -> Bytes {
    measure::refused("connections");
    write(&Problem::unavailable(1, "too many connections at the moment"), Some(1))
}

fn write(problem: &Problem, retry_after: Option<u64>) -> Bytes {
    let status = problem.status();
    let id = new_request_id();
    let body = problem.body(&id).to_string();
    let retry = retry_after.map(|s| format!("retry-after: {s}\r\n")).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\
         x-content-type-options: nosniff\r\nx-request-id: {id}\r\n{retry}connection: close\r\n\r\n",
        status.as_u16(),
        status.canonical_reason().unwrap_or("Error"),
        body.len(),
    );
    Bytes::from(head + &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: &[u8] = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\ndate: Sat, 21 Nov 2026 06:00:00 GMT\r\n\r\n";

    #[test]
    fn only_what_hyper_wrote_alone_is_replaced() {
        assert!(is_bare(BARE));
        for other in [
            &b"HTTP/1.1 404 Not Found\r\nx-request-id: a\r\ncontent-length: 0\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"\x81\x05hello",
            b"",
        ] {
            assert!(!is_bare(other));
        }
    }

    #[test]
    fn the_replacement_is_the_contracts() {
        let text = String::from_utf8_lossy(&in_place_of(BARE)).into_owned();
        assert!(text.starts_with("HTTP/1.1 431 "), "{text}");
        assert!(
            text.contains("\"message\":\"failure\"") && text.contains("connection: close"),
            "{text}"
        );
        let (head, body) = text.split_once("\r\n\r\n").expect("head and body");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{text}");
    }
}
