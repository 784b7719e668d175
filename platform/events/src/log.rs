//! The log: every event of every service, in one order, append-only.
//!
//! Embedded: a table in a database of its own, shared by the processes of one machine. One reader
//! loop per process ([`feed`]) serves all its streams and consumers.
//! Invariant: whoever has seen `seq` n will never find another event before n.

mod entry;
mod feed;
mod notice;
mod retention;
mod table;
mod tail;

use std::sync::Arc;
use std::time::Duration;

use data::{DataError, DataSettings, Database, Migration};
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use entry::{Entry, Recorded};
pub(crate) use tail::{Start, Tail};

const MIGRATIONS: &[Migration] = data::migrations!["log_0001"];

/// How the log is kept.
#[derive(Clone)]
pub struct LogSettings {
    /// How long events are kept. Default 7 days.
    pub keep: Duration,
    /// How many events a reader may lag behind before it reads them from the table again.
    pub buffer: usize,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { keep: Duration::from_secs(7 * 24 * 3600), buffer: 1024 }
    }
}

/// Where a [`Log::live`] stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// With the next event.
    Now,
    /// With the first event emitted within this time, which may bring some older ones with it.
    Ago(Duration),
    /// After the event with this number; 0 is the beginning.
    Seq(i64),
}

/// The event log of this machine. Clones share one connection pool and one reader.
#[derive(Clone)]
pub struct Log {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    db: Database,
    feed: broadcast::Sender<feed::Fed>,
    pub(crate) head: watch::Receiver<i64>,
    _reader: DropGuard,
}

impl Log {
    /// Opens the log, making its table if it is new, and starts the reader of this process, which
    /// ends with the last clone.
    ///
    /// # Errors
    /// When the database cannot be opened; the text says what to do.
    pub async fn open(settings: &DataSettings) -> Result<Self, DataError> {
        Self::open_with(settings, LogSettings::default()).await
    }

    /// As [`Log::open`], with other settings than the default.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub async fn open_with(settings: &DataSettings, how: LogSettings) -> Result<Self, DataError> {
        let db = Database::open(settings, &[MIGRATIONS]).await?;
        let (feed, _) = broadcast::channel(how.buffer.max(1));
        let (head, seen) = watch::channel(table::head(&db).await?);
        let stop = CancellationToken::new();
        let notice = notice::Notice::of(settings);
        tokio::spawn(stop.clone().run_until_cancelled_owned(feed::run(
            db.clone(),
            feed.clone(),
            head,
            notice,
        )));
        tokio::spawn(stop.clone().run_until_cancelled_owned(retention::run(db.clone(), how.keep)));
        let inner = Inner { db, feed, head: seen, _reader: stop.drop_guard() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Appends events, all or none, in one transaction; those whose id is there already are left
    /// out. Returns how many were new.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn append(&self, entries: Vec<Entry>) -> Result<u64, DataError> {
        table::append(&self.inner.db, entries).await
    }

    /// The events after number `seq` in order, at most `limit`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn read_after(&self, seq: i64, limit: u64) -> Result<Vec<Recorded>, DataError> {
        table::read_after(&self.inner.db, seq, limit).await
    }

    /// The number of the last event; 0 when there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn head(&self) -> Result<i64, DataError> {
        table::head(&self.inner.db).await
    }

    /// Every event from `from` on, as long as it is polled: for what each instance does for
    /// itself (hubs, caches, revocations). Within a millisecond or so of the append in this
    /// process, 25 ms in another. Skips nothing and never ends.
    pub fn live(&self, from: From) -> BoxStream<'static, Recorded> {
        self.live_of(from, &[])
    }

    /// As [`Log::live`], of the events with these names only; none named means all.
    pub fn live_of(&self, from: From, names: &[&str]) -> BoxStream<'static, Recorded> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        // Subscribes now, not when first polled: what is appended from here on is seen.
        let tail = self.tail(match from {
            From::Now => Start::After(*self.inner.head.borrow()),
            From::Ago(age) => Start::Since(
                crate::now().saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX)),
            ),
            From::Seq(seq) => Start::After(seq),
        });
        futures::stream::unfold((tail, names), |(mut tail, names)| async move {
            loop {
                let event = tail.next().await;
                if names.is_empty() || names.contains(&event.name) {
                    let event = Arc::unwrap_or_clone(event);
                    return Some((event, (tail, names)));
                }
            }
        })
        .boxed()
    }

    pub(crate) fn tail(&self, start: Start) -> Tail {
        Tail::new(self.clone(), self.inner.feed.subscribe(), start)
    }

    #[cfg(test)]
    pub(crate) async fn prune(&self, keep: Duration) -> Result<(), DataError> {
        retention::prune(&self.inner.db, keep).await
    }

    async fn first_since(&self, at: i64) -> Result<Option<i64>, DataError> {
        table::first_since(&self.inner.db, at).await
    }

    pub(crate) async fn first(&self) -> Result<Option<i64>, DataError> {
        table::first_since(&self.inner.db, i64::MIN).await
    }
}
