//! One reader's view of the log: fed by the process' reader loop while it keeps up, and read from
//! the table when it does not, so that nothing is lost.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::Log;
use super::entry::Recorded;
use super::feed::Fed;

const BATCH: u64 = 512;
const PAUSE: Duration = Duration::from_millis(200);

/// Where a tail begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    /// After this number.
    After(i64),
    /// With the first event emitted at this time or later.
    Since(i64),
}

pub(crate) struct Tail {
    log: Log,
    feed: broadcast::Receiver<Fed>,
    /// Set until the first read has found the place.
    since: Option<i64>,
    /// The number of the last event given out.
    last: i64,
    /// Whether the table holds events that the feed does not bring.
    behind: bool,
    reread: VecDeque<Recorded>,
}

impl Tail {
    pub(super) fn new(log: Log, feed: broadcast::Receiver<Fed>, start: Start) -> Self {
        let (last, since) = match start {
            Start::After(seq) => (seq, None),
            Start::Since(at) => (0, Some(at)),
        };
        Self { log, feed, since, last, behind: true, reread: VecDeque::new() }
    }

    /// The next event. May be dropped while it waits: nothing is lost.
    pub(crate) async fn next(&mut self) -> Arc<Recorded> {
        loop {
            if let Some(event) = self.ready() {
                return event;
            }
            if self.behind {
                if let Err(error) = self.catch_up().await {
                    tracing::warn!(%error, "the event log cannot be read, trying again");
                    tokio::time::sleep(PAUSE).await;
                }
                continue;
            }
            match self.feed.recv().await {
                Ok(fed) => {
                    if let Some(event) = self.admit(fed) {
                        return event;
                    }
                }
                Err(RecvError::Lagged(_)) => self.behind = true,
                // The sender lives as long as the log that is held here.
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    /// The next event if it is at hand.
    pub(crate) fn ready(&mut self) -> Option<Arc<Recorded>> {
        loop {
            if let Some(event) = self.reread.pop_front() {
                self.last = event.seq;
                return Some(Arc::new(event));
            }
            if self.behind {
                return None;
            }
            match self.feed.try_recv() {
                Ok(fed) => {
                    if let Some(event) = self.admit(fed) {
                        return Some(event);
                    }
                }
                Err(TryRecvError::Lagged(_)) => self.behind = true,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
            }
        }
    }

    /// Takes what the feed brought if it is next; sees if something is missing before it.
    fn admit(&mut self, fed: Fed) -> Option<Arc<Recorded>> {
        if fed.event.seq <= self.last {
            return None;
        }
        if fed.after > self.last {
            self.behind = true;
            return None;
        }
        self.last = fed.event.seq;
        Some(fed.event)
    }

    async fn catch_up(&mut self) -> Result<(), data::DataError> {
        if let Some(at) = self.since {
            // The head first: what is appended between the two looks is young and must be seen.
            let head = self.log.head().await?;
            let first = self.log.first_since(at).await?;
            self.last = first.map_or(head, |seq| seq - 1);
            self.since = None;
        }
        let events = self.log.read_after(self.last, BATCH).await?;
        self.behind = events.len() as u64 == BATCH;
        self.reread.extend(events);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Entry;
    use super::*;

    #[tokio::test]
    async fn what_the_feed_did_not_bring_is_read_from_the_table() {
        let (settings, _folder) = testkit::temp_sqlite();
        let log = Log::open(&settings).await.unwrap();
        let entries = (0..5).map(|n| Entry::new("n", "k", &n).unwrap());
        log.append(entries.collect()).await.unwrap();
        let events = log.read_after(0, 5).await.unwrap();
        let (feed, receiver) = broadcast::channel(4);
        let mut tail = Tail::new(log, receiver, Start::After(events[0].seq));
        tail.behind = false;
        let fourth = Fed { after: events[2].seq, event: Arc::new(events[3].clone()) };
        feed.send(fourth).unwrap();
        for event in &events[1..] {
            assert_eq!(*tail.next().await, *event);
        }
        assert!(tail.ready().is_none());
    }
}
