//! The reader of a process: one consumer of the stream, and the link that everybody uses.
//!
//! The link is made anew whenever it breaks, and each time the reader looks whether the stream is
//! still the one it has read: a broker that lost its store begins at 1 again.

use std::time::Duration;

use broker::{BrokerError, Link};

use super::{JetStream, Session, head, read_on, wire};
use crate::log::feed::Out;
use crate::log::place::{Gap, Mark};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
const CLIENT: &str = "atelier events";

/// Holds the link and reads for ever.
pub(in crate::log) async fn run(log: JetStream, out: Out) {
    let mut seen = None;
    let mut pause = FIRST_PAUSE;
    // Said once for each outage.
    let mut told = false;
    loop {
        let Err(error) = follow(&log, &out, &mut seen).await else { continue };
        if let Some(session) = log.session.send_replace(None) {
            // Whoever waits for an answer over it need not wait any longer.
            session.link.fail();
            (told, pause) = (false, FIRST_PAUSE);
        }
        if !told {
            tracing::warn!(broker = %log.servers, %error, "the event broker is away; events wait");
            told = true;
        }
        metrics::gauge!("events_broker_reached").set(0.0);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Reads over one link until it breaks. `Ok`: the stream was another one, and `seen` is now its
/// beginning.
async fn follow(log: &JetStream, out: &Out, seen: &mut Option<Mark>) -> Result<(), BrokerError> {
    let link = Link::connect(&log.servers, CLIENT).await?;
    let stream = link.stream(&log.how).await?;
    let place = match seen {
        Some(place) => place,
        None => seen.insert(head(&stream).await?),
    };
    if let Some(gap) = read_on(&stream, place, 1).await?.gap {
        out.gap(place, gap);
        if matches!(gap, Gap::Replaced { .. }) {
            return Ok(());
        }
    }
    let after = u64::try_from(place.seq).unwrap_or(0);
    let mut events = stream.follow(after + 1).await?;
    // Before the first append over this link: what is appended from now on is after it.
    out.head(place);
    log.session.send_replace(Some(Session { link, stream }));
    tracing::info!(broker = %log.servers, "the event broker is reached");
    metrics::gauge!("events_broker_reached").set(1.0);
    loop {
        let event = wire::decode(events.next().await?);
        out.tell(place, event);
        out.head(place);
    }
}
