//! The one reader of the log in a process: what it finds goes to every stream and consumer.

use std::sync::Arc;
use std::time::Duration;

use data::Database;
use tokio::sync::{broadcast, watch};

use super::entry::Recorded;
use super::notice::Notice;
use super::table;

const BATCH: u64 = 512;
const PAUSE: Duration = Duration::from_millis(200);

/// An event and the number of the one before it: who has not seen that one has missed something.
#[derive(Clone, Debug)]
pub(super) struct Fed {
    pub(super) after: i64,
    pub(super) event: Arc<Recorded>,
}

/// Reads for ever, woken by commits of this process and by `notice` for those of others.
pub(super) async fn run(
    db: Database,
    feed: broadcast::Sender<Fed>,
    head: watch::Sender<i64>,
    mut notice: Notice,
) {
    let mut commits = db.committed();
    let mut seen = *head.borrow();
    loop {
        commits.mark_unchanged();
        match table::read_after(&db, seen, BATCH).await {
            Ok(events) => {
                let more = events.len() as u64 == BATCH;
                for event in events {
                    let after = std::mem::replace(&mut seen, event.seq);
                    // Nobody listening is no error.
                    let _ = feed.send(Fed { after, event: Arc::new(event) });
                }
                head.send_if_modified(|head| std::mem::replace(head, seen) != seen);
                if more {
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
