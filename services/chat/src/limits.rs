//! How much one account may do through one instance.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use contracts::ids::UserId;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota};
use moka::sync::Cache;
use rest::Problem;

use crate::settings::Settings;

/// Accounts that are remembered.
const REMEMBERED: u64 = 100_000;

/// One limit, for each account by itself.
struct Limit {
    quota: Option<Quota>,
    of: Cache<UserId, Arc<DefaultDirectRateLimiter>>,
    what: &'static str,
}

impl Limit {
    /// `quiet`: after so long without a word an account is forgotten; its limiter is full again then.
    fn new(quota: Option<Quota>, quiet: Duration, what: &'static str) -> Self {
        let of = Cache::builder().max_capacity(REMEMBERED).time_to_idle(quiet).build();
        Self { quota, of, what }
    }

    fn check(&self, user: UserId) -> Result<(), Problem> {
        let Some(quota) = self.quota else { return Ok(()) };
        let new = || Arc::new(DefaultDirectRateLimiter::direct(quota));
        self.of.get_with(user, new).check().map_err(|not_until| {
            metrics::counter!("chat_refused_total", "limit" => self.what).increment(1);
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            Problem::too_many(wait.as_secs() + 1, format!("too many {}", self.what))
        })
    }
}

/// All limits of this service that are counted by time.
pub(crate) struct Limits {
    messages: Limit,
    signals: Limit,
    rooms: Limit,
}

impl Limits {
    pub(crate) fn new(settings: &Settings) -> Self {
        let messages = NonZeroU32::new(settings.messages_per_minute).map(Quota::per_minute);
        let signals = NonZeroU32::new(settings.signals_per_minute).map(Quota::per_minute);
        let rooms = NonZeroU32::new(settings.rooms_per_hour).map(Quota::per_hour);
        Self {
            messages: Limit::new(messages, Duration::from_secs(120), "messages"),
            signals: Limit::new(signals, Duration::from_secs(120), "signals"),
            rooms: Limit::new(rooms, Duration::from_secs(7_200), "new rooms"),
        }
    }

    /// Counts a message, an edit or a reaction.
    ///
    /// # Errors
    /// 429.
    pub(crate) fn message(&self, user: UserId) -> Result<(), Problem> {
        self.messages.check(user)
    }

    /// Counts a read marker, or that somebody is writing.
    ///
    /// # Errors
    /// 429.
    pub(crate) fn signal(&self, user: UserId) -> Result<(), Problem> {
        self.signals.check(user)
    }

    /// Counts a new chat or lobby.
    ///
    /// # Errors
    /// 429.
    pub(crate) fn room(&self, user: UserId) -> Result<(), Problem> {
        self.rooms.check(user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_account_has_its_own_and_zero_is_off() {
        let limits = Limits::new(&Settings {
            messages_per_minute: 2,
            rooms_per_hour: 0,
            ..Settings::default()
        });
        let (ada, ben) = (UserId::new(1), UserId::new(2));
        assert!(limits.message(ada).is_ok() && limits.message(ada).is_ok());
        assert_eq!(limits.message(ada).unwrap_err().status(), 429);
        assert!(limits.message(ben).is_ok());
        assert!((0..9).all(|_| limits.room(ada).is_ok()));
    }
}
