//! The body of a request on its way out, and whether it can be sent a second time.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;

/// A body of an idempotent request up to this size is kept for a retry.
const KEPT: u64 = 64 * 1024;

/// The body of a request.
#[derive(Default)]
pub(crate) enum Outgoing {
    /// Nothing, or nothing any more: a stream that was sent.
    #[default]
    Empty,
    /// Kept in memory; can be sent again.
    Full(Bytes),
    /// Comes from the caller, once.
    Stream(Streamed),
}

/// A body that comes from the caller.
pub(crate) struct Streamed {
    /// What was read of it before it turned out too large to keep.
    head: Option<Bytes>,
    rest: Body,
    /// Set at its end, for whoever wants to know for whom a slow call waits.
    ended: Arc<AtomicBool>,
}

impl Outgoing {
    /// Reads the body of an idempotent request into memory if it is small; leaves any other to
    /// be streamed.
    ///
    /// # Errors
    /// The caller's body failed.
    pub(crate) async fn new(mut body: Body, idempotent: bool) -> Result<Self, axum::Error> {
        if body.is_end_stream() {
            return Ok(Self::Empty);
        }
        if !idempotent || body.size_hint().lower() > KEPT {
            return Ok(Self::stream(None, body));
        }
        let mut kept = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            kept.extend_from_slice(&data);
            if kept.len() as u64 > KEPT {
                return Ok(Self::stream(Some(kept.freeze()), body));
            }
        }
        Ok(Self::Full(kept.freeze()))
    }

    fn stream(head: Option<Bytes>, rest: Body) -> Self {
        Self::Stream(Streamed { head, rest, ended: Arc::default() })
    }

    /// The same body once more, unless it can be sent only once.
    pub(crate) fn again(&self) -> Option<Self> {
        match self {
            Self::Empty => Some(Self::Empty),
            Self::Full(bytes) => Some(Self::Full(bytes.clone())),
            Self::Stream(_) => None,
        }
    }

    /// Becomes true when the caller has sent everything; `None` if it has.
    pub(crate) fn ended(&self) -> Option<Arc<AtomicBool>> {
        match self {
            Self::Empty | Self::Full(_) => None,
            Self::Stream(stream) => Some(stream.ended.clone()),
        }
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Stream(stream) => {
                if let Some(head) = stream.head.take() {
                    return Poll::Ready(Some(Ok(Frame::data(head))));
                }
                let frame = ready!(Pin::new(&mut stream.rest).poll_frame(cx));
                if frame.is_none() || stream.rest.is_end_stream() {
                    stream.ended.store(true, Relaxed);
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Stream(stream) => stream.head.is_none() && stream.rest.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(stream) => {
                let rest = stream.rest.size_hint();
                let head = stream.head.as_ref().map_or(0, |h| h.len() as u64);
                let mut hint = SizeHint::new();
                hint.set_lower(rest.lower() + head);
                if let Some(upper) = rest.upper() {
                    hint.set_upper(upper + head);
                }
                hint
            }
        }
    }
}
