//! The databases over which the items are spread, and which of them holds what.
//!
//! Without configuration there is one, the service's own; the way through here is the same. What an
//! instance believes of the placement is only a guess that saves a question: each database knows
//! for itself what it holds ([`crate::store::slots`]) and says so to who comes to the wrong one,
//! who then looks again.
//!
//! Lives with the item: its counts, who likes it, its hours, its tombstone. Of a user nothing is
//! kept but the mark that they were erased, which every shard has; what a user likes is asked of all
//! shards. So a like is one transaction in one database, and nothing is kept twice.
//!
//! Invariant: a shard that is away costs its own items and nobody else's.

mod births;
mod lists;
mod merge;
mod placement;

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use data::{DataError, DataSettings, Database};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use crate::model::Item;
use crate::model::slots::{Slot, SlotSet};
use crate::settings::{BuildError, Settings};
use crate::store::{Elsewhere, Store};

pub(crate) use placement::Placement;

/// How long a write waits for a slot that is just changing hands.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two looks at one that is.
const PAUSE: Duration = Duration::from_millis(4);

/// One of the databases.
pub(crate) struct Shard {
    /// Which.
    pub(crate) number: usize,
    settings: Option<DataSettings>,
    store: OnceLock<Store>,
    /// It did not answer when it was last asked, so lists do without it.
    away: AtomicBool,
}

impl Shard {
    /// Its tables, once it has been opened.
    pub(crate) fn store(&self) -> Result<&Store, DataError> {
        let number = self.number;
        self.store
            .get()
            .ok_or_else(|| DataError::Unavailable(format!("shard {number} cannot be reached")))
    }

    pub(crate) fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    /// Takes note of whether it answers.
    fn answers(&self, answers: bool) {
        if self.away.swap(!answers, Ordering::Relaxed) == answers {
            let shard = self.number;
            if answers {
                tracing::info!(shard, "a shard answers again");
            } else {
                tracing::warn!(shard, "a shard does not answer: its items cost a 503");
            }
        }
    }
}

struct Inner {
    all: Vec<Shard>,
    begin: Vec<SlotSet>,
    placement: ArcSwap<Placement>,
    /// Held while one looks again, and how many have begun to.
    looking: Mutex<()>,
    looks: AtomicU64,
}

/// All databases of the service; cheap to clone.
#[derive(Clone)]
pub(crate) struct Shards(Arc<Inner>);

impl Shards {
    /// The service's own database and those of the settings. The first is told who it is; of the
    /// others those that do not answer at once are opened later, see [`Self::open`].
    pub(crate) async fn new(db: Database, settings: &Settings) -> Result<Self, BuildError> {
        let begin = settings.placement()?;
        let shard = |(number, settings): (usize, Option<DataSettings>)| Shard {
            number,
            settings,
            store: OnceLock::new(),
            away: AtomicBool::new(false),
        };
        let others = settings.shards.iter().map(|shard| Some(shard.database.clone()));
        let all: Vec<Shard> = std::iter::once(None).chain(others).enumerate().map(shard).collect();
        let placement = ArcSwap::from_pointee(Placement::unknown(all.len()));
        let (looking, looks) = (Mutex::new(()), AtomicU64::new(0));
        let inner = Inner { all, begin, placement, looking, looks };
        let shards = Self(Arc::new(inner));
        shards.open_own(db).await?;
        let first = shards.0.all.iter().skip(1).map(|shard| shards.open_at_once(shard));
        futures::future::join_all(first).await;
        shards.look_again().await;
        Ok(shards)
    }

    /// Every database, also those that are away.
    pub(crate) fn all(&self) -> &[Shard] {
        &self.0.all
    }

    /// Every database; an error if one has never been opened.
    pub(crate) fn every(&self) -> Result<Vec<&Store>, DataError> {
        self.all().iter().map(Shard::store).collect()
    }

    /// What is believed of the placement.
    pub(crate) fn placement(&self) -> Arc<Placement> {
        self.0.placement.load_full()
    }

    /// The shard that holds a slot, as far as is known.
    pub(crate) fn holder(&self, slot: Slot) -> Result<&Shard, DataError> {
        let holder = self.0.placement.load().holder(slot);
        holder.and_then(|number| self.all().get(number)).ok_or_else(|| {
            DataError::Unavailable(format!("no shard that can be reached holds slot {slot}"))
        })
    }

    /// Writes to an item where it is: `write` answers [`Elsewhere`] where it is not, and is then
    /// asked again at another place, or a moment later.
    ///
    /// # Errors
    /// What `write` fails with; [`DataError::Busy`] when the slot did not come to rest in time.
    pub(crate) async fn at_home<'s, T, F, Fut>(
        &'s self,
        item: Item,
        write: F,
    ) -> Result<T, DataError>
    where
        F: Fn(&'s Shard) -> Fut,
        Fut: Future<Output = Result<Result<T, Elsewhere>, DataError>>,
    {
        let slot = Slot::of(item);
        let mut since = None;
        loop {
            let holder = match self.holder(slot) {
                Err(_) if since.is_none() => {
                    since = Some(Instant::now());
                    self.look_again().await;
                    continue;
                }
                holder => holder?,
            };
            if let Ok(done) = write(holder).await? {
                return Ok(done);
            }
            let since = since.get_or_insert_with(Instant::now);
            if since.elapsed() > PATIENCE {
                return Err(DataError::Busy);
            }
            self.look_again().await;
            if self.holder(slot).is_ok_and(|now| now.number == holder.number) {
                sleep(PAUSE).await;
            }
        }
    }
}
