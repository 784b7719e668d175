//! How many sockets are open, and who may open one more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The open sockets of a hub, those included whose handshake is under way.
#[derive(Debug)]
pub(crate) struct Count {
    name: &'static str,
    open: AtomicUsize,
    none: Notify,
}

/// The right to be open; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Count>);

impl Count {
    pub(crate) fn new(name: &'static str) -> Arc<Self> {
        Arc::new(Self { name, open: AtomicUsize::new(0), none: Notify::new() })
    }

    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// A permit, unless `most` are open already.
    pub(crate) fn admit(self: &Arc<Self>, most: usize) -> Option<Permit> {
        self.open
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |open| {
                (open < most).then_some(open + 1)
            })
            .ok()?;
        metrics::gauge!("fanout_sockets", "hub" => self.name).increment(1.0);
        Some(Permit(Arc::clone(self)))
    }

    /// Waits until none is open.
    pub(crate) async fn none(&self) {
        loop {
            let none = self.none.notified();
            if self.open() == 0 {
                return;
            }
            none.await;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        metrics::gauge!("fanout_sockets", "hub" => self.0.name).decrement(1.0);
        if self.0.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none.notify_waiters();
        }
    }
}
