//! Trending scores that fade by half every day, kept so that they never need rewriting.
//!
//! Forward decay (Cormode, Shkapenyuk, Srivastava, Xu: *Forward Decay: A Practical Time Decay
//! Model for Streaming Systems*, ICDE 2009): the decayed count at time `t` of marks of weight `wᵢ`
//! made at `tᵢ` is `Σ wᵢ·2^((tᵢ−t)/H)`. The factor `2^(−t/H)` is common to all items, so it can
//! be left out of every comparison; what is kept is the logarithm of the rest,
//! `log₂ Σ wᵢ·2^(tᵢ/H)`, which neither overflows nor changes while nothing happens.
//!
//! Invariant: of two scores the greater belongs to the item with the greater decayed count, now
//! and at any later moment.

/// After this long a mark counts half, in milliseconds.
pub(crate) const HALF_LIFE_MS: f64 = 24.0 * 3_600_000.0;

/// What a like weighs.
pub(crate) const LIKE: f64 = 1.0;

/// What a view weighs.
pub(crate) const VIEW: f64 = 0.1;

/// Below this share of what is taken away, the rest is rounding. Scores are near 2·10⁴, where a
/// double's step is 3.6·10⁻¹².
const ROUNDING: f64 = 1e-11;

/// A log-scaled decayed count.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(crate) struct Trend(f64);

impl Trend {
    /// The score of what nothing happened to: below every other. Finite, so that every database
    /// keeps and orders it.
    pub(crate) const NONE: Self = Self(-1e9);

    /// The score as it is stored.
    #[must_use]
    pub(crate) const fn stored(self) -> f64 {
        self.0
    }

    /// A score that was stored.
    #[must_use]
    pub(crate) const fn from_stored(stored: f64) -> Self {
        Self(stored)
    }

    /// The score after a mark of `weight` (> 0) made at `at_ms`.
    #[must_use]
    pub(crate) fn add(self, weight: f64, at_ms: i64) -> Self {
        let mark = log_weight(weight, at_ms);
        let (high, low) = if self.0 > mark { (self.0, mark) } else { (mark, self.0) };
        Self(high + (low - high).exp2().ln_1p() / std::f64::consts::LN_2)
    }

    /// The score without a mark that `add` made; [`Trend::NONE`] when nothing but rounding is left.
    #[must_use]
    pub(crate) fn remove(self, weight: f64, at_ms: i64) -> Self {
        let rest = 1.0 - (log_weight(weight, at_ms) - self.0).exp2();
        if rest > ROUNDING { Self(self.0 + rest.log2()) } else { Self::NONE }
    }

    /// The decayed count at a moment.
    #[cfg(test)]
    fn count_at(self, now_ms: i64) -> f64 {
        (self.0 - millis(now_ms) / HALF_LIFE_MS).exp2()
    }
}

/// The weight of an hour in a decayed sum seen from `as_of`: what happened in it counts as if it
/// had happened at its beginning.
#[must_use]
pub(crate) fn weight_of_hour(hour: i64, as_of_hour: i64) -> f64 {
    (millis(hour - as_of_hour) * millis(super::HOUR_MS) / HALF_LIFE_MS).exp2()
}

fn log_weight(weight: f64, at_ms: i64) -> f64 {
    millis(at_ms) / HALF_LIFE_MS + weight.log2()
}

/// Times are far below 2⁵³.
#[allow(clippy::cast_precision_loss)]
const fn millis(ms: i64) -> f64 {
    ms as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_790_000_000_000;
    const DAY: i64 = 24 * 3_600_000;

    fn marks() -> impl Strategy<Value = Vec<(f64, i64)>> {
        prop::collection::vec((0.1..4.0, NOW - 20 * DAY..NOW), 1..40)
    }

    fn naive(marks: &[(f64, i64)], now: i64) -> f64 {
        marks.iter().map(|(w, at)| w * (millis(at - now) / HALF_LIFE_MS).exp2()).sum()
    }

    fn score(marks: &[(f64, i64)]) -> Trend {
        marks.iter().fold(Trend::NONE, |score, (w, at)| score.add(*w, *at))
    }

    #[test]
    fn a_like_counts_half_after_a_day() {
        let trend = Trend::NONE.add(LIKE, NOW);
        assert!((trend.count_at(NOW) - 1.0).abs() < 1e-9);
        assert!((trend.count_at(NOW + DAY) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn nothing_ranks_below_the_oldest_and_smallest() {
        assert!(Trend::NONE < Trend::NONE.add(1e-9, 0));
    }

    #[test]
    fn what_was_added_alone_leaves_nothing() {
        assert_eq!(Trend::NONE.add(LIKE, NOW).remove(LIKE, NOW), Trend::NONE);
        assert_eq!(Trend::NONE.remove(LIKE, NOW), Trend::NONE);
    }

    #[test]
    fn an_hour_weighs_what_a_mark_at_its_beginning_weighs() {
        let hour = NOW / super::super::HOUR_MS;
        assert!((weight_of_hour(hour - 24, hour) - 0.5).abs() < 1e-12);
        assert!((weight_of_hour(hour, hour) - 1.0).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn the_score_is_the_decayed_count(marks in marks(), later in 0..10 * DAY) {
            let now = NOW + later;
            let (kept, counted) = (score(&marks).count_at(now), naive(&marks, now));
            prop_assert!((kept / counted - 1.0).abs() < 1e-8, "{kept} {counted}");
        }

        #[test]
        fn the_order_is_that_of_the_counts_at_any_time(a in marks(), b in marks(), later in 0..30 * DAY) {
            let now = NOW + later;
            let (x, y) = (naive(&a, now), naive(&b, now));
            prop_assume!((x / y - 1.0).abs() > 1e-8);
            prop_assert_eq!(score(&a) > score(&b), x > y);
        }

        #[test]
        fn removing_undoes_adding(kept in marks(), gone in marks()) {
            let mut trend = score(&[kept.clone(), gone.clone()].concat());
            for (weight, at) in gone {
                trend = trend.remove(weight, at);
            }
            let (left, counted) = (trend.count_at(NOW), naive(&kept, NOW));
            prop_assert!((left - counted).abs() < 1e-7, "{left} {counted}");
        }
    }
}
