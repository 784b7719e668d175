//! Reading from all shards at once: counts from the one that holds an item, lists merged from all
//! that answer.
//!
//! Invariants: a count is read where the item was at that moment; a list shows each item once, and
//! lacks those of a shard that is away and no others.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::time::Duration;

use contracts::Kind;
use data::DataError;
use futures::future::{join_all, try_join_all};
use telemetry::Context;
use tokio::time::timeout;

use super::{Shard, Shards, merge};
use crate::model::ranking::Ranked;
use crate::model::similarity::{HISTORY, SEEDS, Seed};
use crate::model::slots::Slot;
use crate::model::{Item, ItemState};
use crate::store::{Candidate, DEEPEST, Depth, Question, Store};

/// So long a list waits for a shard; after that it does without, until the shard answers again.
const LIST: Duration = Duration::from_millis(1_500);
/// So often a read begins anew because slots have changed hands meanwhile.
const TRIES: u32 = 5;

impl Shards {
    /// Reads items of one kind where they are; those that do not exist are missing.
    ///
    /// # Errors
    /// When a shard that holds one of them does not answer.
    pub(crate) async fn read(
        &self,
        kind: Kind,
        ids: &[i64],
    ) -> Result<BTreeMap<i64, ItemState>, DataError> {
        let mut fresh = Context::with_current(|context| context.fresh) == Some(true);
        for _ in 0..TRIES {
            let mut placement = self.placement();
            let slot = |id: &i64| Slot::of(Item { kind, id: *id });
            let unsure = |id: &i64| {
                let slot = slot(id);
                placement.holder(slot).is_none() || fresh && placement.is_fenced(slot)
            };
            // A fenced slot may have been taken up, and written to, where nobody here looked yet.
            if ids.iter().any(unsure) {
                self.look_again().await;
                placement = self.placement();
            }
            let mut by_shard: BTreeMap<usize, Vec<i64>> = BTreeMap::new();
            for id in ids {
                by_shard.entry(self.holder(slot(id))?.number).or_default().push(*id);
            }
            let parts = by_shard.iter().map(|(number, ids)| async {
                let store = self.all()[*number].store()?;
                let from = if fresh { store.db().read_primary() } else { store.db().read() };
                let (epoch, found) = store.read(&from, kind, ids).await?;
                Ok::<_, DataError>((placement.epoch(*number) == Some(epoch), found))
            });
            let parts = try_join_all(parts).await?;
            if parts.iter().all(|(known, _)| *known) {
                return Ok(parts.into_iter().flat_map(|(_, found)| found).collect());
            }
            // It changed hands, or a replica has not heard yet.
            self.look_again().await;
            fresh = true;
        }
        Err(DataError::Busy)
    }

    /// A page of a ranking, from the top or below a place.
    pub(crate) async fn ranking(&self, question: &Question) -> Result<Vec<Ranked>, DataError> {
        let above = question.after.map_or(0, |cursor| cursor.rank);
        let lists = self
            .ask_all(|store, sift| {
                let question = Question { sift, ..question.clone() };
                async move { store.ranking(&question).await }
            })
            .await?;
        Ok(merge::rankings(lists, above, question.limit))
    }

    /// The rank of an item with so many likes among all of its kind; none below [`DEEPEST`].
    pub(crate) async fn rank(
        &self,
        kind: Kind,
        likes: i64,
        id: i64,
    ) -> Result<Option<u64>, DataError> {
        let above = self.ask_all(|store, sift| store.above(kind, likes, id, sift)).await?;
        let above: i64 = above.into_iter().sum();
        Ok((above < DEEPEST).then_some(above.unsigned_abs() + 1))
    }

    /// The ranks of the top [`DEEPEST`] at once.
    pub(crate) async fn depth(&self, kind: Kind) -> Result<Depth, DataError> {
        let tops = self.ask_all(|store, sift| store.top(kind, sift)).await?;
        Ok(Depth::merged(tops.into_iter().flatten().collect()))
    }

    /// The latest likes of a user, and some of those who like the same.
    pub(crate) async fn seeds(&self, kind: Kind, user: i64) -> Result<Vec<Seed>, DataError> {
        let liked = self.ask_all(|store, _| store.liked(kind, user)).await?;
        let liked = merge::liked(liked, SEEDS);
        let ids = liked.iter().map(|liked| liked.id);
        let fans = self
            .ask_holders(kind, ids, |store, ids| async move { store.fans(kind, user, &ids).await });
        let mut fans: HashMap<i64, Vec<i64>> = fans.await?.into_iter().flatten().collect();
        let seed = |liked: &crate::store::Liked| Seed {
            id: liked.id,
            likes: liked.likes,
            fans: fans.remove(&liked.id).unwrap_or_default(),
        };
        Ok(liked.iter().map(seed).collect())
    }

    /// The latest likes of each of these users.
    pub(crate) async fn histories(
        &self,
        kind: Kind,
        users: &[i64],
    ) -> Result<HashMap<i64, Vec<i64>>, DataError> {
        if users.is_empty() {
            return Ok(HashMap::new());
        }
        let lists = self.ask_all(|store, _| store.histories(kind, users)).await?;
        Ok(merge::histories(lists, HISTORY))
    }

    /// Those of the items that exist and that the user neither owns nor likes, in any order.
    pub(crate) async fn candidates(
        &self,
        kind: Kind,
        user: i64,
        ids: impl Iterator<Item = i64>,
    ) -> Result<Vec<Candidate>, DataError> {
        let lists = self.ask_holders(kind, ids, |store, ids| async move {
            store.candidates(kind, user, ids.into_iter()).await
        });
        Ok(lists.await?.into_iter().flatten().collect())
    }

    /// Asks every shard that answers, and begins anew if slots changed hands meanwhile.
    async fn ask_all<'s, T, F, Fut>(&'s self, ask: F) -> Result<Vec<T>, DataError>
    where
        F: Fn(&'s Store, bool) -> Fut,
        Fut: Future<Output = Result<T, DataError>>,
    {
        let mut tries = 1;
        loop {
            let placement = self.placement();
            let asked = self.all().iter().map(|shard| {
                let sift = placement.must_sift(shard.number);
                (shard, shard.store().map(|store| ask(store, sift)))
            });
            let answers = self.gather(asked.collect()).await?;
            if self.all().len() == 1 || tries == TRIES || !self.moved_since(&placement).await {
                return Ok(answers);
            }
            tries += 1;
        }
    }

    /// Asks each of the shards that hold some of these items for those.
    async fn ask_holders<'s, T, F, Fut>(
        &'s self,
        kind: Kind,
        ids: impl Iterator<Item = i64>,
        ask: F,
    ) -> Result<Vec<T>, DataError>
    where
        F: Fn(&'s Store, Vec<i64>) -> Fut,
        Fut: Future<Output = Result<T, DataError>>,
    {
        let mut by_shard: BTreeMap<usize, Vec<i64>> = BTreeMap::new();
        for id in ids {
            if let Ok(shard) = self.holder(Slot::of(Item { kind, id })) {
                by_shard.entry(shard.number).or_default().push(id);
            }
        }
        let asked = by_shard.into_iter().map(|(number, ids)| {
            let shard = &self.all()[number];
            (shard, shard.store().map(|store| ask(store, ids)))
        });
        self.gather(asked.collect()).await
    }

    /// The answers of the shards that give one; an error if none does.
    async fn gather<T, Fut>(
        &self,
        asked: Vec<(&Shard, Result<Fut, DataError>)>,
    ) -> Result<Vec<T>, DataError>
    where
        Fut: Future<Output = Result<T, DataError>>,
    {
        if self.all().len() == 1 {
            // There are no others to make a list of.
            return try_join_all(asked.into_iter().map(|(_, ask)| async { ask?.await })).await;
        }
        let nobody = asked.is_empty();
        let answers = join_all(asked.into_iter().map(|(shard, ask)| async move {
            if shard.is_away() {
                return Err(DataError::Unavailable(format!("shard {} is away", shard.number)));
            }
            match timeout(LIST, ask?).await {
                Ok(answer) => answer,
                Err(_) => {
                    shard.answers(false);
                    Err(DataError::Unavailable(format!("shard {} does not answer", shard.number)))
                }
            }
        }))
        .await;
        let (mut found, mut missed) = (Vec::with_capacity(answers.len()), None);
        for answer in answers {
            match answer {
                Ok(answer) => found.push(answer),
                Err(error) if error.is_transient() => {
                    metrics::counter!("popularity_shards_missed_total").increment(1);
                    missed = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        match missed {
            Some(error) if found.is_empty() && !nobody => Err(error),
            _ => Ok(found),
        }
    }

    /// Whether slots have changed hands since `placement` was seen, as far as shards answer.
    async fn moved_since(&self, placement: &super::Placement) -> bool {
        let asked = self.all().iter().filter(|shard| !shard.is_away()).map(|shard| async {
            let store = shard.store().ok()?;
            let said = timeout(LIST, store.look(&store.db().read())).await.ok()?.ok()?;
            Some(placement.epoch(shard.number) != Some(said.epoch))
        });
        let moved = join_all(asked).await.into_iter().flatten().any(|moved| moved);
        if moved {
            self.look_again().await;
        }
        moved
    }
}
