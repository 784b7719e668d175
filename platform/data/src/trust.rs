//! How far the resting connections to a server can be trusted.
//!
//! When one is found broken, all that have rested since are tested before they are used, since they
//! broke together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// A connection that rested longer is asked whether it still lives before it is used.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// The trust in the connections of one server.
pub(crate) struct Trust {
    began: Instant,
    /// Milliseconds after `began`.
    broken: AtomicU64,
}

impl Trust {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { began: Instant::now(), broken: AtomicU64::new(0) })
    }

    /// Whether a connection that has rested for so long need not be tested.
    pub(crate) fn holds(&self, rested: Duration) -> bool {
        let since = self.began.elapsed().checked_sub(rested).unwrap_or_default();
        rested < TRUSTED_FOR && millis(since) > self.broken.load(Ordering::Relaxed)
    }

    pub(crate) fn breaks(&self) {
        // Up to the next millisecond: a connection that was given back just now is in doubt too.
        self.broken.store(millis(self.began.elapsed()) + 1, Ordering::Relaxed);
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn connections_that_rested_through_a_break_are_tested() {
        let trust = Trust::new();
        let while_ago = Duration::from_millis(20);
        tokio::time::advance(while_ago).await;
        assert!(trust.holds(Duration::ZERO) && trust.holds(while_ago / 2));
        assert!(!trust.holds(TRUSTED_FOR));
        trust.breaks();
        assert!(!trust.holds(Duration::ZERO) && !trust.holds(while_ago / 2));
        tokio::time::advance(while_ago).await;
        assert!(trust.holds(while_ago / 2), "it was given back after the break");
        assert!(!trust.holds(while_ago * 2));
    }
}
