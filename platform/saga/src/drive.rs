//! Driving one saga: step by step to its end, or back.
//!
//! The record may lag behind by one remote step when a local one follows: that one's transaction
//! records both. A crash in between calls the remote step again, with its key.

mod hold;

use std::sync::Arc;
use std::time::Duration;

use rest::Problem;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::engine::Engine;
use crate::faults::Point;
use crate::kind::{Kind, Place};
use crate::local::{self, NotDone};
use crate::settings::millis;
use crate::step::{StepError, StepKey};
use crate::store::{self, Fence, Saga, Status};
use crate::wait::Progress;

/// How long a saga that meets no obstacle is driven on after the process wants to end.
const AFTER_STOP: Duration = Duration::from_secs(3);

/// A driver and its saga.
pub(crate) struct Drive {
    engine: Engine,
    kind: Arc<dyn Kind>,
    /// Where it stands.
    saga: Saga,
    /// Where the record says that it stands.
    recorded: Fence,
    progress: watch::Sender<Progress>,
    stopping_since: Option<Instant>,
}

/// Why a driver goes no further.
enum Halt {
    /// It is at its end.
    Ended,
    /// The record is not where this driver left it.
    Lost,
    /// It is somebody else's from here on.
    Away,
    /// A test wants it dead.
    Dead,
}

impl Drive {
    /// `saga` is as its row says, and the lease is this driver's.
    pub(crate) fn new(
        engine: Engine,
        kind: Arc<dyn Kind>,
        saga: Saga,
        progress: watch::Sender<Progress>,
    ) -> Self {
        let recorded = local::fence(&saga);
        Self { engine, kind, saga, recorded, progress, stopping_since: None }
    }

    pub(crate) async fn run(mut self) {
        loop {
            self.tell();
            match self.advance().await {
                Ok(()) => {}
                Err(Halt::Ended) => return self.count(),
                Err(Halt::Away) => break,
                Err(Halt::Dead) => return drop(self.progress.send_replace(Progress::Dead)),
                Err(Halt::Lost) => match store::load(&self.engine.db, self.saga.id).await {
                    // A commit whose success this driver did not hear of.
                    Ok(Some(found)) if found.owner == self.saga.owner => {
                        self.recorded = local::fence(&found);
                        self.saga = found;
                    }
                    _ => break,
                },
            }
        }
        self.progress.send_replace(Progress::Away);
    }

    /// Tells who waits what is on record.
    fn tell(&self) {
        let progress = match self.recorded.status {
            Status::Done | Status::Undone => Progress::ended(&self.saga),
            Status::Running if self.past_pivot(self.recorded.step) => {
                Progress::PastPivot(self.saga.state.clone())
            }
            Status::Running | Status::Undoing => Progress::Begun(self.saga.state.clone()),
        };
        self.progress.send_replace(progress);
    }

    async fn advance(&mut self) -> Result<(), Halt> {
        if self.saga.status.ended() {
            return Err(Halt::Ended);
        }
        if self.engine.stopping()
            && self.stopping_since.get_or_insert_with(Instant::now).elapsed() > AFTER_STOP
        {
            return self.release(Duration::ZERO).await;
        }
        match self.saga.status {
            Status::Undoing => self.backward().await,
            _ if self.saga.step < self.kind.steps().len() => self.forward().await,
            _ => {
                tracing::error!(saga = %self.saga.id, kind = self.kind.name(),
                    "more steps done than there are: the definition changed under its version");
                self.release(self.engine.settings.longest_pause).await
            }
        }
    }

    async fn forward(&mut self) -> Result<(), Halt> {
        let n = self.saga.step;
        let shape = self.kind.steps()[n];
        self.strike(n, Point::Step)?;
        let done = match shape.place {
            Place::Local => {
                let (kind, saga) = (Arc::clone(&self.kind), self.saga.clone());
                let done = local::step(&self.engine, kind, saga, self.recorded.clone()).await;
                self.settle(done)?
            }
            Place::Remote => {
                self.hold().await?;
                let called = self.call(self.kind.act(n, None, self.key(n), &self.saga.state)).await;
                self.strike(n, Point::Effect)?;
                match called {
                    Ok(state) => {
                        let saga = self.saga.clone();
                        self.saga = local::after_step(&self.engine, &*self.kind, saga, state);
                        let next = self.kind.steps().get(n + 1).map(|next| next.place);
                        if next != Some(Place::Local) || self.kind.pivot() == Some(n) {
                            self.save().await?;
                        }
                        Ok(())
                    }
                    Err(error) => Err(error),
                }
            }
        };
        match done {
            Ok(()) => self.strike(n, Point::Recorded),
            Err(error) => self.failed(n, error).await,
        }
    }

    async fn backward(&mut self) -> Result<(), Halt> {
        let n = self.saga.step - 1;
        self.strike(n, Point::Undo)?;
        let done = if self.kind.steps()[n].undo == Some(Place::Local) {
            let (kind, saga) = (Arc::clone(&self.kind), self.saga.clone());
            let done = local::undo(&self.engine, kind, saga, self.recorded.clone()).await;
            self.settle(done)?
        } else {
            self.hold().await?;
            let called = self.call(self.kind.undo(n, None, self.key(n), &self.saga.state)).await;
            self.strike(n, Point::UndoEffect)?;
            if called.is_ok() {
                self.saga = local::after_undo(&self.engine, &*self.kind, self.saga.clone());
                self.save().await?;
            }
            called
        };
        match done {
            Ok(()) => self.strike(n, Point::UndoRecorded),
            Err(error) => self.again(n, &error).await,
        }
    }

    /// A step did not happen: back, or once more.
    async fn failed(&mut self, n: usize, error: StepError) -> Result<(), Halt> {
        if self.past_pivot(n) {
            return self.again(n, &error).await;
        }
        let shape = self.kind.steps()[n];
        let problem = match error {
            StepError::Undo(problem) => problem,
            StepError::Retry(_) => {
                let must_know = self.kind.pivot() == Some(n)
                    && shape.place == Place::Remote
                    && shape.undo.is_none();
                let settings = &self.engine.settings;
                let pause = settings.pause(self.saga.attempt + 1);
                let end = self.saga.created_at.saturating_add(millis(settings.give_up_after));
                if must_know || self.engine.now().saturating_add(millis(pause)) < end {
                    return self.again(n, &error).await;
                }
                tracing::warn!(saga = %self.saga.id, kind = self.kind.name(), step = shape.name,
                    %error, "given up, undoing");
                gave_up()
            }
        };
        self.strike(n, Point::Refused)?;
        // It is not known whether a remote step happened, whatever its last answer.
        let from = if shape.place == Place::Remote { n + 1 } else { n };
        let error = serde_json::to_string(&problem).ok();
        let saga = Saga { error, attempt: 0, ..self.saga.clone() };
        self.saga = local::renewed(&self.engine, local::undoing(&*self.kind, saga, from));
        self.save().await?;
        self.strike(n, Point::Turned)
    }

    /// Takes over what a transaction has made of the saga.
    fn settle(&mut self, done: Result<Saga, NotDone>) -> Result<Result<(), StepError>, Halt> {
        match done {
            Ok(saga) => {
                self.recorded = local::fence(&saga);
                self.saga = saga;
                Ok(Ok(()))
            }
            Err(NotDone::Step(error)) => Ok(Err(error)),
            Err(NotDone::Lost) => Err(Halt::Lost),
            Err(NotDone::Crashed) => Err(Halt::Dead),
        }
    }

    /// Calls another service, for no longer than a step may take.
    async fn call<T>(
        &self,
        call: impl Future<Output = Result<T, StepError>>,
    ) -> Result<T, StepError> {
        timeout(self.engine.settings.step_timeout, local::caught(call))
            .await
            .unwrap_or_else(|_| Err(StepError::Retry("no answer in time".into())))
    }

    fn key(&self, n: usize) -> StepKey {
        StepKey::new(self.saga.id, self.saga.round, self.kind.steps()[n].name)
    }

    fn past_pivot(&self, n: usize) -> bool {
        self.kind.pivot().is_some_and(|pivot| n > pivot)
    }

    fn strike(&self, n: usize, point: Point) -> Result<(), Halt> {
        local::strike(&self.engine, self.key(n), point).map_err(|_| Halt::Dead)
    }

    fn count(&self) {
        let outcome = if self.saga.status == Status::Done { "done" } else { "undone" };
        let took = self.engine.now().saturating_sub(self.saga.created_at).max(0);
        metrics::counter!("saga_ended_total", "kind" => self.kind.name(), "outcome" => outcome)
            .increment(1);
        metrics::histogram!("saga_seconds", "kind" => self.kind.name())
            .record(took as f64 / 1000.0);
    }
}

/// What the caller of a saga is told that was undone because a service was away.
pub(crate) fn gave_up() -> Problem {
    Problem::unavailable(2, "a service that is needed does not answer; nothing was changed")
}
