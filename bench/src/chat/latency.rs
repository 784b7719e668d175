//! Counts durations in buckets that are 1/64 of their value wide.

const STEPS: u32 = 6;

/// How long deliveries took.
#[derive(Default)]
pub(super) struct Latencies {
    buckets: Vec<u64>,
    longest: u64,
}

impl Latencies {
    pub(super) fn add(&mut self, nanoseconds: u64) {
        let bucket = bucket(nanoseconds);
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.longest = self.longest.max(nanoseconds);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.buckets.resize(self.buckets.len().max(other.buckets.len()), 0);
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.longest = self.longest.max(other.longest);
    }

    /// What a share of all stayed below, in milliseconds.
    pub(super) fn milliseconds(&self, share: f64) -> f64 {
        let wanted = self.buckets.iter().sum::<u64>() as f64 * share;
        let mut sum = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            sum += count;
            if *count > 0 && sum as f64 >= wanted {
                return upper_bound(bucket).min(self.longest) as f64 / 1e6;
            }
        }
        0.0
    }

    pub(super) fn report(&self) -> serde_json::Value {
        serde_json::json!({
            "p50": self.milliseconds(0.5),
            "p99": self.milliseconds(0.99),
            "p999": self.milliseconds(0.999),
            "longest": self.longest as f64 / 1e6,
        })
    }
}

/// Values below 2^(STEPS + 1) have a bucket each; above, each power of two has 2^STEPS.
fn bucket(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(STEPS + 1);
    ((u64::from(shift) << STEPS) + (value >> shift)) as usize
}

fn upper_bound(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket >> STEPS).saturating_sub(1);
    let lower = bucket - (shift << STEPS);
    ((lower + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_its_values() {
        for value in (0..2000).chain((11..60).flat_map(|p| [(1 << p) - 1, 1 << p, (1 << p) + 1])) {
            let bound = upper_bound(bucket(value));
            assert!(bound >= value && bound - value <= value >> STEPS, "{value} {bound}");
        }
    }

    #[test]
    fn shares_are_those_of_what_was_added() {
        let (mut one, mut other) = (Latencies::default(), Latencies::default());
        for millisecond in 1..=500 {
            one.add(millisecond * 1_000_000);
            other.add((millisecond + 500) * 1_000_000);
        }
        one.merge(&other);
        for (share, expected) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let found = one.milliseconds(share);
            assert!((found - expected).abs() <= expected / 64.0, "{share}: {found}");
        }
    }
}
