//! What a socket's peer says, and what becomes of it.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::{Conn, Gone, Phase};
use crate::handler::Next;
use crate::host::{Host, Key, Meta};
use crate::parser::Event;
use crate::{Close, Frame};

/// Reads in one turn, before others have theirs.
const READS_A_TURN: usize = 4;

impl<K: Key, M: Meta> Conn<K, M> {
    pub(super) fn read(&mut self, buffer: &mut [u8], host: &Host<K, M>) -> Result<(), Gone> {
        for _ in 0..READS_A_TURN {
            if self.eof || self.is_deaf(host) {
                return Ok(());
            }
            if !self.unread.is_empty() {
                let unread = std::mem::take(&mut self.unread);
                let left = self.ingest(&unread, host)?;
                self.unread = unread.slice(unread.len() - left..);
                continue;
            }
            let cx = &mut Context::from_waker(&self.waker);
            match self.io.poll_read(cx, buffer) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) if self.phase == Phase::Lingering => {
                    self.eof = true;
                    return self.wind_up();
                }
                Poll::Ready(Ok(0) | Err(_)) => return Err(Gone),
                Poll::Ready(Ok(read)) => {
                    self.times.heard();
                    let left = self.ingest(&buffer[..read], host)?;
                    self.unread = Bytes::copy_from_slice(&buffer[read - left..read]);
                }
            }
        }
        // There may be more, after the others' turn.
        self.waker.wake_by_ref();
        Ok(())
    }

    /// Whether it is not to be read now.
    pub(super) fn is_deaf(&self, host: &Host<K, M>) -> bool {
        self.phase == Phase::Open && (self.paused || self.times.is_throttled(host))
    }

    /// Takes in what was read; how many bytes are left for when the service wants more.
    fn ingest(&mut self, mut input: &[u8], host: &Host<K, M>) -> Result<usize, Gone> {
        while self.phase != Phase::Lingering {
            if self.is_deaf(host) {
                return Ok(input.len());
            }
            match self.parser.next(&mut input) {
                Ok(None) => break,
                Ok(Some(Event::Close(code))) => self.answer_close(code, host)?,
                Ok(Some(_)) if self.phase == Phase::Closing => {}
                Ok(Some(event)) => {
                    self.times.count_frame(host);
                    self.take(event, host)?;
                }
                Err(_) if self.phase == Phase::Closing => self.linger()?,
                // What follows a violation cannot be parsed, so no answer is awaited.
                Err(close) => self.say_last(&Frame::close(&close), Phase::Lingering, host)?,
            }
        }
        Ok(0)
    }

    fn take(&mut self, event: Event, host: &Host<K, M>) -> Result<(), Gone> {
        match event {
            Event::Ping(payload) => self.send(&Frame::pong(&payload), host),
            Event::Message(message) => match host.handle(&self.socket, message) {
                Next::Read => Ok(()),
                Next::Pause => {
                    self.paused = true;
                    Ok(())
                }
                Next::Close(close) => self.close(&close, host),
            },
            Event::Pong | Event::Close(_) => Ok(()),
        }
    }

    fn answer_close(&mut self, code: Option<u16>, host: &Host<K, M>) -> Result<(), Gone> {
        self.eof = true;
        if self.phase == Phase::Closing {
            return self.linger();
        }
        let answer =
            code.map_or_else(Frame::bare_close, |code| Frame::close(&Close::new(code, "")));
        self.say_last(&answer, Phase::Lingering, host)
    }

    fn linger(&mut self) -> Result<(), Gone> {
        self.phase = Phase::Lingering;
        self.wind_up()
    }
}
