//! Sessions and users that were ended before their tokens expired.
//!
//! Invariant: memory is bounded and nothing is forgotten while a token could still use it. When
//! too many revocations are alive at once, all tokens issued until then are refused instead:
//! their holders take a new one with their refresh token, and nobody gets in who should not.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use ids::UserId;

use crate::clock::millis;
use crate::{LONGEST_LIFETIME, Principal};

/// How many revocations of each kind are kept apart, about 10 MiB.
const CAPACITY: usize = 100_000;

#[derive(Debug)]
pub(crate) struct Revocations {
    state: RwLock<State>,
    capacity: usize,
}

#[derive(Debug)]
struct State {
    /// Session → until when its tokens could live.
    sessions: HashMap<Box<str>, i64>,
    /// User → tokens issued until this moment are refused.
    users: HashMap<UserId, i64>,
    /// Tokens issued until this moment are refused, whoever's they are.
    everyone: i64,
}

impl Revocations {
    pub(crate) fn new() -> Self {
        Self::with_capacity(CAPACITY)
    }

    fn with_capacity(capacity: usize) -> Self {
        let state = State { sessions: HashMap::new(), users: HashMap::new(), everyone: i64::MIN };
        Self { state: RwLock::new(state), capacity }
    }

    /// All times in unix milliseconds.
    pub(crate) fn revoke_session(&self, session: &str, until: i64, now: i64) {
        self.change(now, |state| {
            let known = state.sessions.entry(session.into()).or_insert(until);
            *known = (*known).max(until);
        });
    }

    pub(crate) fn revoke_user(&self, user: UserId, before: i64, now: i64) {
        self.change(now, |state| {
            let known = state.users.entry(user).or_insert(before);
            *known = (*known).max(before);
        });
    }

    /// Whether a token of `who` that was issued at `issued_at` is refused.
    pub(crate) fn refuses(&self, who: &Principal, issued_at: i64) -> bool {
        // A panic while the lock was held cannot leave the maps torn: each change is one insert.
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.everyone >= issued_at
            || state.users.get(&who.user).is_some_and(|before| *before >= issued_at)
            || state.sessions.contains_key(who.session.as_str())
    }

    fn change(&self, now: i64, change: impl FnOnce(&mut State)) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        if state.sessions.len() > self.capacity || state.users.len() > self.capacity {
            state.purge(now);
        }
        if state.sessions.len() > self.capacity || state.users.len() > self.capacity {
            tracing::warn!(
                limit = self.capacity,
                "too many revocations at once: every access token is to be renewed"
            );
            state.everyone = now.max(state.everyone);
            state.sessions.clear();
            state.users.clear();
        }
    }
}

impl State {
    fn purge(&mut self, now: i64) {
        self.sessions.retain(|_, until| *until > now);
        let oldest = now.saturating_sub(millis(LONGEST_LIFETIME.as_millis()));
        self.users.retain(|_, before| *before > oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(user: i64, session: &str) -> Principal {
        Principal { user: UserId::new(user), session: session.to_owned(), staff: false }
    }

    #[test]
    fn a_user_is_refused_up_to_the_moment_and_not_after() {
        let all = Revocations::new();
        all.revoke_user(UserId::new(7), 1_000, 1_000);
        all.revoke_user(UserId::new(7), 500, 1_000);
        assert!(all.refuses(&who(7, "a"), 1_000));
        assert!(!all.refuses(&who(7, "a"), 1_001));
        assert!(!all.refuses(&who(8, "a"), 1));
    }

    #[test]
    fn what_can_no_longer_be_used_is_forgotten_and_the_rest_kept() {
        let all = Revocations::with_capacity(10);
        for old in 0..10 {
            all.revoke_session(&format!("old-{old}"), 100, 50);
        }
        all.revoke_session("new", 1_000, 500);
        let state = all.state.read().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(state.sessions.keys().map(|key| &**key).collect::<Vec<_>>(), ["new"]);
    }

    #[test]
    fn a_flood_refuses_too_much_rather_than_too_little() {
        let all = Revocations::with_capacity(10);
        for session in 0..11 {
            all.revoke_session(&format!("s{session}"), 10_000, 500 + session);
        }
        for session in 0..11 {
            assert!(all.refuses(&who(1, &format!("s{session}")), 500), "s{session}");
        }
        assert!(all.state.read().unwrap_or_else(PoisonError::into_inner).sessions.len() <= 10);
        assert!(!all.refuses(&who(1, "later"), 511), "a renewed token works");
    }
}
