//! What a consumer does when a handler fails: one by one, again after growing pauses, and in the
//! end without it.

use std::sync::Arc;
use std::time::Duration;

use data::DataError;

use super::Work;
use crate::dead_letters;
use crate::handler::HandlerError;
use crate::log::{Mark, Recorded};

impl Work {
    /// Handles a batch and moves `stored` along. False: another instance is ahead.
    pub(super) async fn handle(
        &self,
        stored: &mut Mark,
        batch: Vec<Arc<Recorded>>,
    ) -> Result<bool, DataError> {
        let Some(to) = batch.last().map(|event| Mark::of(event)) else {
            return Ok(true);
        };
        if batch.len() > 1 {
            match self.apply(stored, batch.clone()).await {
                Ok(true) => {
                    self.count("handled", batch.len());
                    *stored = to;
                    return Ok(true);
                }
                Ok(false) => return Ok(false),
                // One of them fails: find out which, and keep the others.
                Err(_) => {}
            }
        }
        for event in batch {
            let to = Mark::of(&event);
            if !self.insist(stored, event).await? {
                return Ok(false);
            }
            *stored = to;
        }
        Ok(true)
    }

    /// Handles one event, however long it takes, or gives it up.
    async fn insist(&self, from: &Mark, event: Arc<Recorded>) -> Result<bool, DataError> {
        let mut attempts = 0;
        let mut pause = self.settings.first_pause;
        let reason = loop {
            match self.apply(from, vec![event.clone()]).await {
                Ok(moved) => {
                    self.count("handled", usize::from(moved));
                    return Ok(moved);
                }
                Err(HandlerError::Poison(reason)) => {
                    attempts += 1;
                    break reason;
                }
                Err(HandlerError::Retry(reason)) => {
                    attempts += 1;
                    if attempts >= self.settings.attempts {
                        break reason;
                    }
                    tracing::warn!(
                        consumer = &*self.name,
                        event = event.name,
                        seq = event.seq,
                        attempts,
                        reason,
                        "an event could not be handled, trying again"
                    );
                }
                Err(HandlerError::Unavailable(reason)) => {
                    tracing::warn!(consumer = &*self.name, reason, "the database is away");
                }
            }
            self.count("failed", 1);
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 3).min(self.settings.longest_pause);
        };
        tracing::error!(
            consumer = &*self.name,
            event = event.name,
            seq = event.seq,
            attempts,
            reason,
            "an event could not be handled and is now a dead letter"
        );
        self.count("dead", 1);
        self.give_up(from, event, reason, attempts).await
    }

    /// Tries every dead letter that an operator asked to replay.
    pub(super) async fn replay(&self) -> Result<(), DataError> {
        for letter in dead_letters::to_replay(&self.db, &self.name).await? {
            self.try_again(letter).await?;
        }
        Ok(())
    }

    fn count(&self, result: &'static str, events: usize) {
        metrics::counter!("events_consumed_total", "consumer" => self.name.to_string(), "result" => result)
            .increment(events as u64);
    }
}

/// Between three quarters of `pause` and all of it, so that instances do not march in step.
fn jittered(pause: Duration) -> Duration {
    let random = f64::from(uuid::Uuid::new_v4().as_bytes()[0]) / 255.0;
    pause.mul_f64(0.75 + 0.25 * random)
}
