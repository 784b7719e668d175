//! One reader's view of the log: fed by the process' reader loop while it keeps up, and read from
//! the log itself when it does not, so that nothing is lost.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::Instant;

use super::Log;
use super::entry::Recorded;
use super::feed::Fed;
use super::place::{Gap, Mark};

const BATCH: u64 = 512;
const PAUSE: Duration = Duration::from_millis(200);
/// Times are whole milliseconds, and two clocks count them: rather one event too many than too few.
const ROUNDING: Duration = Duration::from_millis(10);

/// Where a tail begins.
#[derive(Clone, Debug)]
pub(crate) enum Start {
    /// After this place.
    After(Mark),
    /// With the first event that was no older than this when it was asked for.
    Ago { age: Duration, asked: Instant },
}

pub(crate) struct Tail {
    log: Log,
    feed: broadcast::Receiver<Fed>,
    /// Set until the first read has found the place.
    since: Option<(Duration, Instant)>,
    /// The place of the last event given out.
    last: Mark,
    /// Whether the log holds events that the feed does not bring.
    behind: bool,
    reread: VecDeque<Recorded>,
}

impl Tail {
    pub(super) fn new(log: Log, feed: broadcast::Receiver<Fed>, start: Start) -> Self {
        let (last, since) = match start {
            Start::After(place) => (place, None),
            Start::Ago { age, asked } => (Mark::start(), Some((age, asked))),
        };
        Self { log, feed, since, last, behind: true, reread: VecDeque::new() }
    }

    /// The next event. May be dropped while it waits: nothing is lost.
    ///
    /// # Errors
    /// [`Gap`], when there is something else to know first; it goes on after that.
    pub(crate) async fn next(&mut self) -> Result<Arc<Recorded>, Gap> {
        loop {
            if let Some(event) = self.ready() {
                return Ok(event);
            }
            if self.behind {
                match self.catch_up().await {
                    Ok(None) => {}
                    Ok(Some(gap)) => return Err(gap),
                    Err(error) => {
                        tracing::debug!(%error, "the event log cannot be read, trying again");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
                continue;
            }
            match self.feed.recv().await {
                Ok(fed) => {
                    if let Some(event) = self.admit(fed) {
                        return Ok(event);
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
                self.last = Mark::of(&event);
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
        let Fed::Event { after, event } = fed else {
            self.behind = true;
            return None;
        };
        if event.seq <= self.last.seq {
            return None;
        }
        if after.seq > self.last.seq || (after.seq == self.last.seq && !after.agrees(&self.last)) {
            self.behind = true;
            return None;
        }
        self.last = Mark::of(&event);
        Some(event)
    }

    async fn catch_up(&mut self) -> Result<Option<Gap>, data::DataError> {
        if let Some((age, asked)) = self.since {
            // The head first: what is appended between the two looks is young and must be seen.
            let head = self.log.head_mark().await?;
            let age = age.saturating_add(asked.elapsed()).saturating_add(ROUNDING);
            let first = self.log.first_within(age).await?;
            self.last = first.map_or(head, |seq| Mark::at(seq - 1));
            self.since = None;
        }
        let page = self.log.read_on(&self.last, BATCH).await?;
        self.behind = page.more;
        self.reread.extend(page.events);
        if let Some(Gap::Replaced { .. }) = page.gap {
            self.last = Mark::start();
        }
        Ok(page.gap)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Entry;
    use super::*;

    #[tokio::test]
    async fn what_the_feed_did_not_bring_is_read_from_the_log() {
        let (settings, _folder) = testkit::temp_sqlite();
        let log = Log::open(&settings).await.unwrap();
        let entries = (0..5).map(|n| Entry::new("n", "k", &n).unwrap());
        log.append(entries.collect()).await.unwrap();
        let events = log.read_after(0, 5).await.unwrap();
        let (feed, receiver) = broadcast::channel(4);
        let mut tail = Tail::new(log, receiver, Start::After(Mark::of(&events[0])));
        tail.behind = false;
        let fourth = Fed::Event { after: Mark::of(&events[2]), event: Arc::new(events[3].clone()) };
        feed.send(fourth).unwrap();
        for event in &events[1..] {
            assert_eq!(*tail.next().await.unwrap(), *event);
        }
        assert!(tail.ready().is_none());
    }
}
