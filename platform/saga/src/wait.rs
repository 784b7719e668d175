//! Beginning a saga and waiting for its end, here or wherever it is driven.

use std::sync::Arc;
use std::time::Duration;

use rest::Problem;
use telemetry::Context;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};
use uuid::Uuid;

use crate::drive::{Drive, gave_up};
use crate::engine::Engine;
use crate::faults::Point;
use crate::kind::Kind;
use crate::local::{self, Begun, NotDone};
use crate::recovery;
use crate::settings::millis;
use crate::step::{StepError, StepKey};
use crate::store::{self, Saga, Status};

/// What a caller waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    Begun,
    Pivot,
    End,
}

/// How far a driver has come, with the state on record.
#[derive(Clone, Debug)]
pub(crate) enum Progress {
    /// Nothing is on record yet.
    Starting,
    Begun(String),
    PastPivot(String),
    Ended(Result<String, Problem>),
    /// Not driven here any more: the row will tell.
    Away,
    /// A test killed the driver, and its caller with it.
    Dead,
}

impl Progress {
    /// How a saga ended.
    pub(crate) fn ended(saga: &Saga) -> Self {
        Self::Ended(match saga.status {
            Status::Done => Ok(saga.state.clone()),
            _ => Err(problem(saga)),
        })
    }

    /// The answer, if this is what the caller waits for.
    fn answer(self, until: Until) -> Option<Result<String, Problem>> {
        match self {
            Self::Ended(answer) => Some(answer),
            Self::PastPivot(state) if until != Until::End => Some(Ok(state)),
            Self::Begun(state) if until == Until::Begun => Some(Ok(state)),
            Self::Dead => Some(Err(gave_up())),
            _ => None,
        }
    }
}

fn problem(saga: &Saga) -> Problem {
    let stored = saga.error.as_deref().and_then(|error| serde_json::from_str(error).ok());
    stored.unwrap_or_else(Problem::internal)
}

impl Engine {
    /// Begins or finds a saga, and waits.
    pub(crate) async fn carry_out(
        &self,
        kind: Arc<dyn Kind>,
        id: Uuid,
        state: String,
        until: Until,
    ) -> Result<String, Problem> {
        if self.stopping() {
            return Err(Problem::unavailable(1, "this instance is stopping"));
        }
        let deadline = Context::with_current(|context| context.deadline).flatten();
        let longest = Instant::now() + self.settings.wait;
        let bound = deadline.map_or(longest, |deadline| deadline.min(longest));
        let (progress, mut seen) = watch::channel(Progress::Starting);
        self.spawn(start(self.clone(), Arc::clone(&kind), id, state, progress));
        loop {
            let now = seen.borrow_and_update().clone();
            let away = matches!(now, Progress::Away);
            if let Some(answer) = now.answer(until) {
                return answer;
            }
            // An error of `changed` is a driver that is gone without a word.
            if away || !matches!(timeout_at(bound, seen.changed()).await, Ok(Ok(()))) {
                break;
            }
        }
        let context = Context::current().unwrap_or_else(Context::background);
        Context { fresh: true, ..context }.scope(self.watch_row(&*kind, id, until, bound)).await
    }

    /// Looks at the row until it tells what the caller waits for.
    async fn watch_row(
        &self,
        kind: &dyn Kind,
        id: Uuid,
        until: Until,
        bound: Instant,
    ) -> Result<String, Problem> {
        let mut pause = Duration::from_millis(5);
        loop {
            let found = store::load(&self.db, id).await;
            let late = Instant::now() >= bound || self.stopping();
            match found {
                Ok(Some(saga)) if saga.kind != kind.name() => return Err(foreign()),
                Ok(Some(saga)) if saga.status.ended() => {
                    if let Progress::Ended(answer) = Progress::ended(&saga) {
                        return answer;
                    }
                }
                // Not ended yet, but it is known how it will.
                Ok(Some(saga)) if late && saga.status == Status::Undoing => {
                    return Err(problem(&saga));
                }
                Ok(Some(saga)) if saga.status == Status::Running => {
                    let past = kind.pivot().is_some_and(|pivot| saga.step > pivot);
                    if until == Until::Begun || (until == Until::Pivot && past) {
                        return Ok(saga.state);
                    }
                }
                // Past the bound it may be about to begin.
                Ok(None) if !late => return Err(gave_up()),
                Ok(_) | Err(_) => {}
            }
            if late {
                return Err(Problem::unavailable(
                    2,
                    "this takes longer than usual and goes on; ask again with the same key",
                ));
            }
            sleep_until(bound.min(Instant::now() + pause)).await;
            pause = (pause * 2).min(Duration::from_millis(250));
        }
    }
}

fn foreign() -> Problem {
    Problem::conflict("this key belongs to another operation")
}

/// Begins or finds a saga and drives it if nobody else does.
async fn start(
    engine: Engine,
    kind: Arc<dyn Kind>,
    id: Uuid,
    state: String,
    progress: watch::Sender<Progress>,
) {
    let owner = Uuid::new_v4().to_string();
    let first = StepKey::new(id, 0, kind.steps()[0].name);
    let began = engine.now();
    let mut attempt = 0;
    loop {
        let now = engine.now();
        let saga = local::renewed(
            &engine,
            Saga {
                id,
                kind: kind.name().to_owned(),
                version: kind.version(),
                round: 0,
                status: Status::Running,
                step: 0,
                state: state.clone(),
                error: None,
                attempt: 0,
                owner: Some(owner.clone()),
                due_at: now,
                created_at: now,
            },
        );
        let begun = match local::strike(&engine, first, Point::Step) {
            Ok(()) => local::begin(&engine, Arc::clone(&kind), saga).await,
            Err(crashed) => Err(crashed),
        };
        let ended = match begun {
            Ok(Begun::New(saga)) => {
                if local::strike(&engine, first, Point::Recorded).is_err() {
                    Progress::Dead
                } else {
                    return Drive::new(engine, kind, saga, progress).run().await;
                }
            }
            Ok(Begun::Found(saga)) => return found(engine, kind, saga, &owner, progress).await,
            Err(NotDone::Step(StepError::Undo(problem))) => Progress::Ended(Err(problem)),
            Err(NotDone::Step(StepError::Retry(reason))) => {
                attempt += 1;
                let pause = engine.settings.pause(attempt);
                let end = began.saturating_add(millis(engine.settings.give_up_after));
                tracing::warn!(saga = %id, kind = kind.name(), attempt, reason, "not begun");
                if !engine.stopping() && engine.now().saturating_add(millis(pause)) < end {
                    tokio::time::sleep(pause).await;
                    continue;
                }
                Progress::Ended(Err(gave_up()))
            }
            Err(NotDone::Lost) => Progress::Away,
            Err(NotDone::Crashed) => Progress::Dead,
        };
        progress.send_replace(ended);
        return;
    }
}

/// A saga with that id is there: tells its end, or drives it if nobody does.
async fn found(
    engine: Engine,
    wanted: Arc<dyn Kind>,
    saga: Saga,
    owner: &str,
    progress: watch::Sender<Progress>,
) {
    if saga.kind != wanted.name() {
        progress.send_replace(Progress::Ended(Err(foreign())));
        return;
    }
    if saga.status.ended() {
        progress.send_replace(Progress::ended(&saga));
        return;
    }
    let Some(kind) = engine.kind(&saga.kind, saga.version) else {
        progress.send_replace(Progress::Away);
        return;
    };
    if saga.owner.as_deref() == Some(owner) {
        // Begun by this very call, which did not hear of it.
        return Drive::new(engine, kind, saga, progress).run().await;
    }
    match recovery::claim(&engine, saga).await {
        Ok(Some(saga)) => Drive::new(engine, kind, saga, progress).run().await,
        Ok(None) | Err(_) => drop(progress.send_replace(Progress::Away)),
    }
}
