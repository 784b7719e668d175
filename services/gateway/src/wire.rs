//! What is known of one client's connection while it lives: bytes moved, whether it is waited
//! for, how many requests run on it, whether it has become a socket.
//!
//! The connection's own task writes these few words with plain stores; the watch over slow clients
//! ([`crate::slow`]) reads them a few times a second. So a request costs no timer.

use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed,
};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use futures::task::AtomicWaker;

use crate::sockets::Registration;

/// A clock that the watch advances: a reading costs a load.
#[derive(Debug, Default)]
pub(crate) struct Ticks(AtomicU32);

impl Ticks {
    /// Ticks since the start, from 1 on: 0 means never.
    pub(crate) fn now(&self) -> u32 {
        self.0.load(Relaxed) + 1
    }

    pub(crate) fn advance(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// What a connection is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mode {
    /// One request after the other.
    Http1,
    /// Many requests at once.
    Http2,
    /// It was upgraded to a WebSocket.
    Socket,
    /// The last answer is written; what the client still sends is thrown away.
    Linger,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Wire {
    ticks: Arc<Ticks>,
    open: Arc<AtomicUsize>,
    mode: AtomicU8,
    requests: AtomicU32,
    /// When the last request ended, or the connection began.
    idle_since: AtomicU32,
    /// When the first byte of the next head came; 0: none has.
    head_since: AtomicU32,
    received: AtomicU64,
    sent: AtomicU64,
    body_awaited: AtomicBool,
    write_blocked: AtomicBool,
    unread: AtomicBool,
    /// The WebSocket close code with which the socket is to end; 0: it goes on.
    closing: AtomicU32,
    reader: AtomicWaker,
    registration: OnceLock<Registration>,
}

/// What the watch looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) mode: Mode,
    pub(crate) busy: bool,
    pub(crate) idle_since: u32,
    pub(crate) head_since: u32,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) body_awaited: bool,
    pub(crate) write_blocked: bool,
}

impl Wire {
    /// A connection that begins now; `open` counts those there are.
    pub(crate) fn new(ticks: Arc<Ticks>, open: Arc<AtomicUsize>, mode: Mode) -> Self {
        open.fetch_add(1, Relaxed);
        let now = ticks.now();
        Self {
            ticks,
            open,
            mode: AtomicU8::new(mode as u8),
            requests: AtomicU32::new(0),
            idle_since: AtomicU32::new(now),
            // Whoever connects has something to ask: the first head is awaited at once.
            head_since: AtomicU32::new(now),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            body_awaited: AtomicBool::new(false),
            write_blocked: AtomicBool::new(false),
            unread: AtomicBool::new(false),
            closing: AtomicU32::new(0),
            reader: AtomicWaker::new(),
            registration: OnceLock::new(),
        }
    }

    pub(crate) fn read(&self) -> Reading {
        Reading {
            mode: self.mode(),
            busy: self.requests.load(Relaxed) > 0,
            idle_since: self.idle_since.load(Relaxed),
            head_since: self.head_since.load(Relaxed),
            received: self.received.load(Relaxed),
            sent: self.sent.load(Relaxed),
            body_awaited: self.body_awaited.load(Relaxed),
            write_blocked: self.write_blocked.load(Relaxed),
        }
    }

    pub(crate) fn mode(&self) -> Mode {
        match self.mode.load(Relaxed) {
            0 => Mode::Http1,
            1 => Mode::Http2,
            2 => Mode::Socket,
            _ => Mode::Linger,
        }
    }

    /// The connection is upgraded; its place in the register goes with it.
    pub(crate) fn become_socket(&self, registration: Registration) {
        self.mode.store(Mode::Socket as u8, Relaxed);
        // A connection is upgraded at most once.
        drop(self.registration.set(registration));
    }

    pub(crate) fn become_lingering(&self) {
        self.idle_since.store(self.ticks.now(), Relaxed);
        self.mode.store(Mode::Linger as u8, Relaxed);
    }

    /// A request's head is complete.
    pub(crate) fn request_began(&self) {
        self.requests.fetch_add(1, Relaxed);
        self.head_since.store(0, Relaxed);
        self.unread.store(false, Relaxed);
    }

    /// A request's answer is handed over, or given up.
    pub(crate) fn request_ended(&self) {
        self.idle_since.store(self.ticks.now(), Relaxed);
        self.requests.fetch_sub(1, Relaxed);
    }

    /// The request is answered although its body was not read: the client may go on sending it.
    pub(crate) fn leave_unread(&self) {
        self.unread.store(true, Relaxed);
    }

    pub(crate) fn has_unread(&self) -> bool {
        self.unread.load(Relaxed)
    }

    pub(crate) fn await_body(&self, awaited: bool) {
        self.body_awaited.store(awaited, Relaxed);
    }

    pub(crate) fn has_received(&self, bytes: usize) {
        add(&self.received, bytes);
        if self.requests.load(Relaxed) == 0 && self.head_since.load(Relaxed) == 0 {
            self.head_since.store(self.ticks.now(), Relaxed);
        }
    }

    pub(crate) fn has_sent(&self, bytes: usize) {
        add(&self.sent, bytes);
    }

    pub(crate) fn block_writes(&self, blocked: bool) {
        // Read first: the line stays shared while nothing changes.
        if self.write_blocked.load(Relaxed) != blocked {
            self.write_blocked.store(blocked, Relaxed);
        }
    }

    /// Ends the socket with this WebSocket close code, as soon as its task looks.
    pub(crate) fn close_socket(&self, code: u16) {
        self.closing.store(code.into(), Relaxed);
        self.reader.wake();
    }

    /// The code with which the socket is to end; `waker` is woken when there comes to be one.
    pub(crate) fn closing(&self, waker: &Waker) -> Option<u16> {
        self.reader.register(waker);
        self.is_closing()
    }

    pub(crate) fn is_closing(&self) -> Option<u16> {
        u16::try_from(self.closing.load(Relaxed)).ok().filter(|code| *code != 0)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Relaxed);
    }
}

/// Only the connection's own task adds, so that no atomic addition is needed.
fn add(to: &AtomicU64, bytes: usize) {
    to.store(to.load(Relaxed).wrapping_add(bytes as u64), Relaxed);
}
