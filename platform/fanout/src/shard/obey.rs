//! What the loop does with each command.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::Shard;
use crate::Close;
use crate::conn::Conn;
use crate::host::{Key, Meta};
use crate::mailbox::{Command, Matches, Order};

/// How long before a handshake reached the hub the caller's session may have been checked.
const CHECKED_WITHIN: Duration = Duration::from_secs(2);
/// Closings remembered; far more than there are in the time for which they are.
const MOST_REVOKED: usize = 10_000;

/// Closings by [`crate::Hub::close_where`] that hold for sockets whose handshake was under way.
pub(super) struct Revoked<M> {
    list: VecDeque<(Instant, Close, Matches<M>)>,
    keep: Duration,
}

impl<M> Revoked<M> {
    pub(super) fn new(setup_within: Duration) -> Self {
        Self { list: VecDeque::new(), keep: setup_within + CHECKED_WITHIN }
    }

    fn push(&mut self, at: Instant, close: Close, matches: Matches<M>) {
        while self.list.len() >= MOST_REVOKED
            || self.list.front().is_some_and(|(first, ..)| *first + self.keep < at)
        {
            self.list.pop_front();
        }
        self.list.push_back((at, close, matches));
    }

    /// How a socket is to be closed that was let in before a closing that meant it.
    fn close_for(&self, begun: Instant, meta: &M) -> Option<Close> {
        let since = self.list.iter().rev().take_while(|(at, ..)| *at + CHECKED_WITHIN >= begun);
        let mut meant = since.filter(|(.., matches)| matches(meta));
        meant.next().map(|(_, close, _)| close.clone())
    }
}

impl<K: Key, M: Meta> Shard<K, M> {
    pub(super) fn obey(&mut self, command: Command<K, M>) {
        match command {
            Command::Publish { key, seq, frame } => self.topics.publish(&key, seq, frame),
            Command::Attach(conn) => self.attach(conn),
            Command::Order(socket, order) => {
                let slot = socket.slot().unwrap_or(u32::MAX);
                // The slot may have passed to another since.
                let conn = self.seats.get_mut(slot);
                if conn.is_some_and(|conn| conn.socket.is(&socket)) {
                    self.order(slot, order);
                }
            }
            Command::CloseWhere { at, close, matches } => {
                for slot in self.seats.slots() {
                    let conn = self.seats.get_mut(slot);
                    if conn.is_some_and(|conn| conn.is_open() && matches(conn.socket.meta())) {
                        self.close(slot, &close);
                    }
                }
                self.revoked.push(at, close, matches);
            }
            Command::Drain => {
                self.draining = true;
                for slot in self.seats.slots() {
                    self.close(slot, &Close::RESTART);
                }
            }
            Command::Stop => self.stopped = true,
        }
    }

    fn attach(&mut self, mut conn: Box<Conn<K, M>>) {
        conn.start(&self.host);
        let (socket, begun) = (conn.socket.clone(), conn.begun);
        let slot = self.seats.insert(conn);
        socket.seat(slot);
        self.settle(slot, Ok(()));
        let close = if self.draining {
            Some(Close::RESTART)
        } else {
            self.revoked.close_for(begun, socket.meta())
        };
        if let Some(close) = close {
            self.close(slot, &close);
        }
    }

    fn order(&mut self, slot: u32, order: Order<K>) {
        // Whatever is done with a socket comes after what was published to it before.
        if !matches!(order, Order::Join(_) | Order::Resume) {
            self.catch_up(slot);
        }
        let Some(conn) = self.seats.get_mut(slot) else {
            return;
        };
        match order {
            Order::Join(key) => {
                if conn.is_open() {
                    self.topics.join(key, slot);
                }
            }
            // It would not be among the readers who are cut off for the frame that they miss.
            Order::Leave(key) if self.lost.contains(&key) => self.with(slot, Conn::cut_off),
            Order::Leave(key) => self.topics.leave(&key, slot),
            Order::Hold => conn.hold(),
            Order::Release { frames, upto } => {
                self.with(slot, |conn, host| conn.release(&frames, upto, host));
            }
            Order::Send(frame) => self.with(slot, |conn, host| conn.send(&frame, host)),
            Order::Close(close) => self.close(slot, &close),
            Order::Resume => {
                conn.resume();
                self.drive(slot);
            }
            Order::Flushed(done) => conn.tell_flushed(done),
        }
    }

    /// Gives one socket what waits for it in its topics, ahead of the others.
    pub(super) fn catch_up(&mut self, slot: u32) {
        let waiting = self.topics.take_waiting(slot);
        if !waiting.is_empty() {
            self.with(slot, |conn, host| conn.offer_some(&waiting, host));
        }
    }

    fn close(&mut self, slot: u32, close: &Close) {
        self.catch_up(slot);
        self.with(slot, |conn, host| conn.close(close, host));
    }

    /// Ends the reading of a topic of which a frame is lost.
    pub(super) fn cut_off_readers(&mut self, key: &K) {
        for slot in self.topics.readers(key) {
            self.with(slot, Conn::cut_off);
        }
    }
}
