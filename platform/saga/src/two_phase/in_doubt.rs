//! Asking the coordinator about what was prepared and never ended.

use std::time::Duration;

use data::DataError;
use futures::stream::{self, StreamExt};
use tasks::Tasks;
use tokio::time::timeout;

use super::store::{self, InDoubt};
use super::{Coordinator, Outcome, Participant, Participation, Resource};
use crate::engine::background;
use crate::recovery;
use crate::settings::millis;
use crate::step::StepError;

const PRUNE_BATCH: i64 = 1000;
/// Coordinators forget after [`crate::Settings::keep`]; a participant does later, so that what
/// comes late meets either of them.
const KEEP_LONGER: u32 = 2;

impl<R: Resource> Participation<R> {
    /// Asks `coordinator`, for as long as `tasks` run, about whatever was prepared
    /// [`crate::Settings::ask_after`] ago and has not ended. Any number of instances may do so.
    pub fn start<C: Coordinator>(&self, tasks: &Tasks, coordinator: C) {
        let (this, stopping) = (self.clone(), tasks.stopping());
        let coordinator = std::sync::Arc::new(coordinator);
        tasks.spawn_loop("two-phase commits in doubt", move || {
            let (this, coordinator) = (this.clone(), coordinator.clone());
            let stopping = stopping.clone();
            background().scope(async move {
                let look = || async { this.ask(&*coordinator).await.map(drop) };
                let clean = || this.clean();
                let stop = || stopping.cancelled();
                recovery::patrol(&this.settings, look, clean, stop).await;
            })
        });
    }

    /// Asks about what is due, once. Returns about how many.
    pub(super) async fn ask(&self, coordinator: &impl Coordinator) -> Result<usize, DataError> {
        let most = self.settings.recover_at_once.max(1);
        let due = store::due(&self.db, R::NAME, self.settings.clock.now(), most).await?;
        let count = due.len();
        stream::iter(due)
            .for_each_concurrent(most, |found| async move {
                let id = found.id;
                if let Err(error) = self.resolve(found, coordinator).await {
                    tracing::warn!(name = R::NAME, %id, %error, "still in doubt, asking again");
                }
            })
            .await;
        Ok(count)
    }

    async fn resolve(
        &self,
        found: InDoubt,
        coordinator: &impl Coordinator,
    ) -> Result<(), StepError> {
        let (id, settings) = (found.id, &self.settings);
        let rest: Duration = settings.step_timeout + settings.pause(found.attempt + 1);
        let due_at = settings.clock.now().saturating_add(millis(rest));
        if !store::claim(&self.db, R::NAME, found, due_at).await? {
            return Ok(());
        }
        let outcome = timeout(settings.step_timeout, coordinator.outcome(id))
            .await
            .unwrap_or_else(|_| Err(StepError::Retry("no answer in time".into())))?;
        let outcome_name = match outcome {
            Outcome::Undecided => return Ok(()),
            Outcome::Committed => {
                self.commit(id).await?;
                "committed"
            }
            Outcome::Aborted => {
                self.abort(id).await?;
                "aborted"
            }
        };
        metrics::counter!("two_phase_resolved_total", "name" => R::NAME, "outcome" => outcome_name)
            .increment(1);
        Ok(())
    }

    /// Forgets what ended long ago, and tells how much is open.
    pub(super) async fn clean(&self) -> Result<(), DataError> {
        let now = self.settings.clock.now();
        let before = now.saturating_sub(millis(self.settings.keep * KEEP_LONGER));
        while store::prune(&self.db, R::NAME, before, PRUNE_BATCH).await? == PRUNE_BATCH as u64 {}
        let (count, oldest) = store::open(&self.db, R::NAME).await?;
        let age = oldest.map_or(0, |oldest| now.saturating_sub(oldest).max(0));
        metrics::gauge!("two_phase_prepared", "name" => R::NAME).set(count as f64);
        metrics::gauge!("two_phase_oldest_prepared_seconds", "name" => R::NAME)
            .set(age as f64 / 1000.0);
        Ok(())
    }
}
