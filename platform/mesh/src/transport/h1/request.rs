//! A request on its way into an HTTP/1.1 connection. Source: RFC 9112; hop-by-hop fields after
//! RFC 9110, section 7.6.1.
//!
//! Invariant: the length of the body is said once, by what is really sent; what the caller wrote
//! about the framing or the connection does not reach the wire.

use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use http_body::Body;
use tokio::io::AsyncWrite;

use crate::transport::Failure;
use crate::transport::h1::Connection;
use crate::transport::outgoing::Outgoing;

/// A piece of a body up to this size is copied behind what is to be written already.
const COPIED: usize = 16 * 1024;

/// How the length of a body is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    /// There is none, and the method does not make one think there is.
    Absent,
    Known(u64),
    Chunked,
}

/// The rest of a request that has begun.
pub(super) struct Sender {
    body: Outgoing,
    /// What is left of a body of known length; `None` when it is chunked.
    left: Option<u64>,
    /// A piece of the body that is being written.
    chunk: Bytes,
    /// The piece must be followed by a line end.
    line_end_due: bool,
    ended: bool,
}

impl Sender {
    /// Puts the head into the connection's buffer.
    pub(super) fn begin(
        connection: &mut Connection,
        parts: &Parts,
        host: &HeaderValue,
        body: Outgoing,
    ) -> Self {
        let length = length(&parts.method, &body);
        encode(&mut connection.write, parts, host, length);
        let left = match length {
            Length::Absent => Some(0),
            Length::Known(length) => Some(length),
            Length::Chunked => None,
        };
        let ended = body.is_end_stream();
        Self { body, left, chunk: Bytes::new(), line_end_due: false, ended }
    }

    /// Sends until the request is complete. What is at hand of the body leaves with the head, in
    /// one write.
    pub(super) fn poll(
        &mut self,
        connection: &mut Connection,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        loop {
            let waits = self.poll_gather(&mut connection.write, cx)?.is_pending();
            while !connection.write.is_empty() || !self.chunk.is_empty() {
                ready!(self.poll_write(connection, cx))?;
            }
            if self.ended && !self.line_end_due {
                return Poll::Ready(Ok(()));
            }
            if waits {
                return Poll::Pending;
            }
        }
    }

    /// Takes the next piece of the body, unless there is one to be written still.
    fn poll_gather(
        &mut self,
        write: &mut BytesMut,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        if !self.chunk.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if std::mem::take(&mut self.line_end_due) {
            write.put_slice(b"\r\n");
        }
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    self.add(data, write)?;
                }
                // Saves a write for the end of what is complete.
                if self.chunk.is_empty() && self.body.is_end_stream() {
                    self.end(write)?;
                }
            }
            Some(Err(error)) => return Poll::Ready(Err(Failure::Caller(error))),
            None => self.end(write)?,
        }
        Poll::Ready(Ok(()))
    }

    /// A piece of the body: a small one into the buffer, a large one beside it.
    fn add(&mut self, data: Bytes, write: &mut BytesMut) -> Result<(), Failure> {
        if data.is_empty() {
            return Ok(());
        }
        match &mut self.left {
            Some(left) => {
                let longer = || Failure::caller("the body is longer than was said");
                *left = left.checked_sub(data.len() as u64).ok_or_else(longer)?;
            }
            None => {
                let size = format!("{:x}\r\n", data.len());
                write.put_slice(size.as_bytes());
            }
        }
        if data.len() <= COPIED {
            write.put_slice(&data);
            if self.left.is_none() {
                write.put_slice(b"\r\n");
            }
        } else {
            self.chunk = data;
            self.line_end_due = self.left.is_none();
        }
        Ok(())
    }

    fn end(&mut self, write: &mut BytesMut) -> Result<(), Failure> {
        self.ended = true;
        match self.left {
            Some(0) => Ok(()),
            Some(_) => Err(Failure::caller("the body is shorter than was said")),
            None => {
                write.put_slice(b"0\r\n\r\n");
                Ok(())
            }
        }
    }

    fn poll_write(
        &mut self,
        connection: &mut Connection,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        let Connection { io, write, .. } = connection;
        let io = Pin::new(io);
        let written = if self.chunk.is_empty() {
            io.poll_write(cx, write)
        } else if write.is_empty() {
            io.poll_write(cx, &self.chunk)
        } else {
            io.poll_write_vectored(cx, &[IoSlice::new(write), IoSlice::new(&self.chunk)])
        };
        let written = ready!(written).map_err(Failure::Broken)?;
        if written == 0 {
            return Poll::Ready(Err(Failure::Broken(std::io::ErrorKind::WriteZero.into())));
        }
        let of_head = written.min(write.len());
        write.advance(of_head);
        self.chunk.advance(written - of_head);
        Poll::Ready(Ok(()))
    }
}

fn length(method: &Method, body: &Outgoing) -> Length {
    if body.is_end_stream() {
        let expects_body = [Method::POST, Method::PUT, Method::PATCH].contains(method);
        return if expects_body { Length::Known(0) } else { Length::Absent };
    }
    body.size_hint().exact().map_or(Length::Chunked, Length::Known)
}

fn encode(out: &mut BytesMut, parts: &Parts, host: &HeaderValue, length: Length) {
    let path = parts.uri.path_and_query().map_or("/", |p| p.as_str());
    out.reserve(64 + path.len() + parts.headers.len() * 48);
    put(out, &[parts.method.as_str().as_bytes(), b" ", path.as_bytes(), b" HTTP/1.1\r\nhost: "]);
    put(out, &[parts.headers.get(header::HOST).unwrap_or(host).as_bytes(), b"\r\n"]);
    let named = named_by_connection(&parts.headers);
    for (name, value) in &parts.headers {
        if !is_hop_by_hop(name) && !is_framing(name) && !named.contains(name) {
            put(out, &[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
        }
    }
    match length {
        Length::Absent => out.put_slice(b"\r\n"),
        Length::Chunked => out.put_slice(b"transfer-encoding: chunked\r\n\r\n"),
        Length::Known(length) => {
            let line = format!("content-length: {length}\r\n\r\n");
            out.put_slice(line.as_bytes());
        }
    }
}

fn put(out: &mut BytesMut, pieces: &[&[u8]]) {
    for piece in pieces {
        out.extend_from_slice(piece);
    }
}

/// Fields about this connection, that end here.
pub(crate) fn is_hop_by_hop(name: &HeaderName) -> bool {
    *name == header::CONNECTION
        || *name == header::TRANSFER_ENCODING
        || *name == header::TE
        || *name == header::TRAILER
        || *name == header::UPGRADE
        || name.as_str() == "keep-alive"
        || name.as_str() == "proxy-connection"
        || name.as_str() == "http2-settings"
}

/// Fields that are written anew. `expect` is answered by the server that reads the caller's body.
fn is_framing(name: &HeaderName) -> bool {
    *name == header::HOST || *name == header::CONTENT_LENGTH || *name == header::EXPECT
}

/// The fields that `connection` declares to be hop-by-hop as well; never those of the mesh, or a
/// client could make its request anonymous.
pub(crate) fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    if !headers.contains_key(header::CONNECTION) {
        return Vec::new();
    }
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .filter_map(|token| HeaderName::from_bytes(token.trim().as_bytes()).ok())
        .filter(|name| !name.as_str().starts_with("x-atelier-") && !is_carried(name))
        .collect()
}

fn is_carried(name: &HeaderName) -> bool {
    use telemetry::headers::{REQUEST_ID, TIMEOUT, TRACEPARENT};
    [REQUEST_ID, TIMEOUT, TRACEPARENT].contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn encoded(request: Request<()>, length: Length) -> String {
        let (parts, ()) = request.into_parts();
        let mut out = BytesMut::new();
        encode(&mut out, &parts, &HeaderValue::from_static("10.0.0.7:80"), length);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn a_request_is_written_as_the_rfc_says() {
        let request =
            Request::get("http://ignored/a?b=c").header("accept", "*/*").body(()).unwrap();
        let text = encoded(request, Length::Absent);
        assert_eq!(text, "GET /a?b=c HTTP/1.1\r\nhost: 10.0.0.7:80\r\naccept: */*\r\n\r\n");
    }

    #[test]
    fn what_the_caller_says_of_framing_and_connection_stays_behind() {
        let request = Request::post("/x")
            .header("host", "atelier.example")
            .header("content-length", "7")
            .header("transfer-encoding", "chunked")
            .header("connection", "keep-alive, X-Hop, x-atelier-caller")
            .header("keep-alive", "5")
            .header("x-hop", "1")
            .header("x-atelier-caller", "7;s=a")
            .header("te", "trailers")
            .body(())
            .unwrap();
        let text = encoded(request, Length::Known(3));
        let expected = "POST /x HTTP/1.1\r\nhost: atelier.example\r\nx-atelier-caller: 7;s=a\r\n\
                        content-length: 3\r\n\r\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_post_without_a_body_says_so() {
        assert_eq!(length(&Method::POST, &Outgoing::Empty), Length::Known(0));
        assert_eq!(length(&Method::GET, &Outgoing::Empty), Length::Absent);
    }
}
