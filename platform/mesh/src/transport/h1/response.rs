//! The head of a response as it comes out of an HTTP/1.1 connection, and how its body is framed.
//! Source: RFC 9112, sections 2 to 6.
//!
//! Invariant: a response whose length can be read in two ways is refused, and its connection is
//! not used again: what one hop takes for the end, the next may take for a second response.

use std::mem::MaybeUninit;

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use crate::transport::h1::request::is_hop_by_hop;

/// The longest head that is read, in bytes.
const HEAD: usize = 64 * 1024 - 1;
/// The most fields a head may have.
const FIELDS: usize = 100;

/// The head of a response.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) framing: Framing,
    /// The connection can be used again after this response.
    pub(super) reusable: bool,
}

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

/// The instance does not speak HTTP/1.1 as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed response: {0}")]
pub(crate) struct Malformed(pub(super) &'static str);

impl Malformed {
    pub(super) const UNASKED_UPGRADE: Self = Self("status 101, which nobody asked for");
}

/// Where a field stands in the head: name and value as start and length.
type Span = (u16, u16, u16, u16);

/// Takes a head off the front of `read`; `None` until it is complete.
pub(super) fn decode(read: &mut BytesMut, asked: &Method) -> Result<Option<Head>, Malformed> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        read,
        &mut fields,
    );
    let end = match parsed {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) if read.len() > HEAD => {
            return Err(Malformed("head too long"));
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Malformed("too many fields")),
        Err(_) => return Err(Malformed("head")),
    };
    if end > HEAD {
        return Err(Malformed("head too long"));
    }
    let status =
        response.code.and_then(|c| StatusCode::from_u16(c).ok()).ok_or(Malformed("status"))?;
    let http_1_1 = response.version == Some(1);
    let count = response.headers.len();
    let mut spans = [Span::default(); FIELDS];
    let base = read.as_ptr() as usize;
    for (span, field) in spans.iter_mut().zip(response.headers.iter()) {
        // Both lie in the first 64 KiB of the buffer, as `end` does.
        let start = |of: &[u8]| (of.as_ptr() as usize).wrapping_sub(base) as u16;
        let (name, value) = (field.name.as_bytes(), field.value);
        *span = (start(name), name.len() as u16, start(value), value.len() as u16);
    }
    let head = read.split_to(end).freeze();
    let mut fields = Fields::new(http_1_1, count);
    for &(name, name_length, value, value_length) in &spans[..count] {
        let cut =
            |start: u16, length: u16| usize::from(start)..usize::from(start) + usize::from(length);
        let name = HeaderName::from_bytes(&head[cut(name, name_length)]);
        // An empty value may point outside of the head.
        let value = match value_length {
            0 => HeaderValue::from_static(""),
            _ => HeaderValue::from_maybe_shared(head.slice(cut(value, value_length)))
                .map_err(|_| Malformed("field value"))?,
        };
        fields.add(name.map_err(|_| Malformed("field name"))?, value)?;
    }
    fields.finish(status, asked).map(Some)
}

/// The fields of a head as they are read.
struct Fields {
    headers: HeaderMap,
    http_1_1: bool,
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    /// Named by `connection`.
    hop_by_hop: Vec<HeaderName>,
}

impl Fields {
    fn new(http_1_1: bool, count: usize) -> Self {
        Self {
            headers: HeaderMap::with_capacity(count + 4),
            http_1_1,
            length: None,
            chunked: false,
            close: false,
            keep_alive: false,
            hop_by_hop: Vec::new(),
        }
    }

    fn add(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), Malformed> {
        if name == header::CONTENT_LENGTH {
            let length = digits(value.as_bytes()).ok_or(Malformed("content-length"))?;
            if self.length.replace(length).is_some_and(|before| before != length) {
                return Err(Malformed("two lengths"));
            }
            self.headers.insert(name, value);
        } else if name == header::TRANSFER_ENCODING {
            if self.chunked || !value.as_bytes().eq_ignore_ascii_case(b"chunked") {
                return Err(Malformed("transfer-encoding"));
            }
            self.chunked = true;
        } else if name == header::CONNECTION {
            let text = value.to_str().map_err(|_| Malformed("connection"))?;
            text.split(',').for_each(|token| self.add_option(token.trim()));
        } else if !is_hop_by_hop(&name) {
            self.headers.append(name, value);
        }
        Ok(())
    }

    fn add_option(&mut self, token: &str) {
        if token.eq_ignore_ascii_case("close") {
            self.close = true;
        } else if token.eq_ignore_ascii_case("keep-alive") {
            self.keep_alive = true;
        } else if let Ok(name) = HeaderName::from_bytes(token.as_bytes()) {
            self.hop_by_hop.push(name);
        }
    }

    fn finish(mut self, status: StatusCode, asked: &Method) -> Result<Head, Malformed> {
        if self.chunked && (self.length.is_some() || !self.http_1_1) {
            return Err(Malformed("two framings"));
        }
        for name in &self.hop_by_hop {
            self.headers.remove(name);
        }
        let bodiless = status.is_informational()
            || status == StatusCode::NO_CONTENT
            || status == StatusCode::NOT_MODIFIED
            || *asked == Method::HEAD;
        let framing = match self.length {
            _ if bodiless => Framing::Length(0),
            Some(length) => Framing::Length(length),
            None if self.chunked => Framing::Chunked,
            None => Framing::UntilClose,
        };
        if status == StatusCode::NO_CONTENT {
            self.headers.remove(header::CONTENT_LENGTH);
        }
        let stays_open = if self.http_1_1 { !self.close } else { self.keep_alive && !self.close };
        let reusable = stays_open && framing != Framing::UntilClose;
        Ok(Head { status, headers: self.headers, framing, reusable })
    }
}

/// A number of digits and nothing else; `u64::from_str` would take a sign.
fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str, asked: &Method) -> Result<Option<Head>, Malformed> {
        decode(&mut BytesMut::from(text), asked)
    }

    #[test]
    fn a_plain_response() {
        let mut bytes =
            BytesMut::from("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-a:  b \r\nx-e:\r\n\r\nok");
        let head = decode(&mut bytes, &Method::GET).unwrap().unwrap();
        assert_eq!(head.status, StatusCode::OK);
        assert_eq!(head.headers["x-a"], "b");
        assert_eq!(head.headers["x-e"], "");
        assert_eq!(head.framing, Framing::Length(2));
        assert!(head.reusable);
        assert_eq!(&bytes[..], b"ok", "the body stays");
    }

    #[test]
    fn what_has_no_body_has_none() {
        for (text, method) in [
            ("HTTP/1.1 204 N\r\ncontent-length: 5\r\n\r\n", Method::GET),
            ("HTTP/1.1 304 N\r\ncontent-length: 5\r\n\r\n", Method::GET),
            ("HTTP/1.1 200 N\r\ncontent-length: 5\r\n\r\n", Method::HEAD),
            ("HTTP/1.1 200 N\r\ntransfer-encoding: chunked\r\n\r\n", Method::HEAD),
        ] {
            assert_eq!(read(text, &method).unwrap().unwrap().framing, Framing::Length(0), "{text}");
        }
    }

    #[test]
    fn the_end_of_a_body_and_of_a_connection() {
        for (fields, framing, reusable) in [
            ("1.1 200 x\r\ntransfer-encoding: Chunked\r\n", Framing::Chunked, true),
            ("1.1 200 x\r\n", Framing::UntilClose, false),
            ("1.1 200 x\r\ncontent-length: 1\r\nconnection: close\r\n", Framing::Length(1), false),
            ("1.0 200 x\r\ncontent-length: 1\r\n", Framing::Length(1), false),
            (
                "1.0 200 x\r\ncontent-length: 1\r\nconnection: Keep-Alive\r\n",
                Framing::Length(1),
                true,
            ),
            ("1.1 200 x\r\ncontent-length: 1\r\ncontent-length: 1\r\n", Framing::Length(1), true),
        ] {
            let head = read(&format!("HTTP/{fields}\r\n"), &Method::GET).unwrap().unwrap();
            assert_eq!((head.framing, head.reusable), (framing, reusable), "{fields}");
        }
    }

    #[test]
    fn fields_of_the_connection_stay_behind() {
        let text = "HTTP/1.1 200 x\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nx: y\r\n\r\n";
        let head = read(text, &Method::GET).unwrap().unwrap();
        assert_eq!(head.headers.keys().collect::<Vec<_>>(), ["x"]);
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for fields in [
            "content-length: 1\r\ntransfer-encoding: chunked\r\n",
            "content-length: 1\r\ncontent-length: 2\r\n",
            "content-length: 1, 1\r\n",
            "content-length: +1\r\n",
            "content-length: -1\r\n",
            "content-length: 99999999999999999999\r\n",
            "transfer-encoding: gzip, chunked\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "x : y\r\n",
            "x: y\r\n z\r\n",
        ] {
            let text = format!("HTTP/1.1 200 x\r\n{fields}\r\n");
            assert!(read(&text, &Method::GET).is_err(), "{fields}");
        }
    }

    #[test]
    fn a_head_without_end_is_given_up() {
        let text = format!("HTTP/1.1 200 x\r\nx: {}", "y".repeat(HEAD));
        assert!(read(&text, &Method::GET).is_err());
        let many = "x: y\r\n".repeat(FIELDS + 1);
        assert!(read(&format!("HTTP/1.1 200 x\r\n{many}\r\n"), &Method::GET).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_head_or_not(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&mut BytesMut::from(&bytes[..]), &Method::GET);
            let mut with_start = BytesMut::from("HTTP/1.1 200 OK\r\n");
            with_start.extend_from_slice(&bytes);
            let _ = decode(&mut with_start, &Method::GET);
        }

        #[test]
        fn it_does_not_matter_how_the_bytes_arrive(cut in 0_usize..60) {
            let text = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nx-a: b\r\nx-b: c\r\n\r\nabc";
            let cut = cut.min(text.len());
            let mut bytes = BytesMut::from(&text[..cut]);
            let head = match decode(&mut bytes, &Method::GET).unwrap() {
                Some(head) => head,
                None => {
                    bytes.extend_from_slice(&text.as_bytes()[cut..]);
                    decode(&mut bytes, &Method::GET).unwrap().unwrap()
                }
            };
            prop_assert_eq!(head.headers.len(), 3);
            prop_assert_eq!(head.framing, Framing::Length(3));
        }
    }
}
