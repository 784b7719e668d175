//! The circuit breaker of one instance.
//!
//! Closed until so many calls in a row fail; then open for a time that doubles with each failed
//! probe; then half-open: one call passes as the probe, and what becomes of it closes or opens the
//! circuit. Lock-free: the state is one word.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::clock::{Nanos, millis};
use crate::settings::MeshSettings;

/// When a circuit opens, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) failures: u32,
    pub(crate) open: Nanos,
    pub(crate) open_max: Nanos,
}

impl Rules {
    pub(crate) fn new(settings: &MeshSettings) -> Self {
        Self {
            failures: settings.breaker_failures.max(1),
            open: millis(settings.breaker_open_ms),
            open_max: millis(settings.breaker_open_max_ms),
        }
    }

    /// How long the circuit stays open the `round`th time, from 0.
    fn pause(&self, round: u8) -> Nanos {
        self.open.saturating_mul(1 << round.min(30)).min(self.open_max.max(self.open))
    }
}

/// The state of a circuit. Times are milliseconds since the mesh began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Calls pass; so many failed in a row.
    Closed { failures: u32 },
    /// No call passes before `until`; from then on one may, as a probe.
    Open { until: u64, round: u8 },
    /// The probe is under way.
    HalfOpen { round: u8 },
}

impl State {
    fn after_success(self, probe: bool) -> Self {
        match self {
            Self::Closed { .. } => Self::Closed { failures: 0 },
            Self::HalfOpen { .. } if probe => Self::Closed { failures: 0 },
            // A late answer to an old call says nothing about now.
            other => other,
        }
    }

    fn after_failure(self, probe: bool, now: Nanos, rules: &Rules) -> Self {
        let open = |round: u8| Self::Open { until: (now + rules.pause(round)) / MS, round };
        match self {
            Self::Closed { failures } if failures + 1 >= rules.failures => open(0),
            Self::Closed { failures } => Self::Closed { failures: failures + 1 },
            Self::HalfOpen { round } if probe => open(round.saturating_add(1)),
            other => other,
        }
    }

    fn after_lost_probe(self, now: Nanos) -> Self {
        match self {
            Self::HalfOpen { round } => Self::Open { until: now / MS, round },
            other => other,
        }
    }

    fn pack(self) -> u64 {
        match self {
            Self::Closed { failures } => u64::from(failures) << 8,
            Self::Open { until, round } => 1 | u64::from(round) << 2 | until << 10,
            Self::HalfOpen { round } => 2 | u64::from(round) << 2,
        }
    }

    fn unpack(word: u64) -> Self {
        let round = (word >> 2 & 0xff) as u8;
        match word & 3 {
            0 => Self::Closed { failures: (word >> 8) as u32 },
            1 => Self::Open { until: word >> 10, round },
            _ => Self::HalfOpen { round },
        }
    }
}

const MS: u64 = 1_000_000;

/// Whether a call may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It may.
    Pass,
    /// It may, as the probe, if it gets there first.
    Probe,
    /// Not before this time.
    Refuse { until: Nanos },
}

/// The circuit of one instance.
#[derive(Debug)]
pub(crate) struct Breaker {
    state: AtomicU64,
}

impl Breaker {
    pub(crate) fn new() -> Self {
        Self { state: AtomicU64::new(State::Closed { failures: 0 }.pack()) }
    }

    pub(crate) fn state(&self) -> State {
        State::unpack(self.state.load(Relaxed))
    }

    /// Whether a call may pass now. Changes nothing.
    pub(crate) fn admission(&self, now: Nanos) -> Admission {
        match self.state() {
            State::Closed { .. } => Admission::Pass,
            State::Open { until, .. } if now / MS >= until => Admission::Probe,
            State::Open { until, .. } => Admission::Refuse { until: until * MS },
            State::HalfOpen { .. } => Admission::Refuse { until: now + 1_000 * MS },
        }
    }

    /// Takes the right to probe; false if another call was faster.
    pub(crate) fn take_probe(&self, now: Nanos) -> bool {
        let word = self.state.load(Relaxed);
        match State::unpack(word) {
            State::Open { until, round } if now / MS >= until => {
                let half_open = State::HalfOpen { round }.pack();
                self.state.compare_exchange(word, half_open, Relaxed, Relaxed).is_ok()
            }
            _ => false,
        }
    }

    /// A call succeeded. Returns whether that closed the circuit.
    pub(crate) fn succeeded(&self, probe: bool) -> bool {
        // Nearly always the case, and then there is nothing to write.
        if self.state() == (State::Closed { failures: 0 }) {
            return false;
        }
        self.change(|state| state.after_success(probe)) && probe
    }

    /// A call failed. Returns whether that opened the circuit.
    pub(crate) fn failed(&self, probe: bool, now: Nanos, rules: &Rules) -> bool {
        self.change(|state| state.after_failure(probe, now, rules))
            && matches!(self.state(), State::Open { .. })
    }

    /// The probe was given up by its caller; the next call may take its place.
    pub(crate) fn probe_lost(&self, now: Nanos) {
        self.change(|state| state.after_lost_probe(now));
    }

    fn change(&self, next: impl Fn(State) -> State) -> bool {
        let update = |word| {
            let after = next(State::unpack(word)).pack();
            (after != word).then_some(after)
        };
        self.state.fetch_update(Relaxed, Relaxed, update).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULES: Rules = Rules { failures: 5, open: 1_000 * MS, open_max: 30_000 * MS };

    fn broken(now: Nanos) -> Breaker {
        let breaker = Breaker::new();
        for _ in 0..5 {
            breaker.failed(false, now, &RULES);
        }
        breaker
    }

    #[test]
    fn five_in_a_row_open_it_and_a_success_between_does_not() {
        let breaker = Breaker::new();
        for _ in 0..4 {
            assert!(!breaker.failed(false, 0, &RULES));
        }
        breaker.succeeded(false);
        for _ in 0..4 {
            assert!(!breaker.failed(false, 0, &RULES));
        }
        assert_eq!(breaker.admission(0), Admission::Pass);
        assert!(breaker.failed(false, 0, &RULES), "the fifth opens it");
        assert_eq!(breaker.admission(0), Admission::Refuse { until: 1_000 * MS });
    }

    #[test]
    fn one_probe_passes_and_closes_it() {
        let breaker = broken(0);
        assert!(!breaker.take_probe(999 * MS));
        assert_eq!(breaker.admission(1_000 * MS), Admission::Probe);
        assert!(breaker.take_probe(1_000 * MS));
        assert!(!breaker.take_probe(1_000 * MS), "one at a time");
        assert!(matches!(breaker.admission(1_000 * MS), Admission::Refuse { .. }));
        assert!(breaker.succeeded(true));
        assert_eq!(breaker.state(), State::Closed { failures: 0 });
    }

    #[test]
    fn a_failed_probe_doubles_the_pause_up_to_the_longest() {
        let breaker = broken(0);
        let mut now = 1_000 * MS;
        for pause in [2, 4, 8, 16, 30, 30] {
            assert!(breaker.take_probe(now));
            assert!(breaker.failed(true, now, &RULES));
            assert_eq!(
                breaker.admission(now),
                Admission::Refuse { until: now + pause * 1_000 * MS }
            );
            now += pause * 1_000 * MS;
        }
    }

    #[test]
    fn late_answers_do_not_stand_in_for_the_probe() {
        let breaker = broken(0);
        assert!(!breaker.succeeded(false));
        assert!(matches!(breaker.state(), State::Open { .. }));
        assert!(breaker.take_probe(1_000 * MS));
        breaker.failed(false, 1_000 * MS, &RULES);
        breaker.succeeded(false);
        assert!(matches!(breaker.state(), State::HalfOpen { .. }));
        breaker.probe_lost(1_500 * MS);
        assert!(breaker.take_probe(1_500 * MS), "a lost probe frees its place");
    }

    proptest! {
        #[test]
        fn the_word_holds_the_state(failures: u32, until in 0_u64..1 << 54, round: u8) {
            for state in [
                State::Closed { failures },
                State::Open { until, round },
                State::HalfOpen { round },
            ] {
                prop_assert_eq!(State::unpack(state.pack()), state);
            }
        }

        #[test]
        fn however_it_is_used_it_comes_back(steps in prop::collection::vec((0_u8..4, 0_u64..3_000), 0..200)) {
            let breaker = Breaker::new();
            let mut now = 0;
            let mut probing = false;
            for (step, pause) in steps {
                now += pause * MS;
                match step {
                    0 => probing |= breaker.take_probe(now),
                    1 => { breaker.succeeded(probing); probing = false; }
                    2 => { breaker.failed(probing, now, &RULES); probing = false; }
                    _ => if probing { breaker.probe_lost(now); probing = false; }
                }
                prop_assert_eq!(probing, matches!(breaker.state(), State::HalfOpen { .. }));
                if let Admission::Refuse { until } = breaker.admission(now) {
                    prop_assert!(until <= now + 30_000 * MS);
                }
            }
        }
    }
}
