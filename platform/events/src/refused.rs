//! What the log will not take: offered a few times more, while those of its key wait and the others
//! pass; then a dead letter, so that its key goes on.

use std::collections::{HashMap, HashSet};

use data::{DataError, Database};

use crate::dead_letters::{self, DeadLetter};
use crate::log::{Entry, Log, Refusal};
use crate::outbox;

/// Whose dead letters they are.
const RELAY: &str = "relay";
/// Somebody may be about to raise the limit. With the relay's pauses this is less than a second.
const TRIES: u32 = 5;

/// What a relay knows of refused events, by their ids.
#[derive(Default)]
pub(crate) struct Refused {
    tries: HashMap<String, u32>,
    /// Those that have been offered in this round.
    held: HashSet<String>,
    why: String,
}

impl Refused {
    /// From now on all that wait are offered again.
    pub(crate) fn begin_round(&mut self) {
        self.held.clear();
    }

    /// Takes note of a refusal.
    pub(crate) fn note(&mut self, ids: Vec<String>, why: String) {
        for id in ids {
            *self.tries.entry(id.clone()).or_default() += 1;
            self.held.insert(id);
        }
        self.why = why;
    }

    /// Of what waits, that which may be offered now. What has been refused too often is given up.
    pub(crate) async fn pass(
        &mut self,
        db: &Database,
        waiting: Vec<(i64, Entry)>,
    ) -> Result<(Vec<i64>, Vec<Entry>), DataError> {
        let mut behind = HashSet::new();
        let (mut seqs, mut entries) = (Vec::new(), Vec::new());
        for (seq, entry) in waiting {
            let tries = self.tries.get(&entry.id).copied().unwrap_or_default();
            if tries >= TRIES {
                self.give_up(db, seq, entry, tries).await?;
            } else if self.held.contains(&entry.id) || behind.contains(&entry.key) {
                behind.insert(entry.key);
            } else {
                seqs.push(seq);
                entries.push(entry);
            }
        }
        Ok((seqs, entries))
    }

    async fn give_up(
        &mut self,
        db: &Database,
        seq: i64,
        entry: Entry,
        tries: u32,
    ) -> Result<(), DataError> {
        let (id, name, reason) = (entry.id.clone(), entry.name.clone(), self.why.clone());
        outbox::give_up(db, seq, entry, RELAY, reason, tries).await?;
        self.tries.remove(&id);
        self.held.remove(&id);
        let reason = &self.why;
        tracing::error!(event = name, seq, reason, "the log refuses an event: now a dead letter");
        metrics::counter!("events_refused_total").increment(1);
        Ok(())
    }

    /// Ends a round.
    ///
    /// # Errors
    /// When something that was refused still waits.
    pub(crate) fn end_round(&mut self) -> Result<(), DataError> {
        if self.held.is_empty() {
            self.tries.clear();
            return Ok(());
        }
        Err(DataError::other(format!("{} events are refused: {}", self.held.len(), self.why)))
    }
}

/// Offers the log again what an operator wants to be replayed.
pub(crate) async fn replay(db: &Database, log: &Log) -> Result<(), DataError> {
    for DeadLetter { id: letter, event, .. } in dead_letters::to_replay(db, RELAY).await? {
        let payload = event.payload.to_string();
        let entry = Entry { id: event.id, name: event.name, key: event.key, at: event.at, payload };
        match log.offer(vec![entry]).await {
            Ok(_) => drop(dead_letters::discard(db, letter).await?),
            Err(Refusal::Unfit { why, .. }) => dead_letters::keep(db, letter, why).await?,
            Err(Refusal::Log(error)) => return Err(error),
        }
    }
    Ok(())
}
