//! Holding a saga and letting it go: the record, the lease, and the pauses between attempts.

use std::time::Duration;

use super::{Drive, Halt};
use crate::faults::Point;
use crate::local;
use crate::settings::millis;
use crate::step::StepError;
use crate::store::{Saga, Status};

/// Longer pauses are not waited for: the saga is given back, to be taken up when it is due.
const PATIENCE: Duration = Duration::from_secs(1);

impl Drive {
    /// Waits, or lets go until it is time to try again.
    pub(super) async fn again(&mut self, n: usize, error: &StepError) -> Result<(), Halt> {
        let step = self.kind.steps()[n].name;
        let undoing = self.saga.status == Status::Undoing;
        self.saga.attempt += 1;
        let attempt = self.saga.attempt;
        if attempt < 10 {
            tracing::warn!(saga = %self.saga.id, kind = self.kind.name(), step, undoing, attempt,
                %error, "a step failed, trying again");
        } else {
            tracing::error!(saga = %self.saga.id, kind = self.kind.name(), step, undoing, attempt,
                %error, "a step keeps failing, trying again");
        }
        metrics::counter!("saga_retries_total", "kind" => self.kind.name(), "step" => step)
            .increment(1);
        let pause = self.engine.settings.pause(attempt);
        if pause > PATIENCE {
            return self.release(pause).await;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            () = self.engine.stop() => self.release(pause).await,
        }
    }

    /// Gives the saga back: anybody may take it after `pause`.
    pub(super) async fn release(&mut self, pause: Duration) -> Result<(), Halt> {
        self.strike(self.saga.step.min(self.kind.steps().len() - 1), Point::Release)?;
        let now = self.engine.now();
        let due_at = now.saturating_add(millis(pause));
        let saga = Saga { owner: None, due_at, ..self.saga.clone() };
        let saved = local::save(&self.engine.db, self.recorded.clone(), saga, now).await;
        if let Err(error) = saved {
            tracing::warn!(saga = %self.saga.id, %error, "not given back: its lease has to run out");
        }
        Err(Halt::Away)
    }

    /// Makes sure that the lease outlasts a remote call.
    pub(super) async fn hold(&mut self) -> Result<(), Halt> {
        let settings = &self.engine.settings;
        let need = millis(settings.step_timeout + settings.lease / 4);
        if self.saga.due_at.saturating_sub(self.engine.now()) < need {
            self.saga = local::renewed(&self.engine, self.saga.clone());
            self.save().await?;
        }
        Ok(())
    }

    /// Records where the saga stands; tries for as long as the lease lasts.
    pub(super) async fn save(&mut self) -> Result<(), Halt> {
        let mut attempt = 0;
        loop {
            let (fence, saga, now) = (self.recorded.clone(), self.saga.clone(), self.engine.now());
            match local::save(&self.engine.db, fence, saga, now).await {
                Ok(true) => {
                    self.recorded = local::fence(&self.saga);
                    return Ok(());
                }
                Ok(false) => return Err(Halt::Lost),
                Err(error) if now < self.saga.due_at && !self.engine.stopping() => {
                    tracing::warn!(saga = %self.saga.id, %error, "not recorded, trying again");
                    attempt += 1;
                    tokio::time::sleep(self.engine.settings.pause(attempt).min(PATIENCE)).await;
                }
                Err(_) => return Err(Halt::Away),
            }
        }
    }
}
