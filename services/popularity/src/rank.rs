//! Rankings, kept for a moment.
//!
//! A ranking in memory belongs to an epoch, and a new one begins once something has changed: at
//! once after a quiet time, at most every 100 ms otherwise. So a ranking is never older than that,
//! and one that nobody changes is not computed again. Windows are sums over many rows: their epochs
//! last a second, and longer where the sums take long, so that one ranking never takes more than a
//! twentieth of a core; where instances share caches, one of them adds up for all.
//!
//! Invariant: a caller who wrote recently sees no ranking from before that.

mod epochs;

use std::sync::Arc;
use std::time::Duration;

use cache::{Cache, Shared, Store};
use contracts::Kind;
use data::DataError;
use serde::{Deserialize, Serialize};
use telemetry::Context;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::model::ranking::{By, Cursor, Ranked, Window};
use crate::shards::Shards;
use crate::store::Question;

use epochs::Epochs;
pub(crate) use epochs::TICK;

/// Windows move on, even if nothing changes.
const KEPT: Duration = Duration::from_secs(10);
const RANKINGS: u64 = 2_000;
/// A window that one instance added up serves the others for as long.
const SHARED_FOR: Duration = Duration::from_secs(1);

/// What a reader asks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    /// Of what.
    pub kind: Kind,
    /// Under one heading only, folded.
    pub heading: Option<String>,
    /// Over which time.
    pub window: Window,
    /// By what.
    pub by: By,
    /// Below which place.
    pub after: Option<Cursor>,
    /// How many.
    pub limit: u64,
}

/// A page of a ranking.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Page {
    /// The items, the most popular first.
    pub items: Vec<Ranked>,
    /// Where the next page begins, if this one is full.
    pub next: Option<Cursor>,
}

type Key = (Kind, Option<String>, Window, By, Option<(u64, u64, i64, i64)>, u64, u64);

type WindowKey = (Kind, Option<String>, Window, By, Option<(u64, u64, i64, i64)>, u64);

/// The rankings of one process.
pub(crate) struct Rankings {
    shards: Shards,
    clock: Clock,
    pages: Cache<Key, Arc<Page>>,
    windows: Option<Shared<WindowKey, Page>>,
    epochs: Epochs,
}

impl Rankings {
    /// Ranks what is in `shards`; shares windows through `caches`.
    #[must_use]
    pub(crate) fn new(shards: Shards, clock: Clock, caches: &Store) -> Self {
        let windows = caches.is_shared().then(|| caches.cache("windows", RANKINGS, SHARED_FOR));
        let pages = Cache::new("rankings", RANKINGS, KEPT);
        Self { shards, clock, pages, windows, epochs: Epochs::new() }
    }

    /// Takes note that something changed, after its commit.
    pub(crate) fn changed(&self) {
        self.epochs.changed();
    }

    /// To be called every [`TICK`].
    pub(crate) fn tick(&self) {
        self.epochs.tick();
    }

    /// A page of a ranking.
    ///
    /// # Errors
    /// When it is not in memory and the database does not answer.
    pub(crate) async fn page(&self, asked: Asked) -> Result<Arc<Page>, DataError> {
        if Context::with_current(|context| context.fresh) == Some(true) {
            return self.load(asked).await.map(Arc::new);
        }
        let epoch = match asked.window {
            Window::All => self.epochs.current(),
            _ => self.epochs.windows(),
        };
        let Asked { kind, window, by, limit, .. } = asked;
        let after = asked.after.map(Into::into);
        let key = (kind, asked.heading.clone(), window, by, after, limit, epoch);
        // Boxed: it is seldom, and large.
        let load = async { Box::pin(self.load_shared(asked)).await.map(Arc::new) };
        self.pages.get_with(key, load).await
    }

    /// A window may have been added up elsewhere.
    async fn load_shared(&self, asked: Asked) -> Result<Page, DataError> {
        match &self.windows {
            Some(windows) if asked.window != Window::All => {
                let Asked { kind, window, by, limit, .. } = asked;
                let key =
                    (kind, asked.heading.clone(), window, by, asked.after.map(Into::into), limit);
                let mut loaded = false;
                let load = async {
                    loaded = true;
                    self.load(asked).await
                };
                let page = windows.get_with(key, load).await;
                if !loaded {
                    self.epochs.windows_again();
                }
                page
            }
            _ => self.load(asked).await,
        }
    }

    async fn load(&self, asked: Asked) -> Result<Page, DataError> {
        let began = Instant::now();
        let Asked { kind, heading, window, by, after, limit } = asked;
        let as_of = after.map_or_else(|| self.clock.now(), |cursor| cursor.as_of);
        let sift = false;
        let question = Question { kind, heading, window, by, after, limit, as_of, sift };
        let items = self.shards.ranking(&question).await?;
        if window != Window::All {
            self.epochs.window_took(began.elapsed());
        }
        let last = items.last().filter(|_| items.len() as u64 == limit);
        let cursor =
            |last: &Ranked| Cursor { rank: last.rank, score: last.score, id: last.id, as_of };
        let next = last.map(cursor);
        Ok(Page { items, next })
    }
}
