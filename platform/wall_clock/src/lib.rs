//! The time of day, as the machines of a system agree on it.
//!
//! A machine whose clock is wrong would issue tokens that nobody accepts, or refuse everybody's.
//! So each process hears with every heartbeat what the registries' clocks say, and goes by the
//! median of theirs and its own. Invariant: of three clocks any one may be wrong. With a single
//! registry nobody can tell which of two is, and a process goes by its own.
//!
//! What lasts and waits is not measured by this but by `tokio::time::Instant`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Clocks that differ by less, in milliseconds, are right: peers tell whole seconds, and late.
const TOLERANCE: i64 = 2_000;
/// So many peers are listened to.
const MOST: usize = 16;

/// What is added to this machine's clock, in milliseconds.
static CORRECTION: AtomicI64 = AtomicI64::new(0);
/// What is known of the others.
static PEERS: Mutex<Peers> = Mutex::new(Peers { ahead: BTreeMap::new(), anchor: None });

struct Peers {
    /// How far each peer is ahead of this machine, in milliseconds.
    ahead: BTreeMap<String, i64>,
    /// A moment by the steady clock and by this machine's own, which somebody may set.
    anchor: Option<(Instant, i64)>,
}

/// Milliseconds since 1970 UTC.
#[must_use]
pub fn now() -> i64 {
    own().saturating_add(CORRECTION.load(Ordering::Relaxed))
}

/// What a peer's clock said just now, in milliseconds since 1970 UTC.
pub fn heard(peer: &str, at: i64) {
    let ahead = at.saturating_sub(own());
    let correction = {
        let mut peers = PEERS.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.ahead.len() < MOST || peers.ahead.contains_key(peer) {
            peers.ahead.insert(peer.to_owned(), ahead);
        }
        agreed(peers.ahead.values().copied())
    };
    let before = CORRECTION.load(Ordering::Relaxed);
    if (correction - before).abs() > TOLERANCE {
        CORRECTION.store(correction, Ordering::Relaxed);
        tracing::error!(
            correction_ms = correction,
            "this machine's clock is not what most others say; going by theirs"
        );
    }
}

/// Sees whether somebody has set this machine's clock since the last look. Then what was heard says
/// nothing any more. To be called every second or so.
pub fn look() {
    let mut peers = PEERS.lock().unwrap_or_else(PoisonError::into_inner);
    let (now, own) = (Instant::now(), own());
    let was_set = peers.anchor.is_some_and(|(at, then)| {
        let passed = i64::try_from(now.duration_since(at).as_millis()).unwrap_or(i64::MAX);
        own.saturating_sub(then).saturating_sub(passed).abs() > TOLERANCE
    });
    peers.anchor = Some((now, own));
    if was_set {
        peers.ahead.clear();
        CORRECTION.store(0, Ordering::Relaxed);
        tracing::warn!("this machine's clock was set; hearing anew what the others say");
    }
}

/// What to add to this machine's clock, given how far the others are ahead of it: the median, or 0
/// where that is within the tolerance. Between two in the middle the one nearer to 0 counts.
fn agreed(ahead: impl Iterator<Item = i64>) -> i64 {
    let mut all: Vec<i64> = ahead.chain([0]).collect();
    all.sort_unstable();
    let (low, high) = (all[(all.len() - 1) / 2], all[all.len() / 2]);
    let median = if low.abs() <= high.abs() { low } else { high };
    if median.abs() <= TOLERANCE { 0 } else { median }
}

fn own() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    #[test]
    fn of_three_clocks_one_may_be_wrong() {
        assert_eq!(agreed([HOUR, HOUR + 700].into_iter()), HOUR, "this one is behind");
        assert_eq!(agreed([-HOUR, -HOUR].into_iter()), -HOUR, "this one is ahead");
        assert_eq!(agreed([HOUR, 300].into_iter()), 0, "another one is");
        assert_eq!(agreed([-HOUR, 900].into_iter()), 0);
    }

    #[test]
    fn one_peer_cannot_tell_which_of_two_is_wrong() {
        assert_eq!(agreed([HOUR].into_iter()), 0);
        assert_eq!(agreed([].into_iter()), 0);
    }

    #[test]
    fn what_is_heard_corrects_and_uncorrects() {
        let wrong = || now() - own();
        for peer in ["a", "b"] {
            heard(peer, own() + HOUR);
        }
        assert!((wrong() - HOUR).abs() < TOLERANCE, "{}", wrong());
        for peer in ["a", "b"] {
            heard(peer, own() + 500);
        }
        assert_eq!(wrong(), 0);
    }
}
