//! HTTP/1.1 to an instance, by hand: a request is written and its response read on the caller's
//! own task, without a task or a queue per connection, and small responses are taken whole.
//!
//! hyper's client connection is made for any runtime, body and order of events, and moves each
//! request through two channels; here that was a measurable part of what proxying a request costs
//! (see `bench/README.md`). hyper still serves upgrades, HTTP/2 and every listener.
//!
//! Invariant: a connection goes back into the pool only after a request that was sent completely
//! and a response that was read completely, with nothing behind it.

mod body;
mod framing;
pub(super) mod pool;
pub(super) mod request;
mod response;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use tokio_util::io::poll_read_buf;

use crate::remote::instance::Ticket;
use crate::transport::io::Io;
use crate::transport::outgoing::Outgoing;
use crate::transport::{Endpoint, Failure};
use body::Streaming;
use framing::Decoder;
use request::Sender;
pub(crate) use response::Malformed;
use response::{Framing, Head};

/// A response up to this size is read to its end before it is passed on, so that an instance that
/// dies in the middle of it can be replaced by another.
const WHOLE: u64 = 16 * 1024;

/// What is read at once, at least.
const READ: usize = 8 * 1024;

/// A connection and what was read or is to be written.
pub(super) struct Connection {
    io: Io,
    read: BytesMut,
    write: BytesMut,
}

impl Connection {
    fn new(io: Io) -> Self {
        Self { io, read: BytesMut::with_capacity(READ), write: BytesMut::with_capacity(1024) }
    }

    /// Reads what is there; 0 at the end.
    fn poll_read(&mut self, want: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.read.reserve(want);
        poll_read_buf(Pin::new(&mut self.io), cx, &mut self.read)
    }
}

/// A response: its head, and the body read or being read.
pub(crate) struct Received {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) content: Content,
}

/// The body of a response.
pub(crate) enum Content {
    Whole(Bytes),
    Streaming(Box<Streaming>),
}

impl Content {
    pub(crate) fn into_body(self, ticket: Ticket) -> Body {
        match self {
            Self::Streaming(streaming) => Body::new(streaming.accounted(ticket)),
            whole => whole.into_unaccounted_body(),
        }
    }

    /// The body of what is no call to a service.
    pub(crate) fn into_unaccounted_body(self) -> Body {
        match self {
            Self::Whole(bytes) if bytes.is_empty() => Body::empty(),
            Self::Whole(bytes) => Body::from(bytes),
            Self::Streaming(streaming) => Body::new(streaming),
        }
    }
}

/// Sends a request and waits for the response. Takes the body, unless nothing was sent.
///
/// An idle connection may have been closed at the moment it was used. Then an idempotent request
/// is sent once more on a fresh one.
pub(crate) async fn send(
    endpoint: &Arc<Endpoint>,
    parts: &Parts,
    body: &mut Outgoing,
    idempotent: bool,
) -> Result<Received, Failure> {
    if let Some(connection) = endpoint.pool.take() {
        match body.again().filter(|_| idempotent) {
            None => return exchange(endpoint, connection, parts, std::mem::take(body)).await,
            Some(copy) => match exchange(endpoint, connection, parts, copy).await {
                Err(Failure::Closed(_)) => {}
                received => return received,
            },
        }
    }
    let connection = Connection::new(endpoint.connect().await?);
    exchange(endpoint, connection, parts, std::mem::take(body)).await
}

async fn exchange(
    endpoint: &Arc<Endpoint>,
    mut connection: Connection,
    parts: &Parts,
    body: Outgoing,
) -> Result<Received, Failure> {
    let mut sender = Some(Sender::begin(&mut connection, parts, &endpoint.host, body));
    let head = poll_fn(|cx| {
        poll_send(&mut sender, &mut connection, cx)?;
        poll_head(&mut connection, &parts.method, cx)
    })
    .await?;
    let Head { status, headers, framing, reusable } = head;
    if let Framing::Length(length) = framing
        && length <= WHOLE
        && sender.is_none()
    {
        let length = length as usize;
        poll_fn(|cx| poll_whole(&mut connection, length, cx)).await?;
        let bytes = connection.read.split_to(length).freeze();
        if reusable && connection.read.is_empty() {
            endpoint.pool.put(connection);
        }
        return Ok(Received { status, headers, content: Content::Whole(bytes) });
    }
    let pool = reusable.then(|| endpoint.clone());
    let streaming = Streaming::new(connection, sender, Decoder::new(framing), pool);
    Ok(Received { status, headers, content: Content::Streaming(Box::new(streaming)) })
}

/// Goes on sending; the sender is gone when it has nothing more to do. An instance that does not
/// take the rest may still have answered, so only reading tells that it is broken.
fn poll_send(
    sender: &mut Option<Sender>,
    connection: &mut Connection,
    cx: &mut Context<'_>,
) -> Result<(), Failure> {
    let Some(sending) = sender else { return Ok(()) };
    match sending.poll(connection, cx) {
        Poll::Ready(Err(failure @ Failure::Caller(_))) => return Err(failure),
        Poll::Ready(Ok(()) | Err(_)) => *sender = None,
        Poll::Pending => {}
    }
    Ok(())
}

fn poll_head(
    connection: &mut Connection,
    asked: &Method,
    cx: &mut Context<'_>,
) -> Poll<Result<Head, Failure>> {
    loop {
        while !connection.read.is_empty() {
            match response::decode(&mut connection.read, asked).map_err(Failure::Malformed)? {
                None => break,
                // An upgrade that nobody asked for.
                Some(head) if head.status == StatusCode::SWITCHING_PROTOCOLS => {
                    return Poll::Ready(Err(Failure::Malformed(Malformed::UNASKED_UPGRADE)));
                }
                Some(head) if head.status.is_informational() => {}
                Some(head) => return Poll::Ready(Ok(head)),
            }
        }
        let silent = connection.read.is_empty();
        let error = match ready!(connection.poll_read(READ, cx)) {
            Ok(0) => io::ErrorKind::UnexpectedEof.into(),
            Ok(_) => continue,
            Err(error) => error,
        };
        let failure = if silent { Failure::Closed(error) } else { Failure::Broken(error) };
        return Poll::Ready(Err(failure));
    }
}

fn poll_whole(
    connection: &mut Connection,
    length: usize,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Failure>> {
    while connection.read.len() < length {
        let missing = length - connection.read.len();
        match ready!(connection.poll_read(missing, cx)) {
            Ok(0) => return Poll::Ready(Err(Failure::Broken(io::ErrorKind::UnexpectedEof.into()))),
            Ok(_) => {}
            Err(error) => return Poll::Ready(Err(Failure::Broken(error))),
        }
    }
    Poll::Ready(Ok(()))
}
