//! How sagas are driven.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::faults::{Faults, Point, Reached};
use crate::local::NotDone;

/// How sagas are driven.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a driver owns a saga without renewing: after a crash the others wait this long.
    /// At least twice `step_timeout`; clocks of the machines must agree to a quarter of it.
    pub lease: Duration,
    /// How long a remote step may take before it counts as failed.
    pub step_timeout: Duration,
    /// Before the pivot: how long after its beginning a saga that makes no headway is undone.
    pub give_up_after: Duration,
    /// Pause after a step's first failure; each further one is twice as long, with jitter.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// How long after it voted yes a participant of a two-phase commit that was told nothing asks
    /// the coordinator.
    pub ask_after: Duration,
    /// How often the recovery worker looks for sagas that nobody drives, and a participant for
    /// what is in doubt.
    pub recover_every: Duration,
    /// How many of them it takes up at once.
    pub recover_at_once: usize,
    /// How long [`crate::Engine::run`] waits for the end, unless its caller waits less.
    pub wait: Duration,
    /// How long the answer of a finished saga is kept.
    pub keep: Duration,
    /// What time it is.
    pub clock: Clock,
    /// For tests: where drivers die.
    pub faults: Option<Faults>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            step_timeout: Duration::from_secs(10),
            give_up_after: Duration::from_secs(15),
            first_pause: Duration::from_millis(50),
            longest_pause: Duration::from_secs(30),
            ask_after: Duration::from_secs(5),
            recover_every: Duration::from_secs(1),
            recover_at_once: 32,
            wait: Duration::from_secs(30),
            keep: Duration::from_secs(24 * 3600),
            clock: Clock::system(),
            faults: None,
        }
    }
}

impl Settings {
    /// The pause after `attempt` failures in a row (1 or more): doubling, bounded, between half
    /// and all of it at random, so that many that failed together do not come back together.
    pub(crate) fn pause(&self, attempt: i64) -> Duration {
        let doublings = u32::try_from((attempt - 1).clamp(0, 30)).unwrap_or(0);
        let pause = self.first_pause.saturating_mul(1 << doublings).min(self.longest_pause);
        pause.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// Dies here if a test says so.
    pub(crate) fn strike(
        &self,
        saga: Uuid,
        step: &'static str,
        point: Point,
    ) -> Result<(), NotDone> {
        match &self.faults {
            Some(faults) if faults.strike(&Reached { saga, step, point }) => Err(NotDone::Crashed),
            _ => Ok(()),
        }
    }
}

/// Tells the time in milliseconds since 1970 UTC.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    /// The system's.
    #[must_use]
    pub fn system() -> Self {
        Self::new(wall_clock::now)
    }

    /// Any other.
    pub fn new(now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub(crate) fn now(&self) -> i64 {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_bounded() {
        let settings = Settings::default();
        for attempt in 1..100 {
            let pause = settings.pause(attempt);
            assert!(pause <= settings.longest_pause);
            assert!(pause >= settings.first_pause / 2);
        }
        assert!(settings.pause(90) >= settings.longest_pause / 2);
    }
}
