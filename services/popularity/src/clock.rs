//! The time of day, so that tests can set it.

use std::sync::Arc;

/// Tells the time in milliseconds since 1970 UTC. Clones tell the same.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    /// A clock that tells what `now` answers.
    pub fn new(now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Milliseconds since 1970 UTC.
    #[must_use]
    pub fn now(&self) -> i64 {
        (self.0)()
    }
}

impl Default for Clock {
    /// This machine's clock.
    fn default() -> Self {
        Self::new(|| rest::Timestamp::now().0)
    }
}
