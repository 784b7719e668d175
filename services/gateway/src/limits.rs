//! Rate limits per address and per account, and of sign-ups.
//!
//! A limiter is found once per connection and then costs one atomic exchange a request. Invariant:
//! the state is bounded; what is forgotten first is what was asked for longest ago, and connections
//! ask again for what they keep, so that all of one address or account share one limiter.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota};
use ids::UserId;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use rest::Problem;

use crate::measure;
use crate::settings;

/// Addresses and accounts that are remembered.
const REMEMBERED: u64 = 100_000;
/// How long one that is quiet is remembered. A limiter that was idle for this long is full again.
const QUIET: Duration = Duration::from_secs(60);
/// How long a limiter may be kept without asking for it again: well within [`QUIET`].
pub(crate) const KEEP: Duration = Duration::from_secs(20);
const HOUR: Duration = Duration::from_secs(3600);

/// Limiters by whom they limit, of which the one used longest ago is forgotten first.
fn remembered<K: Hash + Eq + Send + Sync + 'static>() -> Cache<K, Limiter> {
    Cache::builder()
        .max_capacity(REMEMBERED)
        .time_to_idle(QUIET)
        .eviction_policy(EvictionPolicy::lru())
        .build()
}

/// The limiter of one address or account.
pub(crate) type Limiter = Arc<DefaultDirectRateLimiter>;

/// All limits.
pub(crate) struct Limits {
    per_address: Option<Quota>,
    per_account: Option<Quota>,
    sign_ups: u32,
    addresses: Cache<IpAddr, Limiter>,
    accounts: Cache<UserId, Limiter>,
    signed_up: Cache<IpAddr, Arc<Hour>>,
}

/// The sign-ups of one address in an hour that began with the first.
struct Hour {
    began: Instant,
    count: AtomicU32,
}

impl Limits {
    pub(crate) fn new(settings: &settings::Limits) -> Self {
        let quota = |per_second| NonZeroU32::new(per_second).map(Quota::per_second);
        Self {
            per_address: quota(settings.requests_per_second_per_address),
            per_account: quota(settings.requests_per_second_per_account),
            sign_ups: settings.sign_ups_per_hour_per_address,
            addresses: remembered(),
            accounts: remembered(),
            signed_up: Cache::builder().max_capacity(REMEMBERED).time_to_live(HOUR).build(),
        }
    }

    /// The limiter of an address; `None` when there is no limit. Whoever keeps it asks for it again
    /// within [`KEEP`].
    pub(crate) fn of_address(&self, address: IpAddr) -> Option<Limiter> {
        let quota = self.per_address?;
        Some(
            self.addresses.get_with(subscriber(address), || {
                Arc::new(DefaultDirectRateLimiter::direct(quota))
            }),
        )
    }

    /// The limiter of an account; `None` when there is no limit. Whoever keeps it asks for it again
    /// within [`KEEP`].
    pub(crate) fn of_account(&self, account: UserId) -> Option<Limiter> {
        let quota = self.per_account?;
        let new = || Arc::new(DefaultDirectRateLimiter::direct(quota));
        Some(self.accounts.get_with(account, new))
    }

    /// Takes the place of a sign-up from an address; given back unless it is kept.
    ///
    /// # Errors
    /// 429 when there were too many within the hour.
    pub(crate) fn sign_up(&self, address: IpAddr) -> Result<SignUp, Problem> {
        if self.sign_ups == 0 {
            return Ok(SignUp(None));
        }
        let new = || Arc::new(Hour { began: Instant::now(), count: AtomicU32::new(0) });
        let hour = self.signed_up.get_with(subscriber(address), new);
        let left = HOUR.saturating_sub(hour.began.elapsed());
        if hour.count.fetch_add(1, Relaxed) < self.sign_ups {
            return Ok(SignUp(Some(hour)));
        }
        hour.count.fetch_sub(1, Relaxed);
        measure::refused("sign-ups");
        Err(Problem::too_many(left.as_secs().max(1), "too many sign-ups from your address"))
    }
}

/// Counts a request against a limiter.
///
/// # Errors
/// 429 when there were too many.
pub(crate) fn check(limiter: &Limiter) -> Result<(), Problem> {
    limiter.check().map_err(|not_until| {
        measure::refused("rate");
        let wait = not_until.wait_time_from(DefaultClock::default().now());
        Problem::too_many(wait.as_secs() + 1, "too many requests")
    })
}

/// A sign-up that is under way; does not count if it is dropped.
#[derive(Default)]
pub(crate) struct SignUp(Option<Arc<Hour>>);

impl SignUp {
    /// It succeeded, and counts.
    pub(crate) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for SignUp {
    fn drop(&mut self) {
        if let Some(hour) = &self.0 {
            hour.count.fetch_sub(1, Relaxed);
        }
    }
}

/// Who shares an address: of IPv6, where everybody has billions, the first 64 bits.
fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(requests: u32, sign_ups: u32) -> Limits {
        Limits::new(&settings::Limits {
            requests_per_second_per_address: requests,
            requests_per_second_per_account: requests,
            sign_ups_per_hour_per_address: sign_ups,
        })
    }

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    #[test]
    fn an_address_has_its_own_allowance_whatever_its_connections() {
        let limits = limits(5, 0);
        let ask = |last| check(&limits.of_address(address(last)).expect("limited"));
        for _ in 0..5 {
            ask(1).expect("within the limit");
        }
        assert_eq!(ask(1).expect_err("one too many").status(), 429);
        ask(2).expect("another address");
    }

    #[test]
    fn an_account_has_its_own_allowance() {
        let limits = limits(1, 0);
        let ask = |account| check(&limits.of_account(UserId::new(account)).expect("limited"));
        ask(1).expect("the first");
        assert!(ask(1).is_err());
        ask(2).expect("another account");
    }

    #[test]
    fn only_sign_ups_that_succeed_count() {
        let limits = limits(0, 2);
        for _ in 0..10 {
            drop(limits.sign_up(address(1)).expect("failed ones do not count"));
        }
        let under_way = limits.sign_up(address(1)).expect("the first");
        limits.sign_up(address(1)).expect("the second").keep();
        assert_eq!(
            limits
                .sign_up(address(1))
                .map(SignUp::keep)
                .expect_err("those under way count")
                .status(),
            429
        );
        under_way.keep();
        assert!(limits.sign_up(address(1)).is_err());
        limits.sign_up(address(2)).expect("another address").keep();
    }

    #[test]
    fn zero_is_off() {
        let limits = limits(0, 0);
        assert!(limits.of_address(address(1)).is_none());
        assert!(limits.of_account(UserId::new(1)).is_none());
        for _ in 0..100 {
            limits.sign_up(address(1)).expect("off").keep();
        }
    }

    #[test]
    fn one_ipv6_network_is_one_subscriber() {
        let of = |text: &str| subscriber(text.parse().expect("an address"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), address(1));
    }
}
