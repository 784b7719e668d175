//! The client's byte stream as hyper sees it. It keeps the books of [`Wire`], and does what hyper
//! has no place for:
//!
//! - where hyper refuses a request that it cannot parse with a bare status line, the contract's
//!   problem document goes out instead;
//! - after an answer to a request whose body was not read, what still comes is thrown away for a
//!   while, so that the reset does not overtake the answer;
//! - a socket whose session has ended gets a close frame and an end.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::refusal;
use crate::wire::{Mode, Wire};

/// The most that is thrown away after an answer, in bytes.
const MOST_DISCARDED: usize = 32 * 1024 * 1024;

/// A byte stream that HTTP can be spoken on.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for S {}

/// A client's stream with the books kept on it.
#[derive(Debug)]
pub(crate) struct Transport<S> {
    stream: S,
    wire: Arc<Wire>,
    /// What goes out in place of hyper's bare refusal.
    refusal: Option<Bytes>,
    /// The last write was taken in part: the stream stands inside of something.
    torn: bool,
    shut: bool,
    discarded: usize,
    /// What was read from the stream before hyper came.
    ahead: Bytes,
}

impl<S> Transport<S> {
    pub(crate) fn new(stream: S, wire: Arc<Wire>) -> Self {
        Self {
            stream,
            wire,
            refusal: None,
            torn: false,
            shut: false,
            discarded: 0,
            ahead: Bytes::new(),
        }
    }

    fn wrote(&mut self, offered: usize, polled: &Poll<io::Result<usize>>) {
        match polled {
            Poll::Ready(Ok(taken)) => {
                self.wire.has_sent(*taken);
                self.wire.block_writes(false);
                self.torn = *taken < offered;
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.wire.block_writes(true),
        }
    }

    /// The same stream, with bytes that were read from it already.
    pub(crate) fn with_ahead(mut self, ahead: Bytes) -> Self {
        self.ahead = ahead;
        self
    }
}

impl<S: Stream> Transport<S> {
    /// The end of a socket: a close frame between two frames, then nothing more.
    fn end_socket(&mut self, code: u16, cx: &mut Context<'_>) {
        if !self.shut {
            if !self.torn {
                let [high, low] = code.to_be_bytes();
                // FIN and opcode 8, no mask, two bytes: RFC 6455, 5.5.1. It is sent if it fits.
                let _ = Pin::new(&mut self.stream).poll_write(cx, &[0x88, 2, high, low]);
            }
            self.shut = Pin::new(&mut self.stream).poll_shutdown(cx).is_ready();
        }
    }

    fn poll_refusal(&mut self, cx: &mut Context<'_>, instead_of: usize) -> Poll<io::Result<usize>> {
        while let Some(rest) = self.refusal.as_mut().filter(|rest| rest.has_remaining()) {
            let polled = Pin::new(&mut self.stream).poll_write(cx, rest);
            let taken = ready!(polled)?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            rest.advance(taken);
        }
        self.refusal = None;
        self.wire.leave_unread();
        Poll::Ready(Ok(instead_of))
    }

    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [0; 4096];
        while self.discarded < MOST_DISCARDED {
            let mut buf = ReadBuf::new(&mut space);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => self.discarded += buf.filled().len(),
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Stream> AsyncRead for Transport<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.wire.mode() == Mode::Socket
            && let Some(code) = self.wire.closing(cx.waker())
        {
            self.end_socket(code, cx);
            return Poll::Ready(Ok(()));
        }
        if !self.ahead.is_empty() {
            let length = self.ahead.len().min(buf.remaining());
            buf.put_slice(&self.ahead.split_to(length));
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if polled.is_ready() {
            self.wire.has_received(buf.filled().len() - before);
        }
        polled
    }
}

impl<S: Stream> AsyncWrite for Transport<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.refusal.is_some() || refusal::is_bare(buf) {
            if self.refusal.is_none() {
                self.refusal = Some(refusal::in_place_of(buf));
            }
            return self.poll_refusal(cx, buf.len());
        }
        if self.wire.is_closing().is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(buf.len(), &polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = bufs {
            return self.poll_write(cx, only);
        }
        if self.wire.is_closing().is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(bufs.iter().map(|b| b.len()).sum(), &polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        if polled.is_pending() {
            self.wire.block_writes(true);
        }
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.shut {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.shut = true;
            if self.wire.has_unread() {
                self.wire.become_lingering();
            }
        }
        if self.wire.mode() == Mode::Linger { self.poll_discard(cx) } else { Poll::Ready(Ok(())) }
    }
}

#[cfg(test)]
mod tests;
