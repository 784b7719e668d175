//! What gRPC says of an instance's health: its status comes in the headers or in the trailers.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::remote::instance::Ticket;

/// Whether a status that is there speaks against the instance.
pub(crate) fn is_failure(headers: &HeaderMap) -> bool {
    // 4 is DEADLINE_EXCEEDED, 14 is UNAVAILABLE.
    headers.get("grpc-status").is_some_and(|s| matches!(s.as_bytes(), b"4" | b"14"))
}

/// Whether the call was refused because the instance cannot serve, and another may.
pub(crate) fn is_unavailable(headers: &HeaderMap) -> bool {
    headers.get("grpc-status").is_some_and(|s| s.as_bytes() == b"14")
}

/// The body of a response over HTTP/2; watches how it ends.
pub(crate) struct Watched {
    body: Incoming,
    ticket: Option<Ticket>,
}

impl Watched {
    pub(crate) fn new(body: Incoming, ticket: Ticket) -> Self {
        let ticket = (!body.is_end_stream()).then_some(ticket);
        Self { body, ticket }
    }

    fn fail(&mut self) {
        if let Some(mut ticket) = self.ticket.take() {
            ticket.fail_late();
        }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) if frame.trailers_ref().is_some_and(is_failure) => self.fail(),
            Some(Ok(_)) => {}
            Some(Err(_)) => self.fail(),
            None => self.ticket = None,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
