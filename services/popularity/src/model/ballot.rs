//! What a batch of votes changes, and what each voter is told.
//!
//! Votes of a batch count in their order, as if each had been a transaction of its own; what is
//! written is only the difference between before and after.
//!
//! Invariant: an item's likes equal the number of people who like it, before and after.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::decay::{LIKE, Trend};
use super::{Activity, Item, ItemState, RETENTION_HOURS, hour_of};

/// Someone likes something, or no longer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vote {
    /// What.
    pub item: Item,
    /// Who.
    pub user: i64,
    /// Like it, or take the like back.
    pub like: bool,
    /// When, in milliseconds since 1970 UTC.
    pub at: i64,
}

/// What is known before a batch, under its locks.
#[derive(Debug, Default)]
pub(crate) struct Before {
    /// The items of the votes; those that are missing do not exist.
    pub items: BTreeMap<Item, ItemState>,
    /// Which of the votes' (item, user) already are likes, and since when.
    pub likes: HashMap<(Item, i64), i64>,
    /// Which of the voters were erased.
    pub erased: HashSet<i64>,
}

/// What a voter is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It counts, or counted already.
    Counted {
        /// The item's likes right after this vote.
        likes: i64,
    },
    /// There is no such item.
    NoSuchItem,
    /// There is no such user any more.
    NoSuchUser,
}

/// What is to be written.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Changes {
    /// New likes and when they were given.
    pub given: Vec<(Item, i64, i64)>,
    /// Likes that are gone.
    pub taken: Vec<(Item, i64)>,
    /// The items that changed, as they are now.
    pub items: BTreeMap<Item, ItemState>,
    /// What to add to the hours.
    pub activity: BTreeMap<(Item, i64), Activity>,
}

impl Changes {
    /// Whether nothing is to be written.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Adds views of one item, all made about `at`.
    pub(crate) fn add_views(&mut self, item: Item, before: &ItemState, views: i64, at: i64) {
        let state = self.items.entry(item).or_insert_with(|| next_version(before));
        state.views += views;
        #[allow(clippy::cast_precision_loss)] // views of one second
        let weight = super::decay::VIEW * views as f64;
        state.trend = state.trend.add(weight, at);
        self.activity.entry((item, hour_of(at))).or_default().views += views;
    }
}

/// Counts a batch: what each vote is told, in their order, and what is to be written. `now` is the
/// time of the batch, in milliseconds since 1970 UTC.
#[must_use]
pub(crate) fn count(votes: &[Vote], before: &Before, now: i64) -> (Vec<Verdict>, Changes) {
    let mut standing: BTreeMap<(Item, i64), Option<i64>> = BTreeMap::new();
    let mut likes: HashMap<Item, i64> = HashMap::new();
    let verdicts = votes
        .iter()
        .map(|vote| {
            let Some(state) = before.items.get(&vote.item) else { return Verdict::NoSuchItem };
            if before.erased.contains(&vote.user) && vote.like {
                return Verdict::NoSuchUser;
            }
            let voter = (vote.item, vote.user);
            let since = standing.entry(voter).or_insert_with(|| before.likes.get(&voter).copied());
            let likes = likes.entry(vote.item).or_insert(state.likes);
            if vote.like && since.is_none() {
                // A like that was taken back and given again in one batch never ceased to stand.
                *since = Some(before.likes.get(&voter).copied().unwrap_or(vote.at));
                *likes += 1;
            } else if !vote.like && since.is_some() {
                *since = None;
                *likes -= 1;
            }
            Verdict::Counted { likes: *likes }
        })
        .collect();
    (verdicts, difference(&standing, before, now))
}

fn difference(standing: &BTreeMap<(Item, i64), Option<i64>>, before: &Before, now: i64) -> Changes {
    let mut changes = Changes::default();
    for (&(item, user), &since) in standing {
        let (change, at) = match (before.likes.get(&(item, user)).copied(), since) {
            (None, Some(at)) => (1, at),
            (Some(at), None) => (-1, at),
            _ => continue,
        };
        let Some(state) = before.items.get(&item) else { continue };
        let state = changes.items.entry(item).or_insert_with(|| next_version(state));
        state.likes += change;
        if change > 0 {
            changes.given.push((item, user, at));
            state.trend = state.trend.add(LIKE, at);
        } else {
            changes.taken.push((item, user));
            state.trend = state.trend.remove(LIKE, at);
        }
        if state.likes == 0 && state.views == 0 {
            state.trend = Trend::NONE;
        }
        // An hour about to be forgotten is left alone: counting back in it could bring it back.
        if change > 0 || hour_of(at) > hour_of(now) - RETENTION_HOURS + 24 {
            changes.activity.entry((item, hour_of(at))).or_default().likes += change;
        }
    }
    changes
}

fn next_version(state: &ItemState) -> ItemState {
    ItemState { version: state.version + 1, ..state.clone() }
}

#[cfg(test)]
mod tests;
