//! The body of a response that is passed on as it comes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::BoxError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::remote::instance::Ticket;
use crate::transport::Endpoint;
use crate::transport::h1::framing::{Decoder, Piece};
use crate::transport::h1::request::Sender;
use crate::transport::h1::{Connection, READ, poll_send};

/// What is read of a long body at once, at most.
const READ_MOST: u64 = 64 * 1024;

/// A body that is being read. Dropped before its end it closes the connection, by which the
/// instance learns that nobody wants the rest.
pub(crate) struct Streaming {
    /// Gone when the body has ended.
    connection: Option<Connection>,
    /// What is left of the request, when the instance answers while it still reads.
    sender: Option<Sender>,
    decoder: Decoder,
    /// Where the connection goes afterwards, if it can be used again.
    pool: Option<Arc<Endpoint>>,
    ticket: Option<Ticket>,
}

impl Streaming {
    pub(super) fn new(
        connection: Connection,
        sender: Option<Sender>,
        decoder: Decoder,
        pool: Option<Arc<Endpoint>>,
    ) -> Self {
        let mut body = Self { connection: Some(connection), sender, decoder, pool, ticket: None };
        if body.decoder.is_at_end() {
            body.finish();
        }
        body
    }

    /// The same body, on whose end the call ends.
    pub(super) fn accounted(mut self: Box<Self>, ticket: Ticket) -> Box<Self> {
        self.ticket = self.connection.is_some().then_some(ticket);
        self
    }

    fn finish(&mut self) {
        self.ticket = None;
        if let (Some(connection), Some(pool), None) =
            (self.connection.take(), self.pool.take(), &self.sender)
            && connection.read.is_empty()
        {
            pool.pool.put(connection);
        }
    }

    fn fail(&mut self, error: BoxError) -> BoxError {
        self.connection = None;
        if let Some(mut ticket) = self.ticket.take() {
            ticket.fail_late();
        }
        error
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BoxError>> {
        let Some(connection) = &mut self.connection else { return Poll::Ready(Ok(None)) };
        if poll_send(&mut self.sender, connection, cx).is_err() {
            // The caller's body failed: the instance never sees the whole request.
            self.connection = None;
            self.ticket = None;
            return Poll::Ready(Err("the request was not sent completely".into()));
        }
        loop {
            match self.decoder.next(&mut connection.read) {
                Ok(Piece::Data(data)) => return Poll::Ready(Ok(Some(data))),
                Ok(Piece::End) => return Poll::Ready(Ok(None)),
                Ok(Piece::More) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
            let want = self.decoder.left().unwrap_or(READ as u64).clamp(READ as u64, READ_MOST);
            match ready!(connection.poll_read(want as usize, cx)) {
                Ok(0) if self.decoder.may_end_by_close() => return Poll::Ready(Ok(None)),
                Ok(0) => {
                    return Poll::Ready(Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()));
                }
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }
}

impl Body for Streaming {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match ready!(self.poll_piece(cx)) {
            Ok(Some(data)) => {
                // Whoever knows the length asks no more after the last piece.
                if self.decoder.is_at_end() {
                    self.finish();
                }
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Ok(None) => {
                self.finish();
                Poll::Ready(None)
            }
            Err(error) => Poll::Ready(Some(Err(self.fail(error)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.connection.is_none() && self.decoder.is_at_end()
    }

    fn size_hint(&self) -> SizeHint {
        self.decoder.left().map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}
