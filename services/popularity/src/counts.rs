//! The counts of items in memory, and the views that are not written yet: what a reader of a
//! palette costs this service.
//!
//! A count is learned from whoever saw it last: a load, a vote of this process, an event of another.
//! They arrive in any order; the one with the larger version stays.
//!
//! Invariants: the memory is bounded ([`KNOWN_ITEMS`], [`WAITING_ITEMS`]); a view is written once
//! or, if the process is killed within a second of it, not at all.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use contracts::Kind;
use contracts::events::PopularityChanged;
use data::DataError;
use moka::ops::compute::Op;
use moka::sync::Cache;
use telemetry::Context;

use crate::clock::Clock;
use crate::model::slots::Slot;
use crate::model::{Item, ItemState};
use crate::shards::Shards;
use crate::store::Viewed;

/// So many items are remembered, those last asked for.
const KNOWN_ITEMS: u64 = 100_000;
/// For so long: a bound on what a lost event can do.
const KNOWN_FOR: Duration = Duration::from_secs(60);
/// Views of so many items wait at most; those of others are not counted until the next flush.
const WAITING_ITEMS: usize = 131_072;
const SHARDS: usize = 16;
/// So many items are written in one transaction.
const FLUSH: usize = 1_000;

/// What is told of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Likes.
    pub likes: i64,
    /// Views, without those that wait.
    pub views: i64,
    owner: i64,
    version: i64,
}

/// What is remembered of an id.
#[derive(Clone, Debug)]
enum Known {
    /// There is such an item.
    Here(Arc<Tally>),
    /// It was withdrawn, and never comes back.
    Gone,
}

impl Known {
    fn version(&self) -> i64 {
        match self {
            Self::Here(tally) => tally.version,
            Self::Gone => i64::MAX,
        }
    }
}

/// The counts that one process knows.
pub(crate) struct Counts {
    shards: Shards,
    clock: Clock,
    known: Cache<Item, Known>,
    waiting: [Mutex<HashMap<Item, i64>>; SHARDS],
    hasher: RandomState,
}

impl Counts {
    /// Knows nothing yet.
    #[must_use]
    pub(crate) fn new(shards: Shards, clock: Clock) -> Self {
        let known = Cache::builder().max_capacity(KNOWN_ITEMS).time_to_live(KNOWN_FOR).build();
        let (waiting, hasher) = (Default::default(), RandomState::new());
        Self { shards, clock, known, waiting, hasher }
    }

    /// The counts of items of one kind, in the order asked for; none for an id without an item.
    /// With `viewer`, each item that is there and not the viewer's own counts one view more.
    ///
    /// # Errors
    /// When one of them is not in memory and the database does not answer.
    pub(crate) async fn of(
        &self,
        kind: Kind,
        ids: &[i64],
        view: Option<Viewer>,
    ) -> Result<Vec<Option<Arc<Tally>>>, DataError> {
        let fresh = Context::with_current(|context| context.fresh) == Some(true);
        let look = |id: &i64| self.known.get(&Item { kind, id: *id }).filter(|_| !fresh);
        let mut found: Vec<Option<Known>> = ids.iter().map(look).collect();
        if found.iter().any(Option::is_none) {
            self.load(kind, ids, &mut found).await?;
        }
        let here = |known| match known {
            Some(Known::Here(tally)) => Some(tally),
            _ => None,
        };
        let tallies: Vec<_> = found.into_iter().map(here).collect();
        if let Some(viewer) = view {
            for (id, tally) in ids.iter().zip(&tallies) {
                if tally.as_ref().is_some_and(|tally| viewer.0 != Some(tally.owner)) {
                    self.view(Item { kind, id: *id }, 1);
                }
            }
        }
        Ok(tallies)
    }

    async fn load(
        &self,
        kind: Kind,
        ids: &[i64],
        found: &mut [Option<Known>],
    ) -> Result<(), DataError> {
        let missing = ids.iter().zip(&*found).filter(|(_, known)| known.is_none());
        let missing: Vec<i64> = missing.map(|(id, _)| *id).collect();
        let loaded = self.shards.read(kind, &missing).await?;
        for (id, known) in ids.iter().zip(found) {
            // What is not there is not remembered: it may be registered the next moment.
            if let (None, Some(state)) = (&known, loaded.get(id)) {
                *known = Some(self.learn(Item { kind, id: *id }, here(state)));
            }
        }
        Ok(())
    }

    /// Takes note of an item as it is after a change.
    pub(crate) fn changed(&self, item: Item, state: &ItemState) {
        self.learn(item, here(state));
    }

    /// Takes note of what an instance tells of an item, if it is one of those remembered. False if
    /// something newer is known: a shard that an item has left may be late with what it tells.
    pub(crate) fn heard(&self, event: &PopularityChanged) -> bool {
        let item = Item { kind: event.kind, id: event.item_id.get() };
        let Some(Known::Here(tally)) = self.known.get(&item) else { return true };
        let (likes, views, version) = (event.likes, event.views, event.version);
        self.learn(item, Known::Here(Arc::new(Tally { likes, views, version, ..*tally })));
        version >= tally.version
    }

    /// Takes note that an item is withdrawn.
    pub(crate) fn gone(&self, item: Item) {
        self.learn(item, Known::Gone);
    }

    /// Forgets everything: events may have been missed.
    pub(crate) fn forget(&self) {
        self.known.invalidate_all();
    }

    /// Keeps the newer of what is known and what is learned, and answers it.
    fn learn(&self, item: Item, learned: Known) -> Known {
        let kept = self.known.entry(item).and_compute_with(|known| match known {
            Some(known) if known.value().version() >= learned.version() => Op::Nop,
            _ => Op::Put(learned.clone()),
        });
        kept.into_entry().map_or(learned, moka::Entry::into_value)
    }

    /// Counts views, to be written with the next flush.
    fn view(&self, item: Item, views: i64) {
        let mut waiting = self.shard(item);
        if let Some(count) = waiting.get_mut(&item) {
            *count += views;
        } else if waiting.len() < WAITING_ITEMS / SHARDS {
            waiting.insert(item, views);
        } else {
            metrics::counter!("popularity_views_dropped_total").increment(views.unsigned_abs());
        }
    }

    fn shard(&self, item: Item) -> MutexGuard<'_, HashMap<Item, i64>> {
        // The rest of the hash is the map's own.
        let shard = (self.hasher.hash_one(item) >> 56) as usize % SHARDS;
        self.waiting[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the views that wait. What cannot be written waits on.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn flush(&self) -> Result<(), DataError> {
        let mut views: Vec<(Item, i64)> = Vec::new();
        for shard in &self.waiting {
            let mut waiting = shard.lock().unwrap_or_else(PoisonError::into_inner);
            views.extend(std::mem::take(&mut *waiting));
        }
        // In order, neighbours in one transaction are neighbours in the trees.
        views.sort_unstable();
        let mut by_shard: BTreeMap<usize, Vec<(Item, i64)>> = BTreeMap::new();
        let mut failed = None;
        for (item, count) in views {
            match self.shards.holder(Slot::of(item)) {
                Ok(shard) => by_shard.entry(shard.number).or_default().push((item, count)),
                Err(error) => {
                    self.view(item, count);
                    failed = Some(error);
                }
            }
        }
        let writes = by_shard.iter().map(|(shard, views)| self.flush_to(*shard, views));
        for outcome in futures::future::join_all(writes).await {
            if let Err(error) = outcome {
                failed = Some(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn flush_to(&self, shard: usize, views: &[(Item, i64)]) -> Result<(), DataError> {
        for (written, batch) in views.chunks(FLUSH).enumerate() {
            match self.write(shard, batch.to_vec()).await {
                Ok(viewed) => {
                    viewed.items.iter().for_each(|(item, state)| self.changed(*item, state));
                    if !viewed.elsewhere.is_empty() {
                        // With the next flush, to where they are then.
                        viewed.elsewhere.iter().for_each(|(item, views)| self.view(*item, *views));
                        self.shards.look_again().await;
                    }
                }
                Err(error) => {
                    let rest = &views[written * FLUSH..];
                    rest.iter().for_each(|(item, views)| self.view(*item, *views));
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    async fn write(&self, shard: usize, views: Vec<(Item, i64)>) -> Result<Viewed, DataError> {
        let (store, now) = (self.shards.all()[shard].store()?.clone(), self.clock.now());
        let db = store.db().clone();
        db.write(move |tx| Box::pin(async move { store.add_views(tx, views, now).await })).await
    }
}

/// Who looks: nobody known, or an account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Viewer(pub Option<i64>);

fn here(state: &ItemState) -> Known {
    let ItemState { owner, likes, views, version, .. } = *state;
    Known::Here(Arc::new(Tally { likes, views, owner, version }))
}
