//! What reaches a hub's loop from outside: orders, frames to publish, sockets that became ready.
//!
//! Invariant: whoever pushes never waits. Orders are carried out in the order in which they were
//! pushed. The bytes held are bounded; what does not fit is not kept back in silence, its
//! readers are cut off.

use std::collections::HashSet;
use std::hash::Hash;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::conn::Conn;
use crate::{Close, Frame, Socket};

/// Picks sockets by what the service knows of them.
pub(crate) type Matches<M> = Arc<dyn Fn(&M) -> bool + Send + Sync>;

/// What one socket is told.
pub(crate) enum Order<K> {
    Join(K),
    Leave(K),
    /// Keep back what is published, until `Release`.
    Hold,
    /// Send these, then what was kept back, but nothing published with a sequence up to `upto`.
    Release {
        frames: Vec<Frame>,
        upto: u64,
    },
    Send(Frame),
    Close(Close),
    /// Read on.
    Resume,
    /// Tell when nothing waits to be written any more.
    Flushed(oneshot::Sender<()>),
}

/// What the loop is told.
pub(crate) enum Command<K, M> {
    Attach(Box<Conn<K, M>>),
    Order(Socket<K, M>, Order<K>),
    Publish { key: K, seq: u64, frame: Frame },
    CloseWhere { at: Instant, close: Close, matches: Matches<M> },
    Drain,
    Stop,
}

/// All that has arrived since the loop last looked.
pub(crate) struct Work<K, M> {
    pub(crate) commands: Vec<Command<K, M>>,
    /// Slots of sockets that can be read or written again.
    pub(crate) ready: Vec<u32>,
    /// Topics of which a frame did not fit.
    pub(crate) lost: HashSet<K>,
    bytes: usize,
}

impl<K, M> Default for Work<K, M> {
    fn default() -> Self {
        Self { commands: Vec::new(), ready: Vec::new(), lost: HashSet::new(), bytes: 0 }
    }
}

impl<K, M> Work<K, M> {
    fn is_empty(&self) -> bool {
        self.commands.is_empty() && self.ready.is_empty() && self.lost.is_empty()
    }

    /// Makes room for the next lot, giving back what a burst has taken.
    fn clear(&mut self) {
        self.commands.clear();
        self.commands.shrink_to(1024);
        self.ready.clear();
        self.ready.shrink_to(1024);
        self.lost.clear();
        self.bytes = 0;
    }
}

struct State<K, M> {
    work: Work<K, M>,
    asleep: bool,
    stopped: bool,
}

/// The way into one loop.
pub(crate) struct Mailbox<K, M> {
    state: Mutex<State<K, M>>,
    waker: AtomicWaker,
    /// Bytes of frames that may wait here.
    capacity: usize,
}

impl<K: Hash + Eq, M> Mailbox<K, M> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::new(State { work: Work::default(), asleep: false, stopped: false }),
            waker: AtomicWaker::new(),
            capacity,
        }
    }

    fn state(&self) -> MutexGuard<'_, State<K, M>> {
        // Nothing panics while it is held; were it so, the lists would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, mut state: MutexGuard<'_, State<K, M>>) {
        let asleep = mem::take(&mut state.asleep);
        drop(state);
        if asleep {
            self.waker.wake();
        }
    }

    /// Hands over a command; a stopped loop drops it.
    pub(crate) fn push(&self, command: Command<K, M>) {
        let mut state = self.state();
        if !state.stopped {
            state.work.commands.push(command);
            self.wake(state);
        }
    }

    /// Hands over a frame for the readers of a topic.
    pub(crate) fn publish(&self, key: &K, seq: u64, frame: &Frame)
    where
        K: Clone,
    {
        let mut state = self.state();
        if state.stopped {
            return;
        }
        let bytes = state.work.bytes + frame.bytes().len();
        // Once a frame of a topic is lost, so are those after it: no reader sees a gap.
        if bytes > self.capacity || state.work.lost.contains(key) {
            state.work.lost.insert(key.clone());
        } else {
            state.work.bytes = bytes;
            state.work.commands.push(Command::Publish {
                key: key.clone(),
                seq,
                frame: frame.clone(),
            });
        }
        self.wake(state);
    }

    /// A socket can be read or written again.
    pub(crate) fn ready(&self, slot: u32) {
        let mut state = self.state();
        if !state.stopped {
            state.work.ready.push(slot);
            self.wake(state);
        }
    }

    /// Exchanges `work`, which is done with, for what has arrived.
    pub(crate) fn take(&self, work: &mut Work<K, M>) {
        work.clear();
        mem::swap(&mut self.state().work, work);
    }

    /// As [`Self::take`], once something is there.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>, work: &mut Work<K, M>) -> Poll<()> {
        self.waker.register(cx.waker());
        let mut state = self.state();
        if state.work.is_empty() {
            state.asleep = true;
            return Poll::Pending;
        }
        state.asleep = false;
        drop(state);
        self.take(work);
        Poll::Ready(())
    }

    /// Drops what is there and all that will come.
    pub(crate) fn stop(&self) {
        let mut state = self.state();
        state.stopped = true;
        let work = mem::take(&mut state.work);
        drop(state);
        // Outside of the lock: dropping a socket may come back here.
        drop(work);
    }
}
