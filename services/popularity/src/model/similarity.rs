//! What people with similar likes like: item-to-item co-likes, normalised by the cosine.
//!
//! The likeness of two items is the cosine of the angle between their sets of fans,
//! `|A ∩ B| / √(|A|·|B|)` (Linden, Smith, York: *Amazon.com Recommendations: Item-to-Item
//! Collaborative Filtering*, IEEE Internet Computing 2003), so that what everybody likes is not
//! recommended to everybody. A candidate's score is the sum of its likenesses to what the person
//! likes. Only so much is looked at: the latest likes of the person, some fans of each, the latest
//! likes of those fans; overlaps are scaled up by the share of fans looked at.
//!
//! Invariant: the work is bounded by [`SEEDS`] × [`FANS`] × [`HISTORY`], whoever asks.

use std::collections::{HashMap, HashSet};

/// So many of the person's latest likes are looked at.
pub(crate) const SEEDS: usize = 24;
/// So many fans of each of these.
pub(crate) const FANS: usize = 32;
/// So many people in all: those who share most with the person.
pub(crate) const NEIGHBOURS: usize = 192;
/// So many of the latest likes of each of them.
pub(crate) const HISTORY: usize = 48;
/// So many candidates are weighed.
pub(crate) const CANDIDATES: usize = 512;

/// Something the person likes, and people who like it too.
#[derive(Clone, Debug)]
pub(crate) struct Seed {
    /// Which item.
    pub id: i64,
    /// How many people like it.
    pub likes: i64,
    /// Some of them, at most [`FANS`], without the person.
    pub fans: Vec<i64>,
}

/// The people whose likes are worth a look: those who share most with the person first, at most
/// [`NEIGHBOURS`].
#[must_use]
pub(crate) fn neighbours(seeds: &[Seed]) -> Vec<i64> {
    let mut shared: HashMap<i64, usize> = HashMap::new();
    for fan in seeds.iter().flat_map(|seed| &seed.fans) {
        *shared.entry(*fan).or_default() += 1;
    }
    let mut people: Vec<(i64, usize)> = shared.into_iter().collect();
    people.sort_unstable_by_key(|&(person, shared)| (std::cmp::Reverse(shared), person));
    people.into_iter().map(|(person, _)| person).take(NEIGHBOURS).collect()
}

/// The items that those people like and the person is not known to: for each, which seeds it shares
/// fans with, and how many. At most [`CANDIDATES`], those that share most.
#[must_use]
pub(crate) fn candidates(
    seeds: &[Seed],
    histories: &HashMap<i64, Vec<i64>>,
) -> Vec<(i64, Vec<Overlap>)> {
    let known: HashSet<i64> = seeds.iter().map(|seed| seed.id).collect();
    let mut overlaps: HashMap<i64, HashMap<usize, u32>> = HashMap::new();
    for (index, seed) in seeds.iter().enumerate() {
        for item in seed.fans.iter().filter_map(|fan| histories.get(fan)).flatten() {
            if !known.contains(item) {
                *overlaps.entry(*item).or_default().entry(index).or_default() += 1;
            }
        }
    }
    let mut candidates: Vec<(i64, Vec<Overlap>)> = overlaps
        .into_iter()
        .map(|(item, shared)| {
            let shared = shared.into_iter().map(|(seed, fans)| Overlap { seed, fans });
            let mut shared: Vec<Overlap> = shared.collect();
            // Sums of the same parts in the same order are the same.
            shared.sort_unstable_by_key(|overlap| overlap.seed);
            (item, shared)
        })
        .collect();
    candidates.sort_unstable_by_key(|(item, shared)| {
        (std::cmp::Reverse(shared.iter().map(|o| o.fans).sum::<u32>()), std::cmp::Reverse(*item))
    });
    candidates.truncate(CANDIDATES);
    candidates
}

/// Fans that a candidate has in common with a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overlap {
    /// The seed's place in the list of seeds.
    pub seed: usize,
    /// How many of the fans looked at.
    pub fans: u32,
}

/// How much a candidate with so many likes is like what the person likes.
#[must_use]
#[allow(clippy::cast_precision_loss)] // counts of people
pub(crate) fn score(seeds: &[Seed], overlaps: &[Overlap], likes: i64) -> f64 {
    overlaps
        .iter()
        .filter_map(|overlap| seeds.get(overlap.seed).map(|seed| (seed, overlap.fans)))
        .map(|(seed, shared)| {
            // Of `likes` fans (the person is one of them) so many were looked at.
            let others =
                (seed.likes - 1).max(seed.fans.len().try_into().unwrap_or(i64::MAX)).max(1);
            let shared = f64::from(shared) * others as f64 / seed.fans.len().max(1) as f64;
            shared / (seed.likes.max(1) as f64 * likes.max(1) as f64).sqrt()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seed(id: i64, likes: i64, fans: &[i64]) -> Seed {
        Seed { id, likes, fans: fans.to_vec() }
    }

    #[test]
    fn what_all_fans_of_little_else_like_comes_before_what_everybody_likes() {
        let seeds = [seed(1, 4, &[11, 12, 13])];
        let histories =
            HashMap::from([(11, vec![1, 50, 60]), (12, vec![1, 50, 60]), (13, vec![1, 60])]);
        let found = candidates(&seeds, &histories);
        let of = |item| found.iter().find(|(id, _)| *id == item).map(|(_, o)| o.clone()).unwrap();
        // 50 has two fans, both ours; 60 has three of ours among a thousand.
        assert!(score(&seeds, &of(50), 2) > score(&seeds, &of(60), 1000));
        assert!(found.iter().all(|(id, _)| *id != 1), "what the person likes is no news");
    }

    #[test]
    fn those_who_share_more_come_first() {
        let seeds = [seed(1, 9, &[7, 8]), seed(2, 9, &[8, 9])];
        assert_eq!(neighbours(&seeds), [8, 7, 9]);
    }

    #[test]
    fn an_overlap_in_a_sample_stands_for_the_whole() {
        let all = [seed(1, 5, &[1, 2, 3, 4])];
        let some = [seed(1, 5, &[1, 2])];
        let whole = score(&all, &[Overlap { seed: 0, fans: 4 }], 10);
        let sampled = score(&some, &[Overlap { seed: 0, fans: 2 }], 10);
        assert!((whole - sampled).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn likeness_is_a_cosine_when_everybody_was_looked_at(
            a in prop::collection::btree_set(1i64..30, 1..20),
            b in prop::collection::btree_set(1i64..30, 1..20),
        ) {
            // The person (0) likes A alone; everybody else is looked at.
            let fans: Vec<i64> = a.iter().copied().collect();
            let seeds = [seed(1, i64::try_from(a.len()).unwrap() + 1, &fans)];
            let histories = fans.iter().map(|f| (*f, if b.contains(f) { vec![1, 2] } else { vec![1] })).collect();
            let common = a.intersection(&b).count();
            let found = candidates(&seeds, &histories);
            if common == 0 {
                prop_assert!(found.is_empty());
            } else {
                let likes = i64::try_from(b.len()).unwrap();
                let cosine = common as f64 / ((a.len() as f64 + 1.0) * b.len() as f64).sqrt();
                prop_assert!((score(&seeds, &found[0].1, likes) - cosine).abs() < 1e-9);
                prop_assert!(score(&seeds, &found[0].1, likes) <= 1.0);
            }
        }
    }
}
