//! The main colours of a picture.
//!
//! Decode, count the colours, find clusters in Oklab, and answer with one real
//! colour of each, heaviest first. The same picture always gives the same
//! answer. A picture of no more different colours than were asked for gives
//! exactly its colours back.
//!
//! Everything is bounded before it is paid for: the bytes, the picture's
//! dimensions (read from its header), the memory of the pictures in work, and
//! the number of those that wait.

mod cluster;
mod decode;
mod histogram;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::model::Color;

/// Largest file, in bytes (20 MiB).
pub const MAX_BYTES: usize = 20 * 1024 * 1024;
/// Most pixels, width times height.
pub const MAX_PIXELS: u64 = 50_000_000;
/// Fewest and most colours that can be asked for, and how many it is otherwise.
pub const COLORS: std::ops::RangeInclusive<usize> = 2..=16;
/// How many colours are found when nobody says.
pub const DEFAULT_COLORS: usize = 5;

/// Why there is no palette.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtractError {
    /// Too many bytes or pixels.
    #[error("{0}")]
    TooLarge(String),
    /// Not a PNG, JPEG, WebP or GIF.
    #[error("this is no PNG, JPEG, WebP or GIF picture")]
    Unsupported,
    /// It begins like a picture, but cannot be read.
    #[error("the picture is broken: {0}")]
    Broken(String),
    /// Every pixel is fully transparent.
    #[error("the picture has no visible pixel")]
    Blank,
    /// Too many pictures are in work.
    #[error("too many pictures are being read at the moment")]
    Busy,
}

/// The main colours of the picture in `bytes`, at most `count`, heaviest first.
/// Takes milliseconds for a small picture and seconds for the largest: call it
/// off the async threads, as [`Extractor`] does.
///
/// # Errors
/// See [`ExtractError`].
pub fn swatches(bytes: &[u8], count: usize) -> Result<Vec<Color>, ExtractError> {
    let picture = decode::decode(bytes)?;
    let points = histogram::points(&picture, count);
    drop(picture);
    if points.is_empty() {
        return Err(ExtractError::Blank);
    }
    Ok(cluster::representatives(&points, count))
}

/// Reads pictures off the async threads, within a budget of memory.
#[derive(Clone, Debug)]
pub struct Extractor {
    /// One permit is a MiB.
    memory: Arc<Semaphore>,
    budget: u32,
    queue: Arc<Semaphore>,
}

impl Extractor {
    /// Pictures in work take at most `memory_mib` MiB together (or are read one at
    /// a time, where one needs more), and at most `queue` are held at once.
    #[must_use]
    pub fn new(memory_mib: u32, queue: usize) -> Self {
        let budget = memory_mib.max(1);
        Self {
            memory: Arc::new(Semaphore::new(budget as usize)),
            budget,
            queue: Arc::new(Semaphore::new(queue.max(1))),
        }
    }

    /// A place among those that are read or wait; take it before the body is
    /// received. `None` when there is none left.
    #[must_use]
    pub fn admit(&self) -> Option<Admission> {
        let place = Arc::clone(&self.queue).try_acquire_owned().ok()?;
        Some(Admission { extractor: self.clone(), _place: place })
    }
}

/// The right to have one picture read.
#[derive(Debug)]
pub struct Admission {
    extractor: Extractor,
    _place: tokio::sync::OwnedSemaphorePermit,
}

impl Admission {
    /// [`swatches`], once there is memory for it.
    ///
    /// # Errors
    /// See [`ExtractError`].
    pub async fn swatches(self, bytes: Bytes, count: usize) -> Result<Vec<Color>, ExtractError> {
        let header = bytes.clone();
        let needed = off_thread(move || decode::memory_needed(&header)).await??;
        let needed = u32::try_from(needed >> 20).unwrap_or(u32::MAX).saturating_add(1);
        let memory = Arc::clone(&self.extractor.memory);
        let permit = memory
            .acquire_many_owned(needed.min(self.extractor.budget))
            .await
            .map_err(|_| ExtractError::Busy)?;
        // The permit goes along: a caller that leaves does not free memory still in use.
        off_thread(move || {
            let found = swatches(&bytes, count);
            drop((permit, self));
            found
        })
        .await?
    }
}

/// Runs blocking work. A decoder that panics is one more way to be broken.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ExtractError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "reading a picture ended in a panic");
        ExtractError::Broken("it cannot be decoded".to_owned())
    })
}
