//! The service's hold on one open socket.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::Wake;

use tokio::sync::oneshot;

use crate::mailbox::{Command, Mailbox, Order};
use crate::{Close, Frame, Snapshot};

/// The slot of a socket that its loop has not taken in yet.
const NOWHERE: u32 = u32::MAX;

/// One open socket. Clones mean the same socket; keeping one does not keep it open. Calls never
/// wait, take effect in the order in which they are made, and do nothing once it is closed.
pub struct Socket<K, M>(Arc<Shared<K, M>>);

/// What the handle and the loop share. It is also the waker of the connection, so a socket that
/// sleeps costs no task.
pub(crate) struct Shared<K, M> {
    id: u64,
    slot: AtomicU32,
    /// Whether the loop has been told that the connection is ready.
    ready: AtomicBool,
    open: AtomicBool,
    mailbox: Arc<Mailbox<K, M>>,
    meta: M,
}

impl<K: Hash + Eq, M> Socket<K, M> {
    pub(crate) fn new(id: u64, mailbox: Arc<Mailbox<K, M>>, meta: M) -> Self {
        Self(Arc::new(Shared {
            id,
            slot: AtomicU32::new(NOWHERE),
            ready: AtomicBool::new(false),
            open: AtomicBool::new(true),
            mailbox,
            meta,
        }))
    }

    /// Unique in its hub.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// What the service said of it when it was accepted.
    #[must_use]
    pub fn meta(&self) -> &M {
        &self.0.meta
    }

    /// Whether it still takes frames.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.open.load(Ordering::Acquire)
    }

    /// Reads a topic from now on, in addition to others.
    pub fn join(&self, key: K) {
        self.order(Order::Join(key));
    }

    /// Reads a topic no more; what was published before still comes.
    pub fn leave(&self, key: K) {
        self.order(Order::Leave(key));
    }

    /// Sends to this socket alone, after what was published to it before.
    pub fn send(&self, frame: impl Into<Frame>) {
        self.order(Order::Send(frame.into()));
    }

    /// Keeps back from now on what is published to it, until [`Self::release`]. So a service can
    /// read a history while nothing that happens meanwhile is lost. What is kept back is bounded
    /// like anything else that waits.
    pub fn hold(&self) {
        self.order(Order::Hold);
    }

    /// Sends the snapshot, then what was kept back and is not part of it.
    pub fn release(&self, snapshot: impl Into<Snapshot>) {
        let Snapshot { frames, upto } = snapshot.into();
        let upto = upto.unwrap_or(0);
        self.order(Order::Release { frames, upto });
    }

    /// Closes it once what was published and sent before has been written.
    pub fn close(&self, close: Close) {
        self.order(Order::Close(close));
    }

    /// Reads on after a handler answered [`crate::Next::Pause`].
    pub fn resume(&self) {
        self.order(Order::Resume);
    }

    /// Waits until the connection has taken all that was sent: to send a long history page by
    /// page. `false` when it closed instead.
    pub async fn flushed(&self) -> bool {
        let (done, flushed) = oneshot::channel();
        self.order(Order::Flushed(done));
        flushed.await.is_ok()
    }

    fn order(&self, order: Order<K>) {
        if self.is_open() {
            self.0.mailbox.push(Command::Order(self.clone(), order));
        }
    }

    pub(crate) fn slot(&self) -> Option<u32> {
        Some(self.0.slot.load(Ordering::Acquire)).filter(|slot| *slot != NOWHERE)
    }

    pub(crate) fn seat(&self, slot: u32) {
        self.0.slot.store(slot, Ordering::Release);
    }

    pub(crate) fn set_closed(&self) {
        self.0.open.store(false, Ordering::Release);
    }

    /// From here on a wake tells the loop again.
    pub(crate) fn rearm(&self) {
        self.0.ready.store(false, Ordering::Release);
    }
}

impl<K, M> Socket<K, M> {
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn shared(&self) -> Arc<Shared<K, M>> {
        Arc::clone(&self.0)
    }
}

impl<K, M> Wake for Shared<K, M>
where
    K: Hash + Eq,
{
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.ready.swap(true, Ordering::AcqRel) {
            self.mailbox.ready(self.slot.load(Ordering::Acquire));
        }
    }
}

impl<K, M> Clone for Socket<K, M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, M> fmt::Debug for Socket<K, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Socket({})", self.0.id)
    }
}
