//! The one reader of the log in a process: what it finds goes to every stream and consumer.
//!
//! This one reads a table; [`super::stream::feed`] reads JetStream.

use std::sync::Arc;
use std::time::Duration;

use data::Database;
use tokio::sync::{broadcast, watch};

use super::entry::Recorded;
use super::notice::Notice;
use super::place::{Gap, Mark};
use super::table;

const BATCH: u64 = 512;
const PAUSE: Duration = Duration::from_millis(200);

/// What the reader tells.
#[derive(Clone, Debug)]
pub(super) enum Fed {
    /// An event, and the place before it: who does not stand there has missed something.
    Event { after: Mark, event: Arc<Recorded> },
    /// The log is another one: whoever reads has to look at its place.
    Replaced,
}

/// The sending ends of a log.
pub(super) struct Out {
    pub(super) feed: broadcast::Sender<Fed>,
    /// The last place that was told; none before the log was reached for the first time.
    pub(super) head: watch::Sender<Option<Mark>>,
}

impl Out {
    /// Tells of `event`, which comes after `seen`, and moves that on.
    pub(super) fn tell(&self, seen: &mut Mark, event: Recorded) {
        let after = std::mem::replace(seen, Mark::of(&event));
        // Nobody listening is no error.
        let _ = self.feed.send(Fed::Event { after, event: Arc::new(event) });
    }

    pub(super) fn head(&self, seen: &Mark) {
        let now = Some(seen);
        self.head.send_if_modified(|head| {
            let moved = head.as_ref() != now;
            if moved {
                *head = now.cloned();
            }
            moved
        });
    }

    /// What the reader itself has to know.
    pub(super) fn gap(&self, seen: &mut Mark, gap: Gap) {
        tracing::error!(%gap, "the event log has a gap");
        if matches!(gap, Gap::Replaced { .. }) {
            *seen = Mark::start();
            self.head(seen);
            let _ = self.feed.send(Fed::Replaced);
        }
    }
}

/// Reads for ever, woken by commits of this process and by `notice` for those of others.
pub(super) async fn run(db: Database, out: Out, mut seen: Mark, mut notice: Notice) {
    let mut commits = db.committed();
    loop {
        commits.mark_unchanged();
        match table::read_on(&db, &seen, BATCH).await {
            Ok(page) => {
                if let Some(gap) = page.gap {
                    out.gap(&mut seen, gap);
                }
                for event in page.events {
                    out.tell(&mut seen, event);
                }
                out.head(&seen);
                if page.more {
                    continue;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the event log cannot be read, trying again");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        }
        tokio::select! {
            _ = commits.changed() => {}
            () = notice.changed() => {}
        }
    }
}
