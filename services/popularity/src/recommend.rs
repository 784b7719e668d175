//! What people with similar likes like, and after that what trends.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use cache::Cache;
use contracts::Kind;
use data::DataError;
use telemetry::Context;

use crate::model::ranking::{By, Window};
use crate::model::similarity;
use crate::rank::{Asked, Rankings};
use crate::shards::Shards;
use crate::store::Candidate;

/// Nobody is recommended more, however many pages they turn.
const MOST: usize = 200;
/// So many of what trends are looked at to fill up.
const TRENDING: u64 = 300;
const KEPT: Duration = Duration::from_secs(10);
const PEOPLE: u64 = 10_000;

/// The recommendations of one process.
pub(crate) struct Recommendations {
    shards: Shards,
    rankings: Arc<Rankings>,
    lists: Cache<(Kind, i64), Arc<Vec<Candidate>>>,
}

impl Recommendations {
    /// Recommends what is in `shards`; `rankings` know what trends.
    #[must_use]
    pub(crate) fn new(shards: Shards, rankings: Arc<Rankings>) -> Self {
        Self { shards, rankings, lists: Cache::new("recommendations", PEOPLE, KEPT) }
    }

    /// What is recommended to a user, the best first: nothing they own or like.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn of(&self, kind: Kind, user: i64) -> Result<Arc<Vec<Candidate>>, DataError> {
        if Context::with_current(|context| context.fresh) == Some(true) {
            return self.load(kind, user).await;
        }
        self.lists.get_with((kind, user), self.load(kind, user)).await
    }

    async fn load(&self, kind: Kind, user: i64) -> Result<Arc<Vec<Candidate>>, DataError> {
        let mut list = self.similar(kind, user).await?;
        list.truncate(MOST);
        if list.len() < MOST {
            let known: HashSet<i64> = list.iter().map(|candidate| candidate.id).collect();
            let trending = self.trending(kind, user).await?;
            list.extend(trending.into_iter().filter(|candidate| !known.contains(&candidate.id)));
            list.truncate(MOST);
        }
        Ok(Arc::new(list))
    }

    async fn similar(&self, kind: Kind, user: i64) -> Result<Vec<Candidate>, DataError> {
        let seeds = self.shards.seeds(kind, user).await?;
        let people = similarity::neighbours(&seeds);
        let histories = self.shards.histories(kind, &people).await?;
        let mut overlaps: HashMap<i64, Vec<similarity::Overlap>> =
            similarity::candidates(&seeds, &histories).into_iter().collect();
        if overlaps.is_empty() {
            return Ok(Vec::new());
        }
        let candidates = self.shards.candidates(kind, user, overlaps.keys().copied()).await?;
        let score = |candidate: Candidate| {
            let overlaps = overlaps.remove(&candidate.id).unwrap_or_default();
            (similarity::score(&seeds, &overlaps, candidate.likes), candidate)
        };
        let mut scored: Vec<(f64, Candidate)> = candidates.into_iter().map(score).collect();
        scored.sort_by(|(a, x), (b, y)| b.total_cmp(a).then(y.id.cmp(&x.id)));
        Ok(scored.into_iter().map(|(_, candidate)| candidate).collect())
    }

    async fn trending(&self, kind: Kind, user: i64) -> Result<Vec<Candidate>, DataError> {
        let (window, by) = (Window::All, By::Trending);
        let asked = Asked { kind, heading: None, window, by, after: None, limit: TRENDING };
        let page = self.rankings.page(asked).await?;
        let ids = page.items.iter().map(|ranked| ranked.id);
        let free = self.shards.candidates(kind, user, ids).await?;
        let mut free: HashMap<i64, Candidate> = free.into_iter().map(|c| (c.id, c)).collect();
        Ok(page.items.iter().filter_map(|ranked| free.remove(&ranked.id)).collect())
    }
}
