//! Which instances of a set answer so much worse than the others that they are left out for a
//! while, although they do not fail often enough in a row to open their breaker.
//!
//! Source: Envoy's outlier detection by failure percentage, with one condition more: the others
//! must be clearly better. When all fail alike (a database they share is away), leaving some out
//! would only load the rest.

use crate::settings::MeshSettings;

/// Calls that must have ended before they say anything.
pub(crate) const VOLUME: u32 = 10;

/// What became of the calls to one instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) succeeded: u32,
    pub(crate) failed: u32,
    /// It is left out already.
    pub(crate) ejected: bool,
}

impl Sample {
    pub(crate) fn volume(self) -> u32 {
        self.succeeded.saturating_add(self.failed)
    }

    fn share(self) -> f64 {
        f64::from(self.failed) / f64::from(self.volume().max(1))
    }
}

/// From which share of failures an instance is an outlier, and how many may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    percent: u32,
    share_percent: u32,
}

impl Rules {
    pub(crate) fn new(settings: &MeshSettings) -> Self {
        Self {
            percent: settings.outlier_percent.clamp(1, 100),
            share_percent: settings.outlier_share_percent.min(100),
        }
    }
}

/// The indices of those to eject now, the worst first.
pub(crate) fn outliers(samples: &[Sample], rules: &Rules) -> Vec<usize> {
    let out = samples.iter().filter(|s| s.ejected).count();
    let most =
        (samples.len() * rules.share_percent as usize / 100).min(samples.len().saturating_sub(1));
    let threshold = f64::from(rules.percent) / 100.0;
    let mut worst: Vec<usize> = (0..samples.len())
        .filter(|&i| {
            let sample = samples[i];
            !sample.ejected
                && sample.volume() >= VOLUME
                && sample.share() >= threshold
                && sample.share() >= 2.0 * share_of_others(samples, i)
        })
        .collect();
    worst.sort_by(|&a, &b| samples[b].share().total_cmp(&samples[a].share()));
    worst.truncate(most.saturating_sub(out));
    worst
}

/// The share of failures of all the others that are not ejected, taken together.
fn share_of_others(samples: &[Sample], but: usize) -> f64 {
    let others = samples.iter().enumerate().filter(|(i, s)| *i != but && !s.ejected);
    let (failed, volume) = others.fold((0_u64, 0_u64), |(failed, volume), (_, s)| {
        (failed + u64::from(s.failed), volume + u64::from(s.volume()))
    });
    failed as f64 / volume.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULES: Rules = Rules { percent: 30, share_percent: 50 };

    fn sample(succeeded: u32, failed: u32) -> Sample {
        Sample { succeeded, failed, ejected: false }
    }

    #[test]
    fn the_one_that_fails_more_than_the_others_is_left_out() {
        let samples = [sample(100, 1), sample(60, 40), sample(100, 0)];
        assert_eq!(outliers(&samples, &RULES), [1]);
    }

    #[test]
    fn when_all_fail_none_is_left_out() {
        assert!(outliers(&[sample(50, 50), sample(55, 45), sample(50, 50)], &RULES).is_empty());
    }

    #[test]
    fn few_calls_say_nothing_and_a_single_instance_stays() {
        assert!(outliers(&[sample(0, 9), sample(100, 0)], &RULES).is_empty());
        assert!(outliers(&[sample(0, 100)], &RULES).is_empty());
    }

    proptest! {
        #[test]
        fn never_more_than_the_share_and_never_all(
            samples in prop::collection::vec((0_u32..100, 0_u32..100, any::<bool>()), 0..20),
            share_percent in 0_u32..=100,
        ) {
            let samples: Vec<_> = samples
                .into_iter()
                .map(|(succeeded, failed, ejected)| Sample { succeeded, failed, ejected })
                .collect();
            let before = samples.iter().filter(|s| s.ejected).count();
            let found = outliers(&samples, &Rules { percent: 30, share_percent });
            if !found.is_empty() {
                prop_assert!(before + found.len() <= samples.len() * share_percent as usize / 100);
                prop_assert!(before + found.len() < samples.len());
            }
            for i in found {
                prop_assert!(!samples[i].ejected);
                prop_assert!(samples[i].share() >= 0.3);
            }
        }
    }
}
