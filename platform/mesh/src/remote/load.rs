//! How busy and how slow an instance is, as seen from here: requests in flight, and the peak EWMA
//! of its latency.
//!
//! Peak EWMA (Finagle): a sample above the average replaces it at once, one below moves it by the
//! share that time has taken from the old value. Between samples the value decays towards zero, so
//! that an instance which was slow once is asked again.
//!
//! Two threads that record at the same moment may lose one of the samples; the rest is exact.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::clock::Nanos;

/// What an instance is thought to need before the first answer.
const UNKNOWN: f64 = 1_000_000.0;

/// A failure never counts as more than this, unless it took longer.
const PENALTY: f64 = 1_000_000_000.0;

/// The load of one instance.
#[derive(Debug)]
pub(crate) struct Load {
    /// `f64` bits: nanoseconds.
    latency: AtomicU64,
    stamp: AtomicU64,
    in_flight: AtomicUsize,
}

impl Load {
    pub(crate) fn new(now: Nanos) -> Self {
        Self {
            latency: AtomicU64::new(UNKNOWN.to_bits()),
            stamp: AtomicU64::new(now),
            in_flight: AtomicUsize::new(0),
        }
    }

    pub(crate) fn begin(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    pub(crate) fn end(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// The decayed latency in nanoseconds.
    pub(crate) fn latency(&self, now: Nanos, decay: Nanos) -> f64 {
        let age = now.saturating_sub(self.stamp.load(Relaxed));
        f64::from_bits(self.latency.load(Relaxed)) * remaining(age, decay)
    }

    /// What one more request is expected to cost: latency × (requests in flight + 1).
    pub(crate) fn cost(&self, now: Nanos, decay: Nanos) -> f64 {
        // A latency of a nanosecond keeps the queue in the product when the average has decayed.
        self.latency(now, decay).max(1.0) * (self.in_flight() as f64 + 1.0)
    }

    /// An answer came after `took`.
    pub(crate) fn record(&self, took: Nanos, now: Nanos, decay: Nanos) {
        let stamp = self.stamp.swap(now, Relaxed);
        let before = f64::from_bits(self.latency.load(Relaxed));
        let after = peak_ewma(before, took as f64, now.saturating_sub(stamp), decay);
        self.latency.store(after.to_bits(), Relaxed);
    }

    /// The call was given up after `took`: it would have taken at least as long.
    pub(crate) fn record_at_least(&self, took: Nanos, now: Nanos, decay: Nanos) {
        if took as f64 > self.latency(now, decay) {
            self.record(took, now, decay);
        }
    }

    /// The call failed after `took`. Counts as twice the average, so that failing fast attracts
    /// no requests.
    pub(crate) fn record_failure(&self, took: Nanos, now: Nanos, decay: Nanos) {
        let penalty = (self.latency(now, decay) * 2.0).min(PENALTY).max(took as f64);
        self.record(penalty as Nanos, now, decay);
    }

    /// Forgets what was; the instance has come back.
    pub(crate) fn restart(&self, took: Nanos, now: Nanos) {
        self.stamp.store(now, Relaxed);
        self.latency.store((took as f64).to_bits(), Relaxed);
    }
}

/// The next average after a sample, `age` after the one before.
fn peak_ewma(average: f64, sample: f64, age: Nanos, decay: Nanos) -> f64 {
    let old = remaining(age, decay);
    if sample > average * old { sample } else { average * old + sample * (1.0 - old) }
}

/// The share of an old value that is left after `age`.
fn remaining(age: Nanos, decay: Nanos) -> f64 {
    (-(age as f64) / decay.max(1) as f64).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DECAY: Nanos = 10_000_000_000;
    const MS: Nanos = 1_000_000;

    #[test]
    fn a_peak_counts_at_once_and_is_forgotten_slowly() {
        let load = Load::new(0);
        load.record(200 * MS, 1, DECAY);
        assert!((load.latency(1, DECAY) - 200e6).abs() < 1.0);
        let later = load.latency(1 + DECAY, DECAY);
        assert!((later / 200e6 - (-1.0_f64).exp()).abs() < 1e-6);
    }

    #[test]
    fn failing_fast_makes_an_instance_dearer() {
        let load = Load::new(0);
        load.record(10 * MS, 0, DECAY);
        let before = load.cost(1, DECAY);
        load.record_failure(1_000, 1, DECAY);
        assert!(load.cost(1, DECAY) >= before * 1.99);
    }

    #[test]
    fn giving_up_early_makes_no_instance_faster() {
        let load = Load::new(0);
        load.record(100 * MS, 0, DECAY);
        load.record_at_least(MS, 1, DECAY);
        assert!(load.latency(1, DECAY) > 99e6);
        load.record_at_least(300 * MS, 2, DECAY);
        assert!(load.latency(2, DECAY) > 299e6);
    }

    proptest! {
        #[test]
        fn the_average_stays_between_its_samples(
            samples in prop::collection::vec((1_u64..10_000_000_000, 0_u64..5_000_000_000), 1..50)
        ) {
            let load = Load::new(0);
            let (mut now, mut highest) = (0, UNKNOWN as u64);
            for (took, pause) in samples {
                now += pause;
                load.record(took, now, DECAY);
                highest = highest.max(took);
                let latency = load.latency(now, DECAY);
                prop_assert!(latency.is_finite() && latency >= 0.0);
                prop_assert!(latency <= highest as f64 + 1.0);
            }
        }

        #[test]
        fn more_in_flight_costs_more(took in 1_u64..10_000_000_000, queue in 0_usize..1000) {
            let load = Load::new(0);
            load.record(took, 0, DECAY);
            (0..queue).for_each(|_| load.begin());
            let before = load.cost(5, DECAY);
            load.begin();
            prop_assert!(load.cost(5, DECAY) > before);
        }
    }
}
