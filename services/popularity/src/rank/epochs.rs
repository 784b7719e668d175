//! When a ranking in memory is too old.
//!
//! Invariant: an epoch that begins after a change was noted holds nothing from before that change,
//! and one begins within [`TICK`] (for windows, as soon as their rest is over).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often [`Epochs::tick`] is to be called: the shortest epoch.
pub(crate) const TICK: Duration = Duration::from_millis(100);
const WINDOW_EPOCH: Duration = Duration::from_secs(1);
/// An epoch of windows lasts at least so many times as long as the slowest sum of the last one.
const REST: u32 = 20;

/// The epochs of rankings of all time, and those of windows.
pub(crate) struct Epochs {
    origin: Instant,
    /// Something changed and no epoch has begun since.
    changed: AtomicBool,
    current: AtomicU64,
    /// When the current one began, in microseconds after `origin`.
    began: AtomicU64,
    windows_changed: AtomicBool,
    windows: AtomicU64,
    /// The slowest window of this epoch, in microseconds.
    slowest: AtomicU64,
    windows_not_before: Mutex<Instant>,
}

impl Epochs {
    pub(crate) fn new() -> Self {
        let origin = Instant::now();
        Self {
            origin,
            changed: AtomicBool::new(false),
            current: AtomicU64::new(0),
            began: AtomicU64::new(0),
            windows_changed: AtomicBool::new(false),
            windows: AtomicU64::new(0),
            slowest: AtomicU64::new(0),
            windows_not_before: Mutex::new(origin),
        }
    }

    /// The epoch of rankings of all time.
    pub(crate) fn current(&self) -> u64 {
        self.current.load(Ordering::Acquire)
    }

    /// The epoch of windows.
    pub(crate) fn windows(&self) -> u64 {
        self.windows.load(Ordering::Acquire)
    }

    /// Takes note that something changed, after its commit. After a quiet time a new epoch begins
    /// at once, otherwise with the next tick.
    pub(crate) fn changed(&self) {
        if self.changed.load(Ordering::Acquire) {
            return;
        }
        let (now, began) = (micros(self.origin.elapsed()), self.began.load(Ordering::Acquire));
        let quiet = now.saturating_sub(began) >= micros(TICK);
        let (on, off) = (Ordering::AcqRel, Ordering::Relaxed);
        if quiet && self.began.compare_exchange(began, now, on, off).is_ok() {
            self.begin();
        } else {
            self.changed.store(true, Ordering::Release);
        }
    }

    fn begin(&self) {
        self.current.fetch_add(1, Ordering::AcqRel);
        self.windows_changed.store(true, Ordering::Release);
    }

    /// Begins what epochs are due.
    pub(crate) fn tick(&self) {
        if self.changed.swap(false, Ordering::AcqRel) {
            self.began.store(micros(self.origin.elapsed()), Ordering::Release);
            self.begin();
        }
        let mut not_before = self.windows_not_before.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if now >= *not_before && self.windows_changed.swap(false, Ordering::AcqRel) {
            let slowest = Duration::from_micros(self.slowest.swap(0, Ordering::AcqRel));
            *not_before = now + WINDOW_EPOCH.max(slowest.saturating_mul(REST));
            self.windows.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Takes note that a window came from elsewhere: it may be from before this epoch.
    pub(crate) fn windows_again(&self) {
        self.windows_changed.store(true, Ordering::Release);
    }

    /// Takes note of how long a window took.
    pub(crate) fn window_took(&self, time: Duration) {
        self.slowest.fetch_max(micros(time), Ordering::AcqRel);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn after_a_quiet_time_a_change_shows_at_once() {
        let epochs = Epochs::new();
        advance(TICK).await;
        epochs.changed();
        assert_eq!(epochs.current(), 1);
        epochs.changed();
        assert_eq!(epochs.current(), 1, "one at a time");
        epochs.tick();
        assert_eq!(epochs.current(), 2, "but none is forgotten");
        epochs.tick();
        assert_eq!(epochs.current(), 2, "and nothing changes by itself");
    }

    #[tokio::test(start_paused = true)]
    async fn windows_rest_after_hard_work() {
        let epochs = Epochs::new();
        let mut seen = Vec::new();
        for step in 0..60 {
            epochs.changed();
            epochs.tick();
            if epochs.windows() > seen.len() as u64 {
                seen.push((epochs.windows(), step));
                epochs.window_took(Duration::from_millis(100));
            }
            advance(TICK).await;
        }
        // The first at once; its sum took 100 ms, which counts from the second on: two seconds.
        assert_eq!(seen, [(1, 0), (2, 10), (3, 30), (4, 50)]);
    }
}
