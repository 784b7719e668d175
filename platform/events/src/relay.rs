//! The relay: moves events from a service's outbox to the log, in order.
//!
//! It appends, then deletes. A crash in between, or a second relay on the same outbox, appends
//! the same ids again, and the log takes each once. While the log is away the events wait where
//! they are; no more than a batch of them is in memory.

use std::time::Duration;

use data::{DataError, Database};
use tasks::Tasks;
use telemetry::Context;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::log::{Log, Refusal};
use crate::outbox;
use crate::refused::{self, Refused};

/// Events moved in one transaction of the log.
const BATCH: u64 = 512;
/// Rounds start at least this far apart: one at once, those after it together.
const GAP: Duration = Duration::from_millis(4);
/// Looks this often without being woken: for commits of other processes.
const POLL: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often it is looked whether a dead letter is to be replayed.
const REPLAY: Duration = Duration::from_secs(1);

/// Starts moving the events that `db`'s transactions emit into `log`: at once after a commit in
/// this process, within a second after one in another. Moves what is left when `tasks` stop.
pub fn relay(db: Database, log: Log, tasks: &Tasks) {
    let stopping = tasks.stopping();
    tasks.spawn_loop("relay", move || {
        let work = run(db.clone(), log.clone(), stopping.clone());
        // Read from the primary: a replica would show a commit only at the next poll.
        Context { fresh: true, ..Context::background() }.scope(work)
    });
}

async fn run(db: Database, log: Log, stopping: CancellationToken) {
    let mut commits = db.committed();
    let (mut pause, mut refused, mut replayed) = (FIRST_PAUSE, Refused::default(), Instant::now());
    loop {
        let started = Instant::now();
        commits.mark_unchanged();
        if replayed.elapsed() >= REPLAY {
            replayed = started;
            if let Err(error) = refused::replay(&db, &log).await {
                tracing::warn!(%error, "dead letters of the relay wait to be replayed");
            }
        }
        match drain(&db, &log, &mut refused).await {
            Ok(()) => pause = FIRST_PAUSE,
            Err(error) => {
                tracing::warn!(%error, "events wait in the outbox: the relay failed, trying again");
                // What is refused is not taken sooner because the log is there.
                let away = matches!(error, DataError::Unavailable(_));
                tokio::select! {
                    () = stopping.cancelled() => return,
                    () = log.returned(), if away => pause = FIRST_PAUSE,
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                }
                continue;
            }
        }
        tokio::select! {
            () = stopping.cancelled() => {
                if let Err(error) = drain(&db, &log, &mut refused).await {
                    tracing::warn!(%error, "events stay in the outbox until the next start");
                }
                return;
            }
            _ = commits.changed() => {}
            () = tokio::time::sleep(POLL) => {}
        }
        tokio::time::sleep_until(started + GAP).await;
    }
}

/// Moves everything that waits.
async fn drain(db: &Database, log: &Log, refused: &mut Refused) -> Result<(), DataError> {
    refused.begin_round();
    loop {
        let waiting = outbox::waiting(db, BATCH).await?;
        let more = waiting.len() as u64 == BATCH;
        let (seqs, entries) = refused.pass(db, waiting).await?;
        if entries.is_empty() {
            return refused.end_round();
        }
        let (count, oldest) = (seqs.len() as u64, entries.iter().map(|e| e.at).min());
        match log.offer(entries).await {
            Ok(_) => {}
            Err(Refusal::Unfit { ids, why }) => {
                refused.note(ids, why);
                continue;
            }
            Err(Refusal::Log(error)) => return Err(error),
        }
        outbox::forget(db, seqs).await?;
        metrics::counter!("events_relayed_total").increment(count);
        if let Some(at) = oldest {
            let waited = crate::now().saturating_sub(at).max(0);
            metrics::histogram!("events_relay_seconds").record(waited as f64 / 1000.0);
        }
        if !more {
            return refused.end_round();
        }
    }
}
