//! One socket's side of the conversation: what is read, what waits, when something is due.
//!
//! Invariant: nothing here blocks or waits. Whatever cannot go on now leaves its waker with the
//! connection and is taken up when the loop is told. Nothing follows a close frame.

use std::io::IoSlice;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::batch::{Batch, Published, join};
use crate::count::Permit;
use crate::host::{Host, Key, Meta};
use crate::outbox::{Outbox, SLICES};
use crate::parser::Parser;
use crate::transport::Transport;
use crate::{Close, Frame, Socket};

mod reading;
mod times;

use times::Times;

/// The connection is over and its socket to be forgotten.
#[derive(Debug)]
pub(crate) struct Gone;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// This side has sent its close and waits for the peer's.
    Closing,
    /// All is said: what is queued goes out, then the end of the stream. Where the peer has not
    /// closed, what still comes in is read and dropped, lest a reset overtake the close frame.
    Lingering,
}

/// What is kept back while the service prepares the first frames.
#[derive(Debug, Default)]
struct Held {
    frames: Vec<Published>,
    bytes: usize,
}

pub(crate) struct Conn<K, M> {
    pub(crate) socket: Socket<K, M>,
    /// When the handshake began: what was closed since then closes this too.
    pub(crate) begun: Instant,
    waker: Waker,
    io: Transport,
    parser: Parser,
    out: Outbox,
    phase: Phase,
    /// The service does not want more for now.
    paused: bool,
    /// The peer will send no more: it has closed, in one way or the other.
    eof: bool,
    shut: bool,
    held: Option<Box<Held>>,
    /// Published frames up to this sequence were part of the first frames.
    upto: u64,
    /// Read and not yet parsed.
    unread: Bytes,
    times: Times,
    flushed: Vec<oneshot::Sender<()>>,
    _permit: Permit,
}

impl<K: Key, M: Meta> Conn<K, M> {
    /// A socket that reads nothing until it is resumed.
    pub(crate) fn new(
        socket: Socket<K, M>,
        begun: Instant,
        (io, ahead): (Transport, Bytes),
        max_message: usize,
        permit: Permit,
    ) -> Self {
        Self {
            waker: Waker::from(socket.shared()),
            socket,
            begun,
            io,
            parser: Parser::new(max_message),
            out: Outbox::default(),
            phase: Phase::Open,
            paused: true,
            eof: false,
            shut: false,
            held: None,
            upto: 0,
            // A copy, so as not to keep the HTTP buffer around it.
            unread: Bytes::copy_from_slice(&ahead),
            times: Times::default(),
            flushed: Vec::new(),
            _permit: permit,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Begins the keep-alive.
    pub(crate) fn start(&mut self, host: &Host<K, M>) {
        self.times.start(host);
    }

    /// When to [`Self::tend`] it next, in microseconds of the host's clock.
    pub(crate) fn due(&self) -> u64 {
        self.times.due(self.is_open())
    }

    /// Gives what was published, leaving out the first `skip` frames.
    pub(crate) fn offer(
        &mut self,
        batch: &Batch,
        skip: usize,
        host: &Host<K, M>,
    ) -> Result<(), Gone> {
        if self.phase != Phase::Open {
            return Ok(());
        }
        if skip == 0 && self.held.is_none() && batch.lowest > self.upto {
            return self.put(&batch.bytes, batch.frames.len(), host);
        }
        self.offer_some(&batch.frames[skip.min(batch.frames.len())..], host)
    }

    /// Gives published frames that are not shared as a batch.
    pub(crate) fn offer_some(
        &mut self,
        frames: &[Published],
        host: &Host<K, M>,
    ) -> Result<(), Gone> {
        if self.phase != Phase::Open {
            return Ok(());
        }
        if let Some(held) = &mut self.held {
            held.frames.extend_from_slice(frames);
            held.bytes += frames.iter().map(|p| p.frame.bytes().len()).sum::<usize>();
            if held.bytes > host.settings.max_behind_bytes {
                return self.cut_off(host);
            }
            return Ok(());
        }
        let upto = self.upto;
        let news = frames.iter().filter(|p| p.seq == 0 || p.seq > upto);
        let bytes = join(news.clone().map(|p| &p.frame));
        self.put(&bytes, news.count(), host)
    }

    pub(crate) fn send(&mut self, frame: &Frame, host: &Host<K, M>) -> Result<(), Gone> {
        if self.phase != Phase::Open {
            return Ok(());
        }
        self.put(frame.bytes(), 1, host)
    }

    pub(crate) fn hold(&mut self) {
        self.held.get_or_insert_default();
    }

    /// Sends the first frames and what was kept back behind them.
    pub(crate) fn release(
        &mut self,
        first: &[Frame],
        upto: u64,
        host: &Host<K, M>,
    ) -> Result<(), Gone> {
        let held = self.held.take();
        self.upto = self.upto.max(upto);
        if self.phase != Phase::Open {
            return Ok(());
        }
        if !first.is_empty() {
            self.out.push(join(first.iter()), first.len(), 0);
            self.flush()?;
            self.out.grant();
        }
        held.map_or(Ok(()), |held| self.offer_some(&held.frames, host))
    }

    /// Tells `done` as soon as nothing waits to be written.
    pub(crate) fn tell_flushed(&mut self, done: oneshot::Sender<()>) {
        if self.out.is_empty() {
            // Nobody listening any more is all right.
            let _ = done.send(());
        } else {
            self.flushed.push(done);
        }
    }

    /// The service wants to hear more; the loop reads on next.
    pub(crate) fn resume(&mut self) {
        self.paused = false;
    }

    /// Writes whole frames at once, or queues what the connection does not take.
    fn put(&mut self, bytes: &Bytes, frames: usize, host: &Host<K, M>) -> Result<(), Gone> {
        if frames == 0 {
            return Ok(());
        }
        if self.out.is_empty() {
            let cx = &mut Context::from_waker(&self.waker);
            let written = match self.io.poll_write(cx, bytes) {
                Poll::Ready(Ok(written)) => written,
                Poll::Ready(Err(_)) => return Err(Gone),
                Poll::Pending => 0,
            };
            if written == bytes.len() {
                return self.flush_io();
            }
            self.out.push(bytes.clone(), frames, written);
            self.flush()?;
        } else {
            self.out.push(bytes.clone(), frames, 0);
        }
        let settings = &host.settings;
        if self.out.is_over(settings.max_behind_bytes, settings.max_behind_frames) {
            return self.cut_off(host);
        }
        Ok(())
    }

    /// Writes what waits, as far as the connection takes it.
    fn flush(&mut self) -> Result<(), Gone> {
        while !self.out.is_empty() {
            let cx = &mut Context::from_waker(&self.waker);
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = self.out.slices(&mut slices);
            match self.io.poll_write_vectored(cx, &slices[..count]) {
                Poll::Ready(Ok(0) | Err(_)) => return Err(Gone),
                Poll::Ready(Ok(written)) => self.out.advance(written),
                Poll::Pending => return Ok(()),
            }
        }
        for done in std::mem::take(&mut self.flushed) {
            let _ = done.send(());
        }
        self.flush_io()
    }

    fn flush_io(&mut self) -> Result<(), Gone> {
        let cx = &mut Context::from_waker(&self.waker);
        match self.io.poll_flush(cx) {
            Poll::Ready(Err(_)) => Err(Gone),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    /// Ends the reading of one who does not keep up.
    pub(crate) fn cut_off(&mut self, host: &Host<K, M>) -> Result<(), Gone> {
        host.count_cut_off();
        self.out.cut();
        self.close(&Close::TOO_SLOW, host)
    }

    /// Says the close and waits for its answer.
    pub(crate) fn close(&mut self, close: &Close, host: &Host<K, M>) -> Result<(), Gone> {
        if self.phase != Phase::Open {
            return Ok(());
        }
        self.say_last(&Frame::close(close), Phase::Closing, host)
    }

    fn say_last(&mut self, frame: &Frame, phase: Phase, host: &Host<K, M>) -> Result<(), Gone> {
        self.socket.set_closed();
        self.phase = phase;
        self.held = None;
        self.times.close_by(host);
        self.out.push(frame.bytes().clone(), 1, 0);
        // Read on even where the service had paused it: the peer's answer is awaited.
        self.waker.wake_by_ref();
        self.flush()?;
        self.wind_up()
    }

    /// Ends the stream once all is said and written.
    fn wind_up(&mut self) -> Result<(), Gone> {
        if self.phase != Phase::Lingering || !self.out.is_empty() {
            return Ok(());
        }
        if !self.shut {
            let cx = &mut Context::from_waker(&self.waker);
            match self.io.poll_shutdown(cx) {
                Poll::Ready(Ok(())) => self.shut = true,
                Poll::Ready(Err(_)) => return Err(Gone),
                Poll::Pending => return Ok(()),
            }
        }
        if self.eof { Err(Gone) } else { Ok(()) }
    }

    /// Takes up whatever the connection allows now: writing, then reading.
    pub(crate) fn drive(&mut self, buffer: &mut [u8], host: &Host<K, M>) -> Result<(), Gone> {
        self.socket.rearm();
        if self.out.is_empty() {
            self.flush_io()?;
        } else {
            self.flush()?;
        }
        self.wind_up()?;
        self.read(buffer, host)
    }

    /// Does what is due: a ping, the end of a peer that is silent or does not finish.
    pub(crate) fn tend(&mut self, host: &Host<K, M>) -> Result<(), Gone> {
        if self.times.is_late(self.is_open(), self.is_deaf(host), host) {
            return Err(Gone);
        }
        if self.is_open() && self.times.is_ping_due(host) {
            self.send(&Frame::ping(), host)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
