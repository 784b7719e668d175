//! Bodies on their way through: what clients send, limited and watched; what they get, with the
//! request's place in the books of its connection.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use crate::wire::Wire;

/// A body that a client sends. Longer than its limit it becomes an error, which the service sees
/// as a body that breaks off, and the client as 413.
pub(crate) struct Inbound {
    incoming: Incoming,
    left: u64,
    wire: Arc<Wire>,
    over: Arc<AtomicBool>,
}

/// Whether a body has proved too long.
pub(crate) struct Overrun(Arc<AtomicBool>);

impl Overrun {
    pub(crate) fn happened(&self) -> bool {
        self.0.load(Relaxed)
    }
}

impl Inbound {
    /// At most `limit` bytes of `incoming`.
    pub(crate) fn new(incoming: Incoming, limit: u64, wire: Arc<Wire>) -> (Self, Overrun) {
        let over = Arc::new(AtomicBool::new(false));
        (Self { incoming, left: limit, wire, over: over.clone() }, Overrun(over))
    }
}

/// The body is longer than its route allows.
#[derive(Debug, thiserror::Error)]
#[error("the body is larger than the limit")]
pub(crate) struct TooLong;

impl http_body::Body for Inbound {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            let polled = Pin::new(&mut self.incoming).poll_frame(cx);
            self.wire.await_body(polled.is_pending());
            let frame = match ready!(polled) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => return Poll::Ready(None),
            };
            // Trailers go no further: nobody behind here reads them.
            let Ok(data) = frame.into_data() else { continue };
            let Some(left) = self.left.checked_sub(data.len() as u64) else {
                self.over.store(true, Relaxed);
                return Poll::Ready(Some(Err(TooLong.into())));
            };
            self.left = left;
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        self.wire.await_body(false);
        if !http_body::Body::is_end_stream(&self.incoming) {
            self.wire.leave_unread();
        }
    }
}

/// A body that a client gets.
pub(crate) struct Outbound {
    content: Content,
    place: Option<InFlight>,
}

enum Content {
    Whole(Bytes),
    Stream(Body),
}

/// A request's place in the books of its connection; left when the answer is handed over.
pub(crate) struct InFlight(Arc<Wire>);

impl InFlight {
    pub(crate) fn begin(wire: &Arc<Wire>) -> Self {
        wire.request_began();
        Self(wire.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.request_ended();
    }
}

impl Outbound {
    pub(crate) fn empty() -> Self {
        Self::whole(Bytes::new())
    }

    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self { content: Content::Whole(bytes), place: None }
    }

    pub(crate) fn stream(body: Body) -> Self {
        Self { content: Content::Stream(body), place: None }
    }

    /// The same body; with its end the request's place is left.
    pub(crate) fn holding(mut self, place: InFlight) -> Self {
        self.place = Some(place);
        self
    }
}

impl http_body::Body for Outbound {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match &mut self.content {
            Content::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Content::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Content::Stream(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.is_empty(),
            Content::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Stream(body) => body.size_hint(),
        }
    }
}
