//! One direction of a relayed pair.

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use crate::Frame;
use crate::frame::Boundary;
use crate::transport::Transport;

/// Read at once; what the other side does not take of it waits.
const READ: usize = 16 << 10;
/// Reads in one go, before the other direction and other tasks have a turn.
const READS_A_TURN: usize = 8;

thread_local! {
    /// A read is passed on before anything else happens on the thread, so all relays share one
    /// buffer and a pair at rest has none.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// To be ended with the last frame, where the present frame ends.
    Ending,
    /// All that will be said is under way; what still comes is dropped.
    Ended,
    /// The source has ended its stream; what waits is still written.
    Eof,
    Done,
}

#[derive(Debug)]
pub(super) struct Direction {
    /// Read from the source and not yet taken by the target.
    waiting: Bytes,
    boundary: Boundary,
    moved: u64,
    state: State,
    /// Said at the end, unless the source has said its own close.
    last: Option<Frame>,
    /// The target's stream is ended, or the target gone.
    shut: bool,
}

impl Direction {
    /// A direction that begins with what HTTP had read ahead. `last` is said where the source
    /// ends without a close.
    pub(super) fn new(ahead: Bytes, last: Option<Frame>) -> Self {
        let mut boundary = Boundary::default();
        boundary.advance(&ahead);
        Self {
            moved: ahead.len() as u64,
            waiting: Bytes::copy_from_slice(&ahead),
            boundary,
            state: State::Open,
            last,
            shut: false,
        }
    }

    /// Bytes read so far.
    pub(super) fn moved(&self) -> u64 {
        self.moved
    }

    /// Whether nothing more is taken from the source.
    pub(super) fn is_over(&self) -> bool {
        !matches!(self.state, State::Open | State::Ending)
    }

    /// Whether a close frame has passed.
    pub(super) fn is_closed(&self) -> bool {
        self.boundary.is_closed()
    }

    /// Ends the direction with a close frame, once no frame is half passed on.
    pub(super) fn end_with(&mut self, close: Frame) {
        if self.state == State::Open {
            self.state = State::Ending;
            self.last = Some(close);
        }
    }

    /// Passes on what can be; ready once the source has ended and all is written.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Transport,
        to: &mut Transport,
    ) -> Poll<()> {
        for _ in 0..READS_A_TURN {
            if ready!(self.poll_write(cx, to)).is_err() {
                // Nobody is there to write to; the source is read to its end all the same.
                self.waiting = Bytes::new();
                self.shut = true;
                if !self.is_over() {
                    self.state = State::Ended;
                }
            }
            match self.state {
                State::Open => {
                    if ready!(self.poll_read(cx, from, to, READ)) == 0 {
                        self.state = State::Eof;
                        self.say_last();
                    }
                }
                State::Ending if self.boundary.is_between_frames() => {
                    self.state = State::Ended;
                    self.say_last();
                }
                State::Ending => {
                    // Not a byte past the frame that is under way.
                    let most = usize::try_from(self.boundary.wanted()).unwrap_or(READ);
                    if ready!(self.poll_read(cx, from, to, most.min(READ))) == 0 {
                        self.state = State::Eof;
                    }
                }
                State::Ended => {
                    if ready!(self.poll_read(cx, from, to, READ)) == 0 {
                        self.state = State::Eof;
                    }
                }
                State::Eof => self.state = State::Done,
                State::Done => return Poll::Ready(()),
            }
        }
        // There may be more, after the others' turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Puts the last frame behind all others, if it may still be said.
    fn say_last(&mut self) {
        if let Some(last) = self.last.take()
            && self.boundary.is_between_frames()
            && !self.boundary.is_closed()
        {
            self.waiting = last.bytes().clone();
        }
    }

    /// Writes what waits, then the end of the stream if there will be no more.
    fn poll_write(&mut self, cx: &mut Context<'_>, to: &mut Transport) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            let written = ready!(to.poll_write(cx, &self.waiting))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.waiting = self.waiting.split_off(written);
        }
        if self.shut {
            return Poll::Ready(Ok(()));
        }
        ready!(to.poll_flush(cx))?;
        if self.is_over() {
            ready!(to.poll_shutdown(cx))?;
            self.shut = true;
        }
        Poll::Ready(Ok(()))
    }

    /// One read, given to the target at once; only what it does not take is kept. 0 is the end:
    /// a source that failed has ended too.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Transport,
        to: &mut Transport,
        most: usize,
    ) -> Poll<usize> {
        BUFFER.with_borrow_mut(|buffer| {
            let read = ready!(from.poll_read(cx, &mut buffer[..most])).unwrap_or(0);
            if read > 0 && !self.is_over() {
                let bytes = &buffer[..read];
                self.moved += read as u64;
                self.boundary.advance(bytes);
                let written = match to.poll_write(cx, bytes) {
                    Poll::Ready(Ok(written)) => written,
                    // The next write meets the error again.
                    Poll::Ready(Err(_)) | Poll::Pending => 0,
                };
                self.waiting = Bytes::copy_from_slice(&bytes[written..]);
            }
            Poll::Ready(read)
        })
    }
}
