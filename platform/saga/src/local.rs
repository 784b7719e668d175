//! The transactions of a driver: effect and record together.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use data::{DataError, Database, Tx};
use futures::FutureExt;
use rest::Problem;

use crate::engine::Engine;
use crate::faults::Point;
use crate::kind::{Kind, Place};
use crate::step::{StepError, StepKey};
use crate::store::{self, Fence, Saga, Status};

/// Why a transaction was rolled back.
#[derive(Debug)]
pub(crate) enum NotDone {
    Step(StepError),
    /// The record was not where this driver left it.
    Lost,
    /// A test wants it dead.
    Crashed,
}

impl From<DataError> for NotDone {
    fn from(error: DataError) -> Self {
        Self::Step(error.into())
    }
}

impl From<StepError> for NotDone {
    fn from(error: StepError) -> Self {
        Self::Step(error)
    }
}

/// What [`begin`] found.
pub(crate) enum Begun {
    /// The saga is new, and stands as this says.
    New(Saga),
    /// It was there.
    Found(Saga),
}

/// Writes a saga that has not begun, with its first step if that is local; or finds it.
pub(crate) async fn begin(
    engine: &Engine,
    kind: Arc<dyn Kind>,
    saga: Saga,
) -> Result<Begun, NotDone> {
    let worker = engine.clone();
    engine
        .db
        .write(move |tx: &Tx| {
            Box::pin(async move {
                let mut saga = saga;
                if !store::insert(tx, &saga, saga.created_at).await? {
                    let Some(found) = store::find(tx, saga.id).await? else {
                        // Forgotten between the two statements.
                        return Err(
                            StepError::Retry("the saga has just been forgotten".into()).into()
                        );
                    };
                    saga.round = found.round + 1;
                    if !may_begin_anew(&found, &saga)
                        || !store::begin_anew(tx, &saga, saga.created_at).await?
                    {
                        return Ok(Begun::Found(found));
                    }
                }
                if kind.steps()[0].place == Place::Local {
                    let fence = fence(&saga);
                    saga = act(&worker, tx, &kind, saga, &fence).await?;
                }
                Ok(Begun::New(saga))
            })
        })
        .await
}

/// An operation that was undone only because a service was away may be asked for again.
fn may_begin_anew(found: &Saga, wanted: &Saga) -> bool {
    let away = |problem: Problem| matches!(problem.status().as_u16(), 429 | 503 | 504);
    found.status == Status::Undone
        && found.kind == wanted.kind
        && found.error.as_deref().and_then(|e| serde_json::from_str(e).ok()).is_some_and(away)
}

/// Does the next step, a local one.
pub(crate) async fn step(
    engine: &Engine,
    kind: Arc<dyn Kind>,
    saga: Saga,
    fence: Fence,
) -> Result<Saga, NotDone> {
    let worker = engine.clone();
    engine
        .db
        .write(move |tx: &Tx| Box::pin(async move { act(&worker, tx, &kind, saga, &fence).await }))
        .await
}

async fn act(
    engine: &Engine,
    tx: &Tx,
    kind: &Arc<dyn Kind>,
    saga: Saga,
    fence: &Fence,
) -> Result<Saga, NotDone> {
    let n = saga.step;
    let key = StepKey::new(saga.id, saga.round, kind.steps()[n].name);
    let state = caught(kind.act(n, Some(tx), key, &saga.state)).await?;
    strike(engine, key, Point::Effect)?;
    let next = after_step(engine, &**kind, saga, state);
    keep(engine, tx, fence, next).await
}

/// Undoes the last step that is not undone yet, a local one.
pub(crate) async fn undo(
    engine: &Engine,
    kind: Arc<dyn Kind>,
    saga: Saga,
    fence: Fence,
) -> Result<Saga, NotDone> {
    let worker = engine.clone();
    engine
        .db
        .write(move |tx: &Tx| {
            Box::pin(async move {
                let n = saga.step - 1;
                let key = StepKey::new(saga.id, saga.round, kind.steps()[n].name);
                caught(kind.undo(n, Some(tx), key, &saga.state)).await?;
                strike(&worker, key, Point::UndoEffect)?;
                let next = after_undo(&worker, &*kind, saga);
                keep(&worker, tx, &fence, next).await
            })
        })
        .await
}

/// The saga once its next step is done.
pub(crate) fn after_step(engine: &Engine, kind: &dyn Kind, saga: Saga, state: String) -> Saga {
    let step = saga.step + 1;
    let done = step == kind.steps().len();
    let status = if done { Status::Done } else { Status::Running };
    renewed(engine, Saga { step, status, state, attempt: 0, ..saga })
}

/// The saga once its last step is undone.
pub(crate) fn after_undo(engine: &Engine, kind: &dyn Kind, saga: Saga) -> Saga {
    let from = saga.step - 1;
    renewed(engine, undoing(kind, Saga { attempt: 0, ..saga }, from))
}

/// The saga with the first `from` steps still to be undone, as far as they have an undo.
pub(crate) fn undoing(kind: &dyn Kind, saga: Saga, from: usize) -> Saga {
    let with_undo = kind.steps()[..from].iter().rposition(|shape| shape.undo.is_some());
    let step = with_undo.map_or(0, |n| n + 1);
    let status = if step == 0 { Status::Undone } else { Status::Undoing };
    Saga { step, status, ..saga }
}

/// The saga with its lease made longer.
pub(crate) fn renewed(engine: &Engine, saga: Saga) -> Saga {
    let due_at = engine.now().saturating_add(crate::settings::millis(engine.settings.lease));
    Saga { due_at, ..saga }
}

/// The place of a saga whose row is as `saga` says.
pub(crate) fn fence(saga: &Saga) -> Fence {
    Fence {
        id: saga.id,
        owner: saga.owner.clone().unwrap_or_default(),
        round: saga.round,
        status: saga.status,
        step: saga.step,
    }
}

async fn keep(engine: &Engine, tx: &Tx, fence: &Fence, next: Saga) -> Result<Saga, NotDone> {
    if store::record(tx, fence, &next, engine.now()).await? { Ok(next) } else { Err(NotDone::Lost) }
}

/// Records where the saga stands, without an effect. False: the fence did not hold.
pub(crate) async fn save(
    db: &Database,
    fence: Fence,
    saga: Saga,
    now: i64,
) -> Result<bool, DataError> {
    db.write(move |tx: &Tx| Box::pin(async move { store::record(tx, &fence, &saga, now).await }))
        .await
}

/// A panic of a step is a defect: refused.
pub(crate) async fn caught<T>(
    work: impl Future<Output = Result<T, StepError>>,
) -> Result<T, StepError> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!("a step panicked");
        Err(StepError::Undo(Problem::internal()))
    })
}

/// Dies here if a test says so.
pub(crate) fn strike(engine: &Engine, key: StepKey, point: Point) -> Result<(), NotDone> {
    engine.settings.strike(key.saga(), key.step(), point)
}
