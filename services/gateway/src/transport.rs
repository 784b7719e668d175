//! The client's byte stream as hyper sees it. It keeps the books of [`Wire`], and does what hyper
//! has no place for:
//!
//! - where hyper refuses a request that it cannot parse with a bare status line, the contract's
//!   problem document goes out instead;
//! - a client that goes away while its request is worked on is noticed without reading ahead;
//! - small answers leave in one piece of memory, which costs the system less than several;
//! - after an answer to a request whose body was not read, what still comes is thrown away for a
//!   while, so that the reset does not overtake the answer;
//! - a socket whose session has ended gets a close frame and an end.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::refusal;
use crate::wire::{Mode, Wire};

/// The most that is thrown away after an answer, in bytes.
const MOST_DISCARDED: usize = 32 * 1024 * 1024;

/// An answer up to this size is put together before it is written, in bytes.
const SMALL: usize = 4 * 1024;

/// A byte stream that can tell whether its peer is still there.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Whether hyper itself has to look for the end while it works on a request. It reads ahead
    /// for that, into memory that it takes for each request anew.
    const HYPER_LOOKS: bool;

    /// Whether the peer has ended the stream, as far as can be told without reading.
    fn has_ended(&mut self, cx: &mut Context<'_>) -> bool;
}

impl Stream for TcpStream {
    const HYPER_LOOKS: bool = false;

    fn has_ended(&mut self, cx: &mut Context<'_>) -> bool {
        // Mostly nothing has come, and the system is not asked.
        if self.poll_read_ready(cx).is_pending() {
            return false;
        }
        let mut byte = [0; 1];
        let mut buf = ReadBuf::new(&mut byte);
        matches!(self.poll_peek(cx, &mut buf), Poll::Ready(Ok(0) | Err(_)))
    }
}

impl Stream for TlsStream<TcpStream> {
    const HYPER_LOOKS: bool = true;

    fn has_ended(&mut self, _: &mut Context<'_>) -> bool {
        false
    }
}

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
    /// Small answers are put together here.
    together: Vec<u8>,
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
            together: Vec::new(),
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

    /// The pieces in one, if they are small.
    fn put_together(&mut self, bufs: &[IoSlice<'_>]) -> Option<Vec<u8>> {
        if bufs.iter().map(|buf| buf.len()).sum::<usize>() > SMALL {
            return None;
        }
        let mut together = std::mem::take(&mut self.together);
        together.clear();
        bufs.iter().for_each(|buf| together.extend_from_slice(buf));
        Some(together)
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
        if let Some(together) = self.put_together(bufs) {
            let polled = Pin::new(&mut self.stream).poll_write(cx, &together);
            self.wrote(together.len(), &polled);
            // A socket writes seldom: it keeps no memory for it.
            if self.wire.mode() != Mode::Socket {
                self.together = together;
            }
            return polled;
        }
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(bufs.iter().map(|b| b.len()).sum(), &polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes whenever it runs.
        if !S::HYPER_LOOKS && self.wire.is_only_waiting() && self.stream.has_ended(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
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
