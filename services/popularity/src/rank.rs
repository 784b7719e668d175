//! Rankings, kept for a moment.
//!
//! A ranking in memory belongs to an epoch; a new epoch begins, at most every 100 ms, once
//! something has changed. So a ranking is never older than that, and one that nobody changes is
//! not computed again. Windows are sums over many rows: their epochs last a second, and longer
//! where the sums take long, so that ranking never takes more than a twentieth of a core.
//!
//! Invariant: a caller who wrote recently sees no ranking from before that.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cache::Cache;
use contracts::Kind;
use data::DataError;
use telemetry::Context;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::model::ranking::{By, Cursor, Ranked, Window};
use crate::store::{Question, Store};

/// How often [`Rankings::tick`] is to be called: the shortest epoch.
pub(crate) const TICK: Duration = Duration::from_millis(100);
const WINDOW_EPOCH: Duration = Duration::from_secs(1);
/// An epoch of windows lasts at least so many times as long as the slowest sum of the last one.
const REST: u32 = 20;
/// Windows move on, even if nothing changes.
const KEPT: Duration = Duration::from_secs(10);
const RANKINGS: u64 = 2_000;

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
#[derive(Debug)]
pub(crate) struct Page {
    /// The items, the most popular first.
    pub items: Vec<Ranked>,
    /// Where the next page begins, if this one is full.
    pub next: Option<Cursor>,
}

type Key = (Kind, Option<String>, Window, By, Option<(u64, u64, i64, i64)>, u64, u64);

/// The rankings of one process.
pub(crate) struct Rankings {
    store: Store,
    clock: Clock,
    pages: Cache<Key, Arc<Page>>,
    changed: AtomicBool,
    epoch: AtomicU64,
    window_epoch: AtomicU64,
    /// The slowest window of this epoch, in microseconds.
    slowest: AtomicU64,
    windows: Mutex<Windows>,
}

/// When the next epoch of windows may begin.
struct Windows {
    changed: bool,
    not_before: Instant,
}

impl Rankings {
    /// Ranks what is in `store`.
    #[must_use]
    pub(crate) fn new(store: Store, clock: Clock) -> Self {
        Self {
            store,
            clock,
            pages: Cache::new("rankings", RANKINGS, KEPT),
            changed: AtomicBool::new(false),
            epoch: AtomicU64::new(0),
            window_epoch: AtomicU64::new(0),
            slowest: AtomicU64::new(0),
            windows: Mutex::new(Windows { changed: false, not_before: Instant::now() }),
        }
    }

    /// Takes note that something changed, after its commit.
    pub(crate) fn changed(&self) {
        // A load first: while votes pour in, the flag is set nearly always.
        if !self.changed.load(Ordering::Acquire) {
            self.changed.store(true, Ordering::Release);
        }
    }

    /// Begins a new epoch, if something changed and the old one lasted long enough.
    pub(crate) fn tick(&self) {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if self.changed.swap(false, Ordering::AcqRel) {
            self.epoch.fetch_add(1, Ordering::AcqRel);
            windows.changed = true;
        }
        let now = Instant::now();
        if windows.changed && now >= windows.not_before {
            let slowest = Duration::from_micros(self.slowest.swap(0, Ordering::AcqRel));
            self.window_epoch.fetch_add(1, Ordering::AcqRel);
            *windows = Windows {
                changed: false,
                not_before: now + WINDOW_EPOCH.max(slowest.saturating_mul(REST)),
            };
        }
    }

    /// A page of a ranking.
    ///
    /// # Errors
    /// When it is not in memory and the database does not answer.
    pub(crate) async fn page(&self, asked: Asked) -> Result<Arc<Page>, DataError> {
        if Context::with_current(|context| context.fresh) == Some(true) {
            return self.load(asked).await;
        }
        let epoch = match asked.window {
            Window::All => &self.epoch,
            _ => &self.window_epoch,
        };
        let epoch = epoch.load(Ordering::Acquire);
        let Asked { kind, window, by, limit, .. } = asked;
        let after = asked.after.map(Into::into);
        let key = (kind, asked.heading.clone(), window, by, after, limit, epoch);
        self.pages.get_with(key, self.load(asked)).await
    }

    async fn load(&self, asked: Asked) -> Result<Arc<Page>, DataError> {
        let began = Instant::now();
        let Asked { kind, heading, window, by, after, limit } = asked;
        let as_of = after.map_or_else(|| self.clock.now(), |cursor| cursor.as_of);
        let question = Question { kind, heading, window, by, after, limit, as_of };
        let items = self.store.ranking(&question).await?;
        if window != Window::All {
            let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.slowest.fetch_max(took, Ordering::AcqRel);
        }
        let last = items.last().filter(|_| items.len() as u64 == limit);
        let cursor =
            |last: &Ranked| Cursor { rank: last.rank, score: last.score, id: last.id, as_of };
        let next = last.map(cursor);
        Ok(Arc::new(Page { items, next }))
    }
}
