//! The head of a request, if it is plain.

use std::mem::MaybeUninit;

use bytes::BytesMut;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Uri};

use super::LONGEST_HEAD;

/// More fields are hyper's to judge.
const FIELDS: usize = 64;

/// What the bytes read so far are.
#[allow(clippy::large_enum_variant, reason = "it lives for a moment, and a box is an allocation")]
pub(super) enum Parsed {
    /// A whole request without a body; its bytes are taken.
    Plain(Parts),
    /// The beginning of something.
    Partial,
    /// For hyper; nothing is taken.
    Other,
}

/// Where a text stands in the head: start and length.
type Span = (u16, u16);

/// Takes a plain request off the front of `read`. `spare` is memory for its headers.
pub(super) fn parse(read: &mut BytesMut, spare: &mut HeaderMap) -> Parsed {
    if read.is_empty() {
        return Parsed::Partial;
    }
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let end = match request.parse_with_uninit_headers(read, &mut fields) {
        Ok(httparse::Status::Complete(end)) if end <= LONGEST_HEAD => end,
        Ok(httparse::Status::Partial) if read.len() <= LONGEST_HEAD => return Parsed::Partial,
        _ => return Parsed::Other,
    };
    let method = match request.method {
        Some("GET") => Method::GET,
        Some("HEAD") => Method::HEAD,
        _ => return Parsed::Other,
    };
    if request.version != Some(1) || request.headers.iter().any(decides_more) {
        return Parsed::Other;
    }
    let base = read.as_ptr() as usize;
    // All of it lies in the first 48 KiB of the buffer, as `end` does.
    let span = |of: &[u8]| ((of.as_ptr() as usize).wrapping_sub(base) as u16, of.len() as u16);
    let mut spans = [(Span::default(), Span::default()); FIELDS];
    let count = request.headers.len();
    for (spans, field) in spans.iter_mut().zip(request.headers.iter()) {
        *spans = (span(field.name.as_bytes()), span(field.value));
    }
    let target = span(request.path.unwrap_or_default().as_bytes());

    let head = read.split_to(end).freeze();
    let cut = |(start, length): Span| usize::from(start)..usize::from(start) + usize::from(length);
    let mut headers = std::mem::take(spare);
    headers.reserve(count);
    let mut add = |(name, value): (Span, Span)| {
        let name = HeaderName::from_bytes(&head[cut(name)]).ok()?;
        // An empty value may point outside of the head.
        let value = match value.1 {
            0 => HeaderValue::from_static(""),
            _ => HeaderValue::from_maybe_shared(head.slice(cut(value))).ok()?,
        };
        headers.append(name, value);
        Some(())
    };
    let all = spans[..count].iter().try_for_each(|spans| add(*spans));
    let uri = Uri::from_maybe_shared(head.slice(cut(target)));
    let (Some(()), Ok(uri)) = (all, uri) else {
        return give_back(read, &head);
    };
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = method;
    parts.uri = uri;
    parts.headers = headers;
    Parsed::Plain(parts)
}

/// Whether a field decides how the message or the connection goes on. An empty name is none.
fn decides_more(field: &httparse::Header<'_>) -> bool {
    let is = |name: HeaderName| field.name.eq_ignore_ascii_case(name.as_str());
    match field.name.len() {
        2 => is(header::TE),
        6 => is(header::EXPECT),
        7 => is(header::UPGRADE) || is(header::TRAILER),
        10 => is(header::CONNECTION) && !field.value.eq_ignore_ascii_case(b"keep-alive"),
        14 => is(header::CONTENT_LENGTH),
        17 => is(header::TRANSFER_ENCODING),
        _ => false,
    }
}

/// Undoes what was taken; it happens so seldom that copying does not matter.
fn give_back(read: &mut BytesMut, head: &[u8]) -> Parsed {
    let mut whole = BytesMut::with_capacity(head.len() + read.len());
    whole.extend_from_slice(head);
    whole.extend_from_slice(read);
    *read = whole;
    Parsed::Other
}
