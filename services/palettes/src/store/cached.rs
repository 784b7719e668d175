//! Palettes kept in memory, because most requests read one by its id.
//!
//! Invariant: whoever asks after a change was announced with [`Shelf::forget`] never
//! gets what was before it. Announcements are counted, for some thousand groups of ids;
//! what was loaded carries the count from before it was loaded, and counts only while
//! that has not grown. So a slow load that overlaps a change cannot put the old state
//! back. What another instance has changed is announced by its event; until that is
//! here, and for those who wrote recently themselves, `Context.fresh` goes past it all.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use cache::Cache;
use contracts::ids::PaletteId;
use data::DataError;
use telemetry::Context;

use super::Store;
use crate::model::Palette;
use crate::popularity::Counts;

/// Groups of ids whose changes are counted together; a power of two.
const GROUPS: usize = 4096;
/// How often a load that a change overtook is repeated before it goes past the cache.
const TRIES: usize = 3;

/// A palette in memory, with the counts it was last shown with.
pub(crate) struct Shown {
    pub(crate) palette: Palette,
    /// The announcements there had been when loading began.
    announced: u64,
    likes: AtomicI64,
    views: AtomicI64,
}

impl Shown {
    fn new(palette: Palette, announced: u64, before: Option<&Self>) -> Arc<Self> {
        let Counts { likes, views } = before.map(Self::last_counts).unwrap_or_default();
        Arc::new(Self {
            palette,
            announced,
            likes: AtomicI64::new(likes),
            views: AtomicI64::new(views),
        })
    }

    /// The counts it was last shown with here; zeros if it was not.
    pub(crate) fn last_counts(&self) -> Counts {
        Counts {
            likes: self.likes.load(Ordering::Relaxed),
            views: self.views.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn keep_counts(&self, counts: Counts) {
        self.likes.store(counts.likes, Ordering::Relaxed);
        self.views.store(counts.views, Ordering::Relaxed);
    }
}

/// The palettes in memory, in front of the [`Store`]. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Shelf {
    store: Store,
    cache: Cache<PaletteId, Arc<Shown>>,
    announced: Arc<[AtomicU64]>,
}

/// Why nothing was put into the cache.
#[derive(Clone, Debug)]
enum Unloaded {
    Absent,
    Failed(DataError),
}

impl Shelf {
    /// At most `entries` palettes are kept, each for at most `ttl`.
    pub(crate) fn new(store: Store, entries: u64, ttl: Duration) -> Self {
        let announced = (0..GROUPS).map(|_| AtomicU64::new(0)).collect();
        Self { store, cache: Cache::new("palettes", entries, ttl), announced }
    }

    /// One palette.
    pub(crate) async fn get(&self, id: PaletteId) -> Result<Option<Arc<Shown>>, DataError> {
        if is_fresh() {
            return Ok(self.store.get(id).await?.map(|palette| Shown::new(palette, 0, None)));
        }
        let asked = self.announced(id);
        let mut kept = self.cache.get(&id);
        for _ in 0..TRIES {
            match kept {
                Some(shown) if shown.announced >= asked => return Ok(Some(shown)),
                Some(_) => self.cache.invalidate(&id),
                None => {}
            }
            match self.cache.get_with(id, self.load(id, kept)).await {
                Ok(shown) => kept = Some(shown),
                Err(Unloaded::Absent) => return Ok(None),
                Err(Unloaded::Failed(error)) => return Err(error),
            }
        }
        let palette = on_primary(self.store.get(id)).await?;
        Ok(palette.map(|palette| Shown::new(palette, 0, kept.as_deref())))
    }

    /// Those of these palettes that exist, in the order asked for.
    pub(crate) async fn get_many(&self, ids: &[PaletteId]) -> Result<Vec<Arc<Shown>>, DataError> {
        let fresh = is_fresh();
        let (mut found, mut missing) = (Vec::with_capacity(ids.len()), Vec::new());
        for id in ids {
            let asked = self.announced(*id);
            let kept = self.cache.get(id);
            let valid = !fresh && kept.as_ref().is_some_and(|shown| shown.announced >= asked);
            if !valid {
                missing.push(*id);
            }
            found.push((*id, asked, kept, valid));
        }
        if !missing.is_empty() {
            let loaded = on_primary(self.store.get_many(&missing)).await?;
            for (id, asked, kept, valid) in found.iter_mut().filter(|(.., valid)| !valid) {
                let palette = loaded.iter().find(|palette| palette.id == *id);
                let shown =
                    palette.map(|palette| Shown::new(palette.clone(), *asked, kept.as_deref()));
                if let Some(shown) = &shown {
                    self.cache.insert(*id, shown.clone());
                }
                (*kept, *valid) = (shown, true);
            }
        }
        Ok(found.into_iter().filter_map(|(_, _, shown, _)| shown).collect())
    }

    /// The counts last shown with palettes; zeros for those that are not in memory.
    pub(crate) fn last_counts(&self, ids: &[PaletteId]) -> Vec<Counts> {
        let last = |id| self.cache.get(id).map(|shown| shown.last_counts()).unwrap_or_default();
        ids.iter().map(last).collect()
    }

    /// Announces that a palette has changed. Call it after the change is committed. What is in
    /// memory does not count from now on; it stays until it is loaded again, for its counts.
    pub(crate) fn forget(&self, id: PaletteId) {
        self.group(id).fetch_add(1, Ordering::AcqRel);
    }

    async fn load(
        &self,
        id: PaletteId,
        before: Option<Arc<Shown>>,
    ) -> Result<Arc<Shown>, Unloaded> {
        let announced = self.announced(id);
        match on_primary(self.store.get(id)).await {
            Ok(Some(palette)) => Ok(Shown::new(palette, announced, before.as_deref())),
            Ok(None) => Err(Unloaded::Absent),
            Err(error) => Err(Unloaded::Failed(error)),
        }
    }

    fn announced(&self, id: PaletteId) -> u64 {
        self.group(id).load(Ordering::Acquire)
    }

    fn group(&self, id: PaletteId) -> &AtomicU64 {
        &self.announced[id.get().unsigned_abs() as usize % GROUPS]
    }
}

fn is_fresh() -> bool {
    Context::with_current(|context| context.fresh) == Some(true)
}

/// What is kept is read from the primary: a replica that lags would be cached.
async fn on_primary<T>(read: impl Future<Output = T>) -> T {
    let context = Context::current().unwrap_or_else(Context::background);
    Context { fresh: true, ..context }.scope(read).await
}
