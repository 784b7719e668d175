//! How many retries a service may get: a share of its requests, and a few a second on top, over
//! the last ten seconds. Retries beyond that would make an overload worse.
//!
//! Source: Finagle's `RetryBudget`. Here the window is a ring of one-second slots of atomics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::clock::Nanos;
use crate::settings::MeshSettings;

/// Length of the window, in slots of a second.
const WINDOW: u64 = 10;
/// Slots of the ring: the window, and room between its end and the slot being written.
const SLOTS: usize = 16;
const SECOND: Nanos = 1_000_000_000;

/// The retry budget of one service.
#[derive(Debug)]
pub(crate) struct Budget {
    percent: u64,
    per_second: u64,
    slots: [Slot; SLOTS],
}

#[derive(Debug, Default)]
struct Slot {
    /// The second it counts for, plus one; a slot of another second is empty.
    second: AtomicU64,
    requests: AtomicU64,
    retries: AtomicU64,
}

impl Budget {
    pub(crate) fn new(settings: &MeshSettings) -> Self {
        Self {
            percent: settings.retry_percent.into(),
            per_second: settings.retry_per_second.into(),
            slots: Default::default(),
        }
    }

    /// Counts a request that is no retry.
    pub(crate) fn deposit(&self, now: Nanos) {
        self.slot(now / SECOND).requests.fetch_add(1, Relaxed);
    }

    /// Takes one retry, if there is one left.
    pub(crate) fn withdraw(&self, now: Nanos) -> bool {
        let second = now / SECOND;
        let (mut requests, mut retries) = (0, 0);
        for slot in &self.slots {
            let stamp = slot.second.load(Relaxed);
            if stamp > 0 && stamp + WINDOW > second + 1 {
                requests += slot.requests.load(Relaxed);
                retries += slot.retries.load(Relaxed);
            }
        }
        let allowed = self.per_second * WINDOW + requests * self.percent / 100;
        if retries >= allowed {
            return false;
        }
        self.slot(second).retries.fetch_add(1, Relaxed);
        true
    }

    /// The slot of a second, emptied if it counted for another.
    fn slot(&self, second: u64) -> &Slot {
        let slot = &self.slots[second as usize % SLOTS];
        let stamp = slot.second.load(Relaxed);
        if stamp != second + 1
            && slot.second.compare_exchange(stamp, second + 1, Relaxed, Relaxed).is_ok()
        {
            slot.requests.store(0, Relaxed);
            slot.retries.store(0, Relaxed);
        }
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn budget() -> Budget {
        Budget::new(&MeshSettings::default())
    }

    fn all(budget: &Budget, now: Nanos) -> u64 {
        let mut taken = 0;
        while budget.withdraw(now) {
            taken += 1;
        }
        taken
    }

    #[test]
    fn a_service_at_rest_has_ten_a_second() {
        assert_eq!(all(&budget(), 0), 100);
    }

    #[test]
    fn a_fifth_of_the_requests_comes_on_top_and_leaves_with_them() {
        let budget = budget();
        (0..1_000).for_each(|_| budget.deposit(0));
        assert_eq!(all(&budget, 0), 300);
        assert_eq!(all(&budget, 9 * SECOND), 0, "still in the window");
        assert_eq!(all(&budget, 10 * SECOND), 100, "the window has passed");
    }

    proptest! {
        #[test]
        fn never_more_than_allowed(steps in prop::collection::vec((0_u64..2_000_000_000, 0_usize..50, 0_usize..50), 1..100)) {
            let budget = budget();
            let mut now = 0;
            let mut history: Vec<(Nanos, u64, u64)> = Vec::new();
            for (pause, requests, tries) in steps {
                now += pause;
                (0..requests).for_each(|_| budget.deposit(now));
                let taken = (0..tries).filter(|_| budget.withdraw(now)).count() as u64;
                history.push((now, requests as u64, taken));
                let recent = history.iter().filter(|(at, ..)| at / SECOND + WINDOW > now / SECOND);
                let (asked, retried) = recent.fold((0, 0), |(a, r), (_, x, y)| (a + x, r + y));
                // Requests may leave the window before the retries they allowed.
                prop_assert!(taken == 0 || retried <= 100 + asked / 5, "{retried} of {asked}");
            }
        }
    }
}
