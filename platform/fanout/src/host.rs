//! What all sockets of one loop share: settings, the service's handler, the clock, the counters.

use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::time::Instant;

use crate::{Close, Handler, Message, Next, Settings, Socket};

/// What can name a topic.
pub trait Key: Hash + Eq + Clone + Send + Sync + 'static {}

impl<T: Hash + Eq + Clone + Send + Sync + 'static> Key for T {}

/// What a service may know of a socket.
pub trait Meta: Send + Sync + 'static {}

impl<T: Send + Sync + 'static> Meta for T {}

pub(crate) struct Host<K, M> {
    pub(crate) settings: Settings,
    handler: Arc<dyn Handler<K, M>>,
    began: Instant,
    /// The time as the loop last looked, in microseconds since it began.
    now: u64,
}

impl<K: Key, M: Meta> Host<K, M> {
    pub(crate) fn new(settings: Settings, handler: Arc<dyn Handler<K, M>>) -> Self {
        Self { settings, handler, began: Instant::now(), now: 0 }
    }

    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    pub(crate) fn look_at_clock(&mut self) {
        self.now = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
    }

    pub(crate) fn instant(&self, micros: u64) -> Instant {
        self.began + std::time::Duration::from_micros(micros)
    }

    /// Hands a message to the service; its panic costs the socket, not the hub.
    pub(crate) fn handle(&self, socket: &Socket<K, M>, message: Message) -> Next {
        catch_unwind(AssertUnwindSafe(|| self.handler.message(socket, message))).unwrap_or_else(
            |_| {
                tracing::error!(hub = self.settings.name, "message handler panicked");
                Next::Close(Close::FAILED)
            },
        )
    }

    pub(crate) fn closed(&self, socket: &Socket<K, M>) {
        if catch_unwind(AssertUnwindSafe(|| self.handler.closed(socket))).is_err() {
            tracing::error!(hub = self.settings.name, "close handler panicked");
        }
    }

    pub(crate) fn count_written(&self, frames: u64, bytes: u64) {
        metrics::counter!("fanout_frames_total", "hub" => self.settings.name).increment(frames);
        metrics::counter!("fanout_bytes_total", "hub" => self.settings.name).increment(bytes);
    }

    pub(crate) fn count_cut_off(&self) {
        metrics::counter!("fanout_cut_off_total", "hub" => self.settings.name).increment(1);
    }
}
