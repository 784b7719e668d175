//! The log: every event of every service, in one order, append-only.
//!
//! Embedded: a table in a database of its own, shared by the processes of one machine. In a
//! cluster: a stream in NATS JetStream. One reader loop per process ([`feed`], [`stream::feed`])
//! serves all its streams and consumers.
//! Invariant: whoever has seen `seq` n will never find another event before n.

mod entry;
mod feed;
mod notice;
mod place;
mod retention;
mod settings;
mod stream;
mod table;
mod tail;

use std::sync::Arc;
use std::time::Duration;

use data::{DataError, Database, Migration};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use feed::{Fed, Out};
use settings::Place;
use stream::JetStream;

pub use entry::{Entry, Recorded};
pub(crate) use place::{Gap, Mark, Page};
pub use settings::LogSettings;
#[cfg(test)]
pub(crate) use stream::wire::encode;
pub(crate) use tail::{Start, Tail};

const MIGRATIONS: &[Migration] = data::migrations!["log_0001"];

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

/// The event log. Clones share its connections and one reader.
#[derive(Clone)]
pub struct Log {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    store: Store,
    feed: broadcast::Sender<Fed>,
    /// The last event that the reader of this process has seen.
    pub(crate) head: watch::Receiver<Option<Mark>>,
    _reader: DropGuard,
}

/// Why events were not taken.
pub(crate) enum Refusal {
    /// These, by their ids, it will not take; it would take others.
    Unfit {
        /// Which; there may be more.
        ids: Vec<String>,
        /// Why, and what to do.
        why: String,
    },
    /// None, be they as they will.
    Log(DataError),
}

impl std::convert::From<DataError> for Refusal {
    fn from(error: DataError) -> Self {
        Self::Log(error)
    }
}

/// The engines.
enum Store {
    Table(Database),
    Stream(JetStream),
}

impl Log {
    /// Opens the log that `settings` name, [`LogSettings`] or the settings of a database, and
    /// starts the reader of this process, which ends with the last clone. A table is made if it is
    /// new. A broker is not waited for: see [`Log::is_ready`].
    ///
    /// # Errors
    /// When the database cannot be opened, or the settings cannot be; the text says what to do.
    pub async fn open(settings: impl Into<LogSettings>) -> Result<Self, DataError> {
        let settings = settings.into();
        let (feed, _) = broadcast::channel(settings.buffer.max(1));
        let (head, seen) = watch::channel(None);
        let out = Out { feed: feed.clone(), head };
        let stop = CancellationToken::new();
        let run = |reader| {
            tokio::spawn(stop.clone().run_until_cancelled_owned(reader));
        };
        let store = match settings.place()? {
            Place::Table(database) => {
                let db = Database::open(&database, &[MIGRATIONS]).await?;
                let place = table::head(&db).await?;
                out.head(&place);
                let notice = notice::Notice::of(&database);
                run(feed::run(db.clone(), out, place, notice).boxed());
                run(retention::run(db.clone(), settings.keep()).boxed());
                Store::Table(db)
            }
            Place::Stream { servers, name, how } => {
                let stream = JetStream::new(servers, name, how);
                run(stream::feed::run(stream.clone(), out).boxed());
                Store::Stream(stream)
            }
        };
        let inner = Inner { store, feed, head: seen, _reader: stop.drop_guard() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whether it can be read and written now, as far as is known without asking: a broker may be
    /// away, and then events wait in the outboxes.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        match &self.inner.store {
            Store::Table(_) => true,
            Store::Stream(stream) => stream.is_ready(),
        }
    }

    /// Appends events in order; those whose id is there already are left out. Returns how many were
    /// new.
    ///
    /// # Errors
    /// When the engine fails, is away or refuses one of them. A table has then taken none; a stream
    /// may have taken some, and takes each once if all are appended again.
    pub async fn append(&self, entries: Vec<Entry>) -> Result<u64, DataError> {
        self.offer(entries).await.map_err(|refusal| match refusal {
            Refusal::Unfit { why, .. } => DataError::other(why),
            Refusal::Log(error) => error,
        })
    }

    /// As [`Log::append`], and says which of them it will not take.
    pub(crate) async fn offer(&self, entries: Vec<Entry>) -> Result<u64, Refusal> {
        match &self.inner.store {
            Store::Table(db) => Ok(table::append(db, entries).await?),
            Store::Stream(stream) => Box::pin(stream.append(entries)).await,
        }
    }

    /// The events after number `seq` in order, at most `limit`.
    ///
    /// # Errors
    /// When the engine fails or is away.
    pub async fn read_after(&self, seq: i64, limit: u64) -> Result<Vec<Recorded>, DataError> {
        Ok(self.read_on(&Mark::at(seq), limit).await?.events)
    }

    /// The number of the last event; 0 when there is none.
    ///
    /// # Errors
    /// When the engine fails or is away.
    pub async fn head(&self) -> Result<i64, DataError> {
        Ok(self.head_mark().await?.seq)
    }

    /// Every event from `from` on, as long as it is polled: for what each instance does for
    /// itself (hubs, caches, revocations). Within a millisecond or so of the append in this
    /// process, 25 ms in another. Skips nothing and never ends; waits while the log is away. After
    /// a log was lost it brings the new one from its beginning, so it may bring something twice.
    pub fn live(&self, from: From) -> BoxStream<'static, Recorded> {
        self.live_of(from, &[])
    }

    /// As [`Log::live`], of the events with these names only; none named means all.
    pub fn live_of(&self, from: From, names: &[&str]) -> BoxStream<'static, Recorded> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let ago = |age| Start::Ago { age, asked: Instant::now() };
        // Subscribes now, not when first polled: what is appended from here on is seen.
        let tail = self.tail(match from {
            // A log that was not reached yet has to be asked by the time.
            From::Now => self.inner.head.borrow().clone().map_or(ago(Duration::ZERO), Start::After),
            From::Ago(age) => ago(age),
            From::Seq(seq) => Start::After(Mark::at(seq)),
        });
        futures::stream::unfold((tail, names), |(mut tail, names)| async move {
            loop {
                match tail.next().await {
                    Ok(event) if names.is_empty() || names.contains(&event.name) => {
                        let event = Arc::unwrap_or_clone(event);
                        return Some((event, (tail, names)));
                    }
                    Ok(_) => {}
                    Err(gap) => tracing::error!(%gap, "a live stream has a gap"),
                }
            }
        })
        .boxed()
    }

    pub(crate) fn tail(&self, start: Start) -> Tail {
        Tail::new(self.clone(), self.inner.feed.subscribe(), start)
    }

    /// What stands after `place`, at most `limit`, and whether `place` still is what it was.
    pub(crate) async fn read_on(&self, place: &Mark, limit: u64) -> Result<Page, DataError> {
        match &self.inner.store {
            Store::Table(db) => table::read_on(db, place, limit).await,
            Store::Stream(stream) => Box::pin(stream.read_on(place, limit)).await,
        }
    }

    async fn head_mark(&self) -> Result<Mark, DataError> {
        match &self.inner.store {
            Store::Table(db) => table::head(db).await,
            Store::Stream(stream) => Box::pin(stream.head()).await,
        }
    }

    /// The first event that is no older than `age`. Not since a time: the clock may be set right
    /// between the question and its answer.
    async fn first_within(&self, age: Duration) -> Result<Option<i64>, DataError> {
        match &self.inner.store {
            Store::Table(db) => {
                let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
                table::first_since(db, crate::now().saturating_sub(age)).await
            }
            Store::Stream(stream) => Box::pin(stream.first_within(age)).await,
        }
    }

    /// Returns when a log that was away may be reached again; never for one that is not away.
    pub(crate) async fn returned(&self) {
        match &self.inner.store {
            Store::Table(_) => std::future::pending().await,
            Store::Stream(stream) => stream.returned().await,
        }
    }

    #[cfg(test)]
    pub(crate) async fn prune(&self, keep: Duration) -> Result<(), DataError> {
        match &self.inner.store {
            Store::Table(db) => retention::prune(db, keep).await,
            Store::Stream(_) => Ok(()),
        }
    }
}
