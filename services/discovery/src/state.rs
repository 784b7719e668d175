//! The registry while it runs: its clock, its lock, those who wait for a change, and the bucket
//! through which other registries learn of what is told here.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Settings;
use crate::bucket::{News, Outbox};
use crate::model::{Bounds, Full, Handed, Heard, Millis, NoInstance, Registration, Registry};

/// The registry of this process.
pub(crate) struct State {
    registry: Mutex<Registry>,
    began: Instant,
    /// The present index.
    index: watch::Sender<u64>,
    /// Places for those who wait.
    pub(crate) watchers: Semaphore,
    pub(crate) stopping: CancellationToken,
    /// To the other registries.
    outbox: Outbox,
}

impl State {
    pub(crate) fn new(settings: &Settings, stopping: CancellationToken, outbox: Outbox) -> Self {
        let bounds = Bounds {
            services: settings.max_services,
            instances: settings.max_instances,
            tickets: settings.max_tickets,
            ticket_life: settings.ticket_seconds.saturating_mul(1_000),
        };
        let registry = Registry::new(bounds, random());
        Self {
            index: watch::Sender::new(registry.index()),
            registry: Mutex::new(registry),
            began: Instant::now(),
            watchers: Semaphore::new(settings.max_watchers.min(Semaphore::MAX_PERMITS)),
            stopping,
            outbox,
        }
    }

    pub(crate) fn now(&self) -> Millis {
        self.began.elapsed().as_millis() as Millis
    }

    /// When a time of the registry is on tokio's clock.
    pub(crate) fn instant(&self, at: Millis) -> Instant {
        self.began + std::time::Duration::from_millis(at)
    }

    pub(crate) fn read<T>(&self, look: impl FnOnce(&Registry) -> T) -> T {
        look(&self.lock())
    }

    /// Changes the registry, and tells the watchers if the index changed.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Registry, Millis) -> T) -> T {
        let mut registry = self.lock();
        let result = change(&mut registry, self.now());
        let index = registry.index();
        // Under the lock, so that watchers never see the index go back.
        self.index.send_if_modified(|seen| std::mem::replace(seen, index) != index);
        result
    }

    /// A registration or a heartbeat.
    pub(crate) fn register(&self, name: &str, said: Registration, at: i64) -> Result<(), Full> {
        let news = News::beat(name, &said, at);
        self.change(|registry, now| registry.register(name, said, now, at, Heard::Here))?;
        self.outbox.tell(news);
        Ok(())
    }

    /// An instance leaves; false if it was not there.
    pub(crate) fn leave(&self, name: &str, host: &str) -> bool {
        let left = self.change(|registry, now| registry.leave(name, host, now));
        // Also if it was not here: it may be elsewhere.
        self.outbox.tell(News::left(name, host));
        left
    }

    /// Names an instance and opens a ticket.
    pub(crate) fn hand_out(&self, name: &str) -> Result<Handed, NoInstance> {
        let handed = self.change(|registry, now| registry.hand_out(name, now, random()))?;
        self.outbox.tell(News::opened(&handed.ticket, name, &handed.host));
        Ok(handed)
    }

    /// Closes a ticket; false if it is not open.
    pub(crate) fn close(&self, ticket: &str) -> bool {
        let closed = self.change(|registry, _| registry.close(ticket));
        if closed {
            self.outbox.tell(News::closed(ticket));
        }
        closed
    }

    /// Waits until the index is another than `seen`.
    pub(crate) async fn changed_from(&self, seen: u64) {
        let mut index = self.index.subscribe();
        // Its sender is in `self`: it cannot be gone.
        drop(index.wait_for(|now| *now != seen).await);
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        // Every change is complete or was refused before it began.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something that nobody can guess.
pub(crate) fn random() -> u64 {
    Uuid::new_v4().as_u64_pair().1
}
