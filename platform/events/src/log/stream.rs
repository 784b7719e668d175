//! The log as a stream in NATS JetStream.
//!
//! The numbers are the stream's own. One loop, [`feed`], holds the link to the broker and makes it
//! anew when it breaks; appends and reads use the link there is, and wait for one a moment.

pub(super) mod feed;
pub(super) mod wire;

use std::time::Duration;

use broker::{BrokerError, Link, Servers, Stream, StreamSettings};
use data::DataError;
use tokio::sync::watch;

use super::Refusal;
use super::entry::{Entry, Recorded};
use super::place::{Mark, Page};

/// How long an append or a read waits for a link. The relay and every reader try again.
const WAIT: Duration = Duration::from_secs(2);
/// Published before the first answer is awaited: what is in memory besides the caller's own.
const WINDOW: usize = 512;

/// The log in the broker. Clones share the link.
#[derive(Clone)]
pub(super) struct JetStream {
    servers: Servers,
    name: String,
    how: StreamSettings,
    /// The link there is, with the stream over it.
    session: watch::Sender<Option<Session>>,
}

#[derive(Clone)]
struct Session {
    link: Link,
    stream: Stream,
}

impl JetStream {
    pub(super) fn new(servers: Servers, name: String, how: StreamSettings) -> Self {
        Self { servers, name, how, session: watch::Sender::new(None) }
    }

    /// Whether the broker is reached.
    pub(super) fn is_ready(&self) -> bool {
        is_usable(&self.session.borrow())
    }

    /// Returns when the broker is reached again, or another way than now.
    pub(super) async fn returned(&self) {
        let mut session = self.session.subscribe();
        session.mark_unchanged();
        while session.changed().await.is_ok() {
            if is_usable(&session.borrow_and_update()) {
                return;
            }
        }
    }

    async fn session(&self) -> Result<Session, DataError> {
        let mut session = self.session.subscribe();
        let found = tokio::time::timeout(WAIT, session.wait_for(is_usable)).await;
        let found = found.ok().and_then(|found| found.ok()?.clone());
        found.ok_or_else(|| {
            DataError::Unavailable(format!("the event broker {} is not reached", self.servers))
        })
    }

    pub(super) async fn append(&self, entries: Vec<Entry>) -> Result<u64, Refusal> {
        if entries.is_empty() {
            return Ok(0);
        }
        let Session { link, .. } = self.session().await?;
        let mut new = 0;
        let mut entries = entries.into_iter().peekable();
        while entries.peek().is_some() {
            let window = entries.by_ref().take(WINDOW).map(|e| wire::encode(&self.name, &e));
            let window = window.collect::<Result<Vec<_>, _>>()?;
            new += link.publish(&self.name, window).await.map_err(refusal)?;
        }
        Ok(new)
    }

    pub(super) async fn read_on(&self, place: &Mark, limit: u64) -> Result<Page, DataError> {
        let Session { stream, .. } = self.session().await?;
        read_on(&stream, place, limit).await.map_err(unavailable)
    }

    pub(super) async fn head(&self) -> Result<Mark, DataError> {
        let Session { stream, .. } = self.session().await?;
        head(&stream).await.map_err(unavailable)
    }

    /// The number of the first event that was taken within `age`. By the broker's clock alone: that
    /// of this machine, or of the one that emitted, may be wrong.
    pub(super) async fn first_within(&self, age: Duration) -> Result<Option<i64>, DataError> {
        let Session { stream, .. } = self.session().await?;
        let first = stream.first_within(age).await.map_err(unavailable)?;
        Ok(first.map(signed))
    }
}

async fn read_on(stream: &Stream, place: &Mark, limit: u64) -> Result<Page, BrokerError> {
    let most = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1);
    let found = stream.read(u64::try_from(place.seq).unwrap_or(0), most).await?;
    let highest = if found.is_empty() && place.seq > 0 { signed(stream.head().await?) } else { 0 };
    // Beyond its end the broker gives what comes next, whatever number that has.
    let found: Vec<Recorded> = found.into_iter().map(wire::decode).collect();
    if found.first().is_some_and(|event| event.seq < place.seq) {
        return Ok(Page::judge(place, Vec::new(), limit, 0));
    }
    Ok(Page::judge(place, found, limit, highest))
}

async fn head(stream: &Stream) -> Result<Mark, BrokerError> {
    let head = stream.head().await?;
    if head == 0 {
        return Ok(Mark::start());
    }
    // It may be too old to be kept.
    let last = stream.read(head, 1).await?.into_iter().next().map(wire::decode);
    Ok(last.map_or_else(|| Mark::at(signed(head)), |last| Mark::of(&last)))
}

fn is_usable(session: &Option<Session>) -> bool {
    session.as_ref().is_some_and(|session| !session.link.is_broken())
}

fn unavailable(error: BrokerError) -> DataError {
    let why = format!("event broker: {error}");
    match error {
        BrokerError::Away(_) => DataError::Unavailable(why),
        BrokerError::Refused(_) | BrokerError::Unfit { .. } => DataError::Other(why),
    }
}

fn refusal(error: BrokerError) -> Refusal {
    match error {
        BrokerError::Unfit { ids, why } => Refusal::Unfit { ids, why },
        error => Refusal::Log(unavailable(error)),
    }
}

fn signed(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}
