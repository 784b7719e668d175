//! Liking something, or no longer: votes of many callers share a transaction and its fsync, a queue
//! for each shard.

use std::sync::{Arc, OnceLock};

use data::{DataError, GroupCommit, GroupCommitSettings};

use crate::clock::Clock;
use crate::counts::Counts;
use crate::model::ballot::{Verdict, Vote};
use crate::rank::Rankings;
use crate::shards::{Shard, Shards};
use crate::store::{Cast, Elsewhere};

type Group = GroupCommit<Vote, Result<Cast, Elsewhere>>;

/// Where votes are cast.
pub(crate) struct Votes {
    shards: Shards,
    clock: Clock,
    settings: GroupCommitSettings,
    /// One a shard, made when it is first needed.
    groups: Vec<OnceLock<Group>>,
    counts: Arc<Counts>,
    rankings: Arc<Rankings>,
}

impl Votes {
    /// Votes are written where their items are; `counts` and `rankings` learn what changed.
    #[must_use]
    pub(crate) fn new(
        shards: Shards,
        clock: Clock,
        settings: GroupCommitSettings,
        counts: Arc<Counts>,
        rankings: Arc<Rankings>,
    ) -> Self {
        let groups = shards.all().iter().map(|_| OnceLock::new()).collect();
        Self { shards, clock, settings, groups, counts, rankings }
    }

    /// Casts a vote and answers once it is on disk. It counts even if the caller goes away.
    ///
    /// # Errors
    /// When too many votes wait, or the item's database does not answer.
    pub(crate) async fn cast(&self, vote: Vote) -> Result<Verdict, DataError> {
        let submit = |shard| async move { self.group(shard)?.submit(vote).await };
        let cast = self.shards.at_home(vote.item, submit).await?;
        if let Some(state) = &cast.item {
            self.counts.changed(vote.item, state);
            self.rankings.changed();
        }
        metrics::counter!("popularity_votes_total").increment(1);
        Ok(cast.verdict)
    }

    fn group(&self, shard: &Shard) -> Result<&Group, DataError> {
        let store = shard.store()?;
        Ok(self.groups[shard.number].get_or_init(|| {
            let (writer, clock) = (store.clone(), self.clock.clone());
            GroupCommit::new(store.db().clone(), self.settings, move |tx, votes: Vec<Vote>| {
                let (store, clock) = (writer.clone(), clock.clone());
                Box::pin(async move { store.cast(tx, votes, clock.now()).await })
            })
        }))
    }
}
