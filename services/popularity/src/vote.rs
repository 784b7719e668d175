//! Liking something, or no longer: votes of many callers share a transaction and its fsync.

use std::sync::Arc;

use data::{DataError, GroupCommit, GroupCommitSettings};

use crate::clock::Clock;
use crate::counts::Counts;
use crate::model::ballot::{Verdict, Vote};
use crate::rank::Rankings;
use crate::store::{Cast, Store};

/// Where votes are cast.
pub(crate) struct Votes {
    group: GroupCommit<Vote, Cast>,
    counts: Arc<Counts>,
    rankings: Arc<Rankings>,
}

impl Votes {
    /// Votes are written to `store`; `counts` and `rankings` learn what changed.
    #[must_use]
    pub(crate) fn new(
        store: &Store,
        clock: Clock,
        settings: GroupCommitSettings,
        counts: Arc<Counts>,
        rankings: Arc<Rankings>,
    ) -> Self {
        let writer = store.clone();
        let group = GroupCommit::new(store.db().clone(), settings, move |tx, votes: Vec<Vote>| {
            let (store, clock) = (writer.clone(), clock.clone());
            Box::pin(async move { store.cast(tx, &votes, clock.now()).await })
        });
        Self { group, counts, rankings }
    }

    /// Casts a vote and answers once it is on disk. It counts even if the caller goes away.
    ///
    /// # Errors
    /// When too many votes wait, or the database does not answer.
    pub(crate) async fn cast(&self, vote: Vote) -> Result<Verdict, DataError> {
        let cast = self.group.submit(vote).await?;
        if let Some(state) = &cast.item {
            self.counts.changed(vote.item, state);
            self.rankings.changed();
        }
        metrics::counter!("popularity_votes_total").increment(1);
        Ok(cast.verdict)
    }
}
