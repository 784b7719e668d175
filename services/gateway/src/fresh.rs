//! Read your own writes: whoever has just written is answered without caches and replicas for a
//! moment.
//!
//! This gateway remembers the account (or, of those who are not signed in, the address); another
//! one is told by a cookie that lives as long. The memory is bounded.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use http::HeaderValue;
use ids::UserId;
use moka::sync::Cache;
use tokio::time::Instant;

use crate::edge::FRESH;

/// Writers remembered at once.
const REMEMBERED: u64 = 100_000;

/// Who wrote.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Writer {
    Account(UserId),
    Address(IpAddr),
}

/// Those who have written lately.
pub(crate) struct Freshness {
    keep: Duration,
    began: Instant,
    /// When somebody last wrote, in milliseconds since `began`, plus one; 0: nobody has.
    last: AtomicU64,
    /// Until when.
    writers: Cache<Writer, Instant>,
    cookie: HeaderValue,
}

impl Freshness {
    pub(crate) fn new(keep: Duration) -> Self {
        let seconds = keep.as_millis().div_ceil(1000);
        let cookie = format!("{FRESH}=1; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Lax");
        Self {
            keep,
            began: Instant::now(),
            last: AtomicU64::new(0),
            writers: Cache::builder()
                .max_capacity(REMEMBERED)
                .time_to_live(keep.max(Duration::from_millis(1)))
                .build(),
            // Digits and the text above are legal in a header.
            cookie: HeaderValue::try_from(cookie)
                .unwrap_or_else(|_| HeaderValue::from_static("fresh=1; Max-Age=2")),
        }
    }

    /// Remembers a writer; the cookie tells it to other gateways.
    pub(crate) fn wrote(&self, writer: Writer) -> Option<HeaderValue> {
        if self.keep.is_zero() {
            return None;
        }
        let now = Instant::now();
        self.writers.insert(writer, now + self.keep);
        self.last.store(self.millis(now) + 1, Relaxed);
        Some(self.cookie.clone())
    }

    /// Whether somebody wrote a moment ago.
    pub(crate) fn is_fresh(&self, writer: Writer, now: Instant) -> bool {
        // Most of the time nobody has, and then nothing is looked up.
        let last = self.last.load(Relaxed);
        let lately =
            last != 0 && u128::from(self.millis(now).saturating_sub(last)) <= self.keep.as_millis();
        lately && self.writers.get(&writer).is_some_and(|until| now < until)
    }

    fn millis(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_writer_is_fresh_for_a_moment_and_nobody_else_is() {
        let (me, you) = (Writer::Account(UserId::new(1)), Writer::Address([10, 0, 0, 1].into()));
        let fresh = Freshness::new(Duration::from_secs(2));
        assert!(!fresh.is_fresh(me, Instant::now()));
        let cookie = fresh.wrote(me).expect("a cookie");
        assert_eq!(cookie, "fresh=1; Max-Age=2; Path=/; HttpOnly; SameSite=Lax");
        assert!(fresh.is_fresh(me, Instant::now()) && !fresh.is_fresh(you, Instant::now()));
        tokio::time::advance(Duration::from_millis(1_990)).await;
        assert!(fresh.is_fresh(me, Instant::now()));
        tokio::time::advance(Duration::from_millis(11)).await;
        assert!(!fresh.is_fresh(me, Instant::now()));
    }

    #[tokio::test]
    async fn zero_is_off() {
        let fresh = Freshness::new(Duration::ZERO);
        let me = Writer::Account(UserId::new(1));
        assert!(fresh.wrote(me).is_none() && !fresh.is_fresh(me, Instant::now()));
    }
}
