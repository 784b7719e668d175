//! One list of several: pure, and each item once, should two shards claim it for a moment.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use crate::model::ranking::Ranked;
use crate::store::Liked;

/// The first `limit` of several rankings that each begin below the same place, which has the rank
/// `above`.
pub(super) fn rankings(lists: Vec<Vec<Ranked>>, above: u64, limit: u64) -> Vec<Ranked> {
    let mut all: Vec<Ranked> = lists.into_iter().flatten().collect();
    all.sort_by(|a, b| b.score.total_cmp(&a.score).then(b.id.cmp(&a.id)));
    let mut seen = HashSet::with_capacity(all.len());
    all.retain(|ranked| seen.insert(ranked.id));
    all.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    for (rank, ranked) in (above + 1..).zip(&mut all) {
        ranked.rank = rank;
    }
    all
}

/// The latest `most` likes of a user.
pub(super) fn liked(lists: Vec<Vec<Liked>>, most: usize) -> Vec<Liked> {
    let mut all: Vec<Liked> = lists.into_iter().flatten().collect();
    all.sort_unstable_by_key(|liked| Reverse((liked.at, liked.id)));
    all.dedup_by_key(|liked| liked.id);
    all.truncate(most);
    all
}

/// The latest `most` likes of each of several users, the latest first.
pub(super) fn histories(
    lists: Vec<HashMap<i64, Vec<(i64, i64)>>>,
    most: usize,
) -> HashMap<i64, Vec<i64>> {
    let mut all: HashMap<i64, Vec<(i64, i64)>> = HashMap::new();
    for (user, liked) in lists.into_iter().flatten() {
        all.entry(user).or_default().extend(liked);
    }
    let latest = |mut liked: Vec<(i64, i64)>| {
        liked.sort_unstable_by_key(|like| Reverse(*like));
        liked.dedup_by_key(|(_, id)| *id);
        liked.into_iter().take(most).map(|(_, id)| id).collect()
    };
    all.into_iter().map(|(user, liked)| (user, latest(liked))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranked(id: i64, score: f64) -> Ranked {
        Ranked { id, rank: 0, score, category: None, likes: 0, views: 0 }
    }

    #[test]
    fn rankings_are_merged_by_score_and_then_by_id() {
        let lists = vec![
            vec![ranked(1, 5.0), ranked(4, 2.0)],
            vec![ranked(2, 5.0), ranked(3, 3.0)],
            vec![ranked(3, 3.0)],
        ];
        let merged = rankings(lists, 10, 3);
        let places: Vec<_> = merged.iter().map(|r| (r.rank, r.id)).collect();
        assert_eq!(places, [(11, 2), (12, 1), (13, 3)]);
    }

    #[test]
    fn likes_are_merged_by_time() {
        let like = |at, id| Liked { at, id, likes: 1 };
        let merged =
            liked(vec![vec![like(3, 1), like(1, 2)], vec![like(2, 3)], vec![like(2, 3)]], 2);
        assert_eq!(merged, [like(3, 1), like(2, 3)]);
        let one = HashMap::from([(7, vec![(1, 5), (3, 6)])]);
        let two = HashMap::from([(7, vec![(2, 4), (3, 6)]), (8, vec![(1, 1)])]);
        let merged = histories(vec![one, two], 2);
        assert_eq!(merged, HashMap::from([(7, vec![6, 4]), (8, vec![1])]));
    }
}
