//! An answer on its way into an HTTP/1.1 connection (RFC 9112, 6).

use std::future::poll_fn;
use std::io::{self, Write};
use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::response::Parts;
use http::{Method, Response, StatusCode};
use http_body::{Body, Frame};
use tokio::io::AsyncWriteExt;

use super::Plain;
use crate::body::Outbound;
use crate::connection::Connection;
use crate::server::Draining;
use crate::transport::Stream;

/// Pieces up to this size are put together before they are written, in bytes.
const TOGETHER: usize = 16 * 1024;

/// How the end of an answer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// There is no body; a length may still be told.
    None(Option<u64>),
    Length(u64),
    Chunked,
}

/// How the end of this answer is told.
fn framing(method: &Method, parts: &Parts, body: &Outbound) -> Framing {
    let length = body.size_hint().exact();
    match parts.status {
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => Framing::None(None),
        _ if *method == Method::HEAD => {
            let told = parts.headers.get(header::CONTENT_LENGTH);
            let told = told.and_then(|told| told.to_str().ok()?.parse().ok());
            // An empty body is what is left of one; only a length that was told is known.
            Framing::None(told.or(length.filter(|length| *length > 0)))
        }
        _ => length.map_or(Framing::Chunked, Framing::Length),
    }
}

/// Writes status line and headers.
fn head(out: &mut Vec<u8>, parts: &Parts, framing: Framing, date: &[u8], close: bool) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(parts.status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(parts.status.canonical_reason().unwrap_or("Unknown").as_bytes());
    out.extend_from_slice(b"\r\n");
    let mut dated = false;
    for (name, value) in &parts.headers {
        match *name {
            // Told anew, by what is really sent.
            header::CONTENT_LENGTH | header::TRANSFER_ENCODING | header::CONNECTION => continue,
            header::DATE => dated = true,
            _ => {}
        }
        line(out, name.as_str().as_bytes(), value);
    }
    match framing {
        Framing::None(None) => {}
        Framing::None(Some(length)) | Framing::Length(length) => {
            // Writing into memory does not fail.
            let _ = write!(out, "content-length: {length}\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
    if close {
        out.extend_from_slice(b"connection: close\r\n");
    }
    if !dated {
        out.extend_from_slice(b"date: ");
        out.extend_from_slice(date);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

fn line(out: &mut Vec<u8>, name: &[u8], value: &HeaderValue) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

impl<S: Stream> Plain<S> {
    /// Writes an answer; whether another request may follow.
    ///
    /// # Errors
    /// When the client takes no more, and when the body breaks off or is not as long as was told:
    /// then the connection must end, by which the client knows.
    pub(super) async fn send(
        &mut self,
        method: &Method,
        answer: Response<Outbound>,
        connection: &Connection,
        draining: &Draining,
    ) -> io::Result<bool> {
        let (mut parts, body) = answer.into_parts();
        let close = draining.has_begun();
        let framing = framing(method, &parts, &body);
        self.write.clear();
        let date = connection.shared.watch.date();
        head(&mut self.write, &parts, framing, date.as_bytes(), close);
        match framing {
            Framing::None(_) => {}
            Framing::Length(length) => self.send_body(body, Some(length)).await?,
            Framing::Chunked => self.send_body(body, None).await?,
        }
        self.flush().await?;
        parts.headers.clear();
        self.spare = parts.headers;
        Ok(!close)
    }

    /// Writes a body, `left` bytes of it or as many pieces as there are. What is at hand is put
    /// together and may be left for [`Plain::flush`].
    async fn send_body(&mut self, mut body: Outbound, mut left: Option<u64>) -> io::Result<()> {
        while left != Some(0) {
            let Some(data) = self.next(&mut body).await? else { break };
            match &mut left {
                _ if data.is_empty() => continue,
                Some(left) => {
                    let longer = || io::Error::other("the body is longer than was told");
                    *left = left.checked_sub(data.len() as u64).ok_or_else(longer)?;
                }
                None => {
                    // Writing into memory does not fail.
                    let _ = write!(self.write, "{:x}\r\n", data.len());
                }
            }
            if self.write.len() + data.len() <= TOGETHER {
                self.write.extend_from_slice(&data);
            } else {
                self.flush().await?;
                self.transport.write_all(&data).await?;
            }
            if left.is_none() {
                self.write.extend_from_slice(b"\r\n");
            }
        }
        match left {
            Some(0) => {}
            Some(_) => return Err(io::Error::other("the body is shorter than was told")),
            None => self.write.extend_from_slice(b"0\r\n\r\n"),
        }
        Ok(())
    }

    /// The next piece. Before it is waited for, what is there is written; if the client leaves
    /// while it is waited for, that is an error.
    async fn next(&mut self, body: &mut Outbound) -> io::Result<Option<Bytes>> {
        loop {
            let at_once = poll_fn(|cx| Poll::Ready(Pin::new(&mut *body).poll_frame(cx)));
            let frame = match at_once.await {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    self.flush().await?;
                    let later = pin!(poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)));
                    self.unless_left(later).await.ok_or(io::ErrorKind::ConnectionAborted)?
                }
            };
            match frame.transpose().map_err(io::Error::other)?.map(Frame::into_data) {
                None => return Ok(None),
                Some(Ok(data)) => return Ok(Some(data)),
                // Trailers were not announced.
                Some(Err(_)) => {}
            }
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        if !self.write.is_empty() {
            self.transport.write_all(&self.write).await?;
            self.write.clear();
        }
        self.transport.flush().await
    }
}
