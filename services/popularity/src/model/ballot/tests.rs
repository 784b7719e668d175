//! A batch is held against the same votes counted one by one.

use std::collections::BTreeSet;

use contracts::Kind;
use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_790_000_000_000;

fn item(id: i64) -> Item {
    Item { kind: Kind::Palette, id }
}

fn state(likes: i64) -> ItemState {
    ItemState { owner: 1, category: None, likes, views: 0, trend: Trend::NONE, version: 7 }
}

fn vote(id: i64, user: i64, like: bool) -> Vote {
    Vote { item: item(id), user, like, at: NOW }
}

/// Items 0..4 exist; `liked` are the (item, user) that stand.
fn before(liked: &BTreeSet<(i64, i64)>, erased: &[i64]) -> Before {
    let count = |id| i64::try_from(liked.iter().filter(|(i, _)| *i == id).count()).unwrap();
    Before {
        items: (0..4).map(|id| (item(id), state(count(id)))).collect(),
        likes: liked.iter().map(|(id, user)| ((item(*id), *user), NOW - 5_000)).collect(),
        erased: erased.iter().copied().collect(),
    }
}

#[test]
fn a_second_like_changes_nothing() {
    let (verdicts, changes) =
        count(&[vote(1, 9, true), vote(1, 9, true)], &before(&BTreeSet::new(), &[]), NOW);
    assert_eq!(verdicts, [Verdict::Counted { likes: 1 }; 2]);
    assert_eq!(changes.given, [(item(1), 9, NOW)]);
    assert_eq!(changes.items[&item(1)].likes, 1);
    assert_eq!(changes.items[&item(1)].version, 8);
}

#[test]
fn a_like_taken_back_within_the_batch_leaves_no_trace() {
    let (verdicts, changes) =
        count(&[vote(1, 9, true), vote(1, 9, false)], &before(&BTreeSet::new(), &[]), NOW);
    assert_eq!(verdicts, [Verdict::Counted { likes: 1 }, Verdict::Counted { likes: 0 }]);
    assert!(changes.is_empty());
    assert_eq!(changes, Changes::default());
}

#[test]
fn an_item_without_likes_and_views_does_not_trend() {
    let mut known = before(&BTreeSet::from([(1, 9)]), &[]);
    known.items.get_mut(&item(1)).unwrap().trend = Trend::NONE.add(3.0, NOW);
    let (_, changes) = count(&[vote(1, 9, false)], &known, NOW);
    assert_eq!(changes.items[&item(1)].trend, Trend::NONE);
    assert_eq!(changes.activity[&(item(1), hour_of(NOW - 5_000))].likes, -1);
}

#[test]
fn an_hour_about_to_be_pruned_is_not_brought_back() {
    let mut known = before(&BTreeSet::from([(1, 9)]), &[]);
    known.likes.insert((item(1), 9), NOW - 33 * 24 * 3_600_000);
    let (_, changes) = count(&[vote(1, 9, false)], &known, NOW);
    assert_eq!(changes.taken, [(item(1), 9)]);
    assert!(changes.activity.is_empty());
}

#[test]
fn unknown_items_and_erased_users_are_told_so() {
    let votes = [vote(77, 9, true), vote(1, 8, true), vote(1, 8, false)];
    let (verdicts, changes) = count(&votes, &before(&BTreeSet::new(), &[8]), NOW);
    assert_eq!(verdicts, [Verdict::NoSuchItem, Verdict::NoSuchUser, Verdict::Counted { likes: 0 }]);
    assert!(changes.is_empty());
}

#[test]
fn views_weigh_less_than_likes() {
    let mut changes = Changes::default();
    changes.add_views(item(1), &state(0), 9, NOW);
    assert_eq!(changes.items[&item(1)].views, 9);
    assert_eq!(changes.activity[&(item(1), hour_of(NOW))].views, 9);
    assert!(changes.items[&item(1)].trend < Trend::NONE.add(LIKE, NOW));
}

proptest! {
    #[test]
    fn a_batch_counts_like_its_votes_one_by_one(
        liked in prop::collection::btree_set((0i64..4, 0i64..6), 0..12),
        votes in prop::collection::vec((0i64..5, 0i64..6, any::<bool>()), 0..60),
    ) {
        let votes: Vec<Vote> = votes.into_iter().map(|(i, u, like)| vote(i, u, like)).collect();
        let known = before(&liked, &[5]);
        let (verdicts, changes) = count(&votes, &known, NOW);

        let mut stand = liked.clone();
        let expected: Vec<Verdict> = votes.iter().map(|v| {
            let pair = (v.item.id, v.user);
            match (v.item.id < 4, v.user == 5 && v.like) {
                (false, _) => return Verdict::NoSuchItem,
                (_, true) => return Verdict::NoSuchUser,
                _ if v.like => stand.insert(pair),
                _ => stand.remove(&pair),
            };
            let likes = stand.iter().filter(|(i, _)| *i == v.item.id).count();
            Verdict::Counted { likes: i64::try_from(likes).unwrap() }
        }).collect();
        prop_assert_eq!(verdicts, expected);

        let mut written = liked;
        for (item, user) in &changes.taken { prop_assert!(written.remove(&(item.id, *user))); }
        for (item, user, _) in &changes.given { prop_assert!(written.insert((item.id, *user))); }
        prop_assert_eq!(&written, &stand);
        for (item, state) in &changes.items {
            let rows = written.iter().filter(|(i, _)| *i == item.id).count();
            prop_assert_eq!(state.likes, i64::try_from(rows).unwrap());
            prop_assert_eq!(state.version, 8);
        }
        let hours: i64 = changes.activity.values().map(|a| a.likes).sum();
        let (given, taken) = (changes.given.len(), changes.taken.len());
        prop_assert_eq!(hours, i64::try_from(given).unwrap() - i64::try_from(taken).unwrap());
    }
}
