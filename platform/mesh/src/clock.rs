//! Time as the rules see it: nanoseconds since the mesh began, on tokio's clock, so that
//! simulated time drives them and atomics can hold them.

use std::time::Duration;

use tokio::time::Instant;

/// Nanoseconds since the mesh began.
pub(crate) type Nanos = u64;

/// The clock of a mesh.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    epoch: Instant,
}

impl Clock {
    pub(crate) fn begin() -> Self {
        Self { epoch: Instant::now() }
    }

    pub(crate) fn now(self) -> Nanos {
        self.at(Instant::now())
    }

    /// 0 for what was before the mesh began.
    pub(crate) fn at(self, instant: Instant) -> Nanos {
        nanos(instant.saturating_duration_since(self.epoch))
    }
}

/// A duration in nanoseconds; what is longer than 584 years is that long.
pub(crate) fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Milliseconds of a setting in nanoseconds.
pub(crate) fn millis(setting: u64) -> Nanos {
    setting.saturating_mul(1_000_000)
}
