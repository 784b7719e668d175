//! A hub's loop: it owns its part of the sockets and does all that is done with them.
//!
//! One task writes to every socket directly, so a frame for a thousand readers costs a thousand
//! writes and next to nothing else: no thousand tasks to wake, no thousand copies, no lock.
//! Sockets are the wakers of their own connections and put themselves on a list when they can be
//! read or written again, so one that sleeps costs no task either.
//!
//! Invariant: commands are carried out in their order; what is published reaches each reader that
//! joined its topic before, once and in the order of all its topics together, or the reader is cut
//! off.

use std::collections::HashSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::conn::{Conn, Gone};
use crate::host::{Host, Key, Meta};
use crate::mailbox::{Mailbox, Work};
use crate::seats::Seats;
use crate::topics::Topics;

mod obey;

use obey::Revoked;

/// Socket operations in one go, before other tasks of the thread have a turn.
const A_TURN: usize = 64;
/// Read at once from one socket; one buffer serves all.
const READ_BUFFER: usize = 32 << 10;
/// Bytes waiting in one topic that end the pause of [`crate::Settings::pace`].
const LONGEST_BATCH: usize = 64 << 10;

/// One loop of a hub.
pub(crate) struct Shard<K, M> {
    mailbox: Arc<Mailbox<K, M>>,
    host: Host<K, M>,
    seats: Seats<Conn<K, M>>,
    topics: Topics<K>,
    revoked: Revoked<M>,
    /// Topics of which a frame is lost, while what came with it is obeyed.
    lost: HashSet<K>,
    buffer: Vec<u8>,
    /// Not to write topics again before; see [`crate::Settings::pace`].
    next_round: u64,
    draining: bool,
    stopped: bool,
    operations: usize,
}

impl<K: Key, M: Meta> Shard<K, M> {
    pub(crate) fn new(mailbox: Arc<Mailbox<K, M>>, host: Host<K, M>) -> Self {
        Self {
            mailbox,
            revoked: Revoked::new(host.settings.setup_within),
            host,
            seats: Seats::new(),
            topics: Topics::new(),
            lost: HashSet::new(),
            buffer: vec![0; READ_BUFFER],
            next_round: 0,
            draining: false,
            stopped: false,
            operations: 0,
        }
    }

    /// Runs until it is told to stop. Not to be run under tokio's budget: it takes its own turns.
    pub(crate) async fn run(mut self) {
        let _stop = StopAtEnd(Arc::clone(&self.mailbox));
        let mut work = Work::default();
        let mut timer = Box::pin(sleep_until(Instant::now()));
        while !self.stopped {
            self.wait(&mut work, timer.as_mut()).await;
            self.host.look_at_clock();
            std::mem::swap(&mut self.lost, &mut work.lost);
            for command in work.commands.drain(..) {
                self.obey(command);
                self.turn().await;
            }
            for key in std::mem::take(&mut self.lost) {
                self.cut_off_readers(&key);
            }
            if self.topics.is_dirty() && self.round_at() <= self.host.now() {
                self.write_topics().await;
            }
            for slot in work.ready.drain(..) {
                self.drive(slot);
                self.turn().await;
            }
            while let Some(slot) = self.seats.take_due(self.host.now()) {
                self.with(slot, Conn::tend);
                self.drive(slot);
                self.turn().await;
            }
        }
    }

    /// Waits for work or for the time at which something is due.
    async fn wait(&mut self, work: &mut Work<K, M>, mut timer: Pin<&mut Sleep>) {
        let round = self.topics.is_dirty().then(|| self.round_at());
        let due = round.into_iter().chain(self.seats.first_due()).min();
        let Some(due) = due else {
            return poll_fn(|cx| self.mailbox.poll_take(cx, work)).await;
        };
        if due <= self.host.now() {
            return self.mailbox.take(work);
        }
        let due = self.host.instant(due);
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        tokio::select! {
            biased;
            () = poll_fn(|cx| self.mailbox.poll_take(cx, work)) => {}
            () = timer => self.mailbox.take(work),
        }
    }

    /// Lets other tasks run now and then.
    async fn turn(&mut self) {
        self.operations += 1;
        if self.operations >= A_TURN {
            self.operations = 0;
            tokio::task::yield_now().await;
        }
    }

    /// When what waits in the topics is to be written.
    fn round_at(&self) -> u64 {
        if self.topics.longest_wait() >= LONGEST_BATCH { 0 } else { self.next_round }
    }

    /// Writes what waits in each topic to each of its readers: one write a socket and topic,
    /// however many frames have gathered.
    async fn write_topics(&mut self) {
        let pace = u64::try_from(self.host.settings.pace.as_micros()).unwrap_or(u64::MAX);
        self.next_round = self.host.now().saturating_add(pace);
        // Whoever reads several topics gets everything in the order in which it was published.
        for slot in self.topics.waiting_in_several() {
            self.catch_up(slot);
            self.turn().await;
        }
        let mut fallen = Vec::new();
        for topic in self.topics.take_dirty() {
            let Some(batch) = self.topics.take_batch(topic) else {
                continue;
            };
            let mut position = 0;
            while let Some(reader) = self.topics.take_reader(topic, position) {
                position += 1;
                if let Some(conn) = self.seats.get_mut(reader.slot) {
                    let result = conn.offer(&batch, reader.skip, &self.host);
                    // Readers keep their positions until the round is over.
                    if result.is_err() || !conn.is_open() {
                        fallen.push((reader.slot, result));
                    }
                }
                self.turn().await;
            }
            let (frames, bytes) = (batch.frames.len(), batch.bytes.len());
            self.host.count_written((frames * position) as u64, (bytes * position) as u64);
        }
        for (slot, result) in fallen {
            self.settle(slot, result);
        }
    }

    /// Takes up what a connection allows now.
    fn drive(&mut self, slot: u32) {
        if let Some(conn) = self.seats.get_mut(slot) {
            let result = conn.drive(&mut self.buffer, &self.host);
            self.settle(slot, result);
        }
    }

    fn with(
        &mut self,
        slot: u32,
        act: impl FnOnce(&mut Conn<K, M>, &Host<K, M>) -> Result<(), Gone>,
    ) {
        if let Some(conn) = self.seats.get_mut(slot) {
            let result = act(conn, &self.host);
            self.settle(slot, result);
        }
    }

    /// Draws the consequences of whatever was done with a connection.
    fn settle(&mut self, slot: u32, result: Result<(), Gone>) {
        let Some(conn) = self.seats.get_mut(slot) else {
            return;
        };
        let open = conn.is_open();
        if result.is_ok() {
            let due = conn.due();
            self.seats.set_due(slot, due);
        }
        if result.is_err() || !open {
            self.topics.leave_all(slot);
        }
        if result.is_err()
            && let Some(conn) = self.seats.remove(slot)
        {
            conn.socket.set_closed();
            self.host.closed(&conn.socket);
        }
    }
}

/// However the loop ends, nothing gathers before its door afterwards.
struct StopAtEnd<K: Key, M: Meta>(Arc<Mailbox<K, M>>);

impl<K: Key, M: Meta> Drop for StopAtEnd<K, M> {
    fn drop(&mut self) {
        self.0.stop();
    }
}
