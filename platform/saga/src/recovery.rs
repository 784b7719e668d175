//! The recovery worker: takes up sagas that are due and that nobody drives, and forgets those
//! that ended long ago.

use std::sync::Arc;
use std::time::Duration;

use data::{DataError, Tx};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use uuid::Uuid;

use crate::drive::Drive;
use crate::engine::Engine;
use crate::settings::{Settings, millis};
use crate::store::{self, Saga};
use crate::wait::Progress;

const HOUSEKEEPING: Duration = Duration::from_secs(600);
const PRUNE_BATCH: i64 = 1000;

/// Looks for sagas until the process wants to end.
pub(crate) async fn run(engine: Engine) {
    let free = Arc::new(Semaphore::new(engine.settings.recover_at_once.max(1)));
    let look = || take_up(&engine, &free);
    patrol(&engine.settings, look, || clean(&engine), || engine.stop()).await;
}

/// Looks again and again for what somebody left behind, and now and then cleans up, until `stop`.
pub(crate) async fn patrol<L, C, S>(
    settings: &Settings,
    look: impl Fn() -> L,
    clean: impl Fn() -> C,
    stop: impl Fn() -> S,
) where
    L: Future<Output = Result<(), DataError>>,
    C: Future<Output = Result<(), DataError>>,
    S: Future<Output = ()>,
{
    let mut cleaned: Option<Instant> = None;
    loop {
        if let Err(error) = look().await {
            tracing::warn!(%error, "what was left behind cannot be looked for, trying again");
        }
        if cleaned.is_none_or(|at| at.elapsed() >= HOUSEKEEPING) {
            cleaned = Some(Instant::now());
            if let Err(error) = clean().await {
                tracing::warn!(%error, "what ended could not be forgotten");
            }
        }
        // Jitter, so that instances that started together do not look together.
        let pause = settings.recover_every.mul_f64(rand::random_range(0.8..=1.2));
        tokio::select! {
            () = stop() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Drives what is due, as far as there is room.
pub(crate) async fn take_up(engine: &Engine, free: &Arc<Semaphore>) -> Result<(), DataError> {
    let kinds: Vec<(&str, i64)> = engine.kinds.keys().copied().collect();
    let due = store::due(&engine.db, &kinds, engine.now(), free.available_permits()).await?;
    for saga in due {
        let Ok(permit) = Arc::clone(free).try_acquire_owned() else { break };
        let Some(kind) = engine.kind(&saga.kind, saga.version) else { continue };
        if let Some(saga) = claim(engine, saga).await? {
            metrics::counter!("saga_recovered_total", "kind" => kind.name()).increment(1);
            let (progress, _) = watch::channel(Progress::Starting);
            let drive = Drive::new(engine.clone(), kind, saga, progress);
            engine.spawn(async move {
                drive.run().await;
                drop(permit);
            });
        }
    }
    Ok(())
}

/// Takes the lease of a saga that is due, for a new driver. None: somebody else has it.
pub(crate) async fn claim(engine: &Engine, saga: Saga) -> Result<Option<Saga>, DataError> {
    let now = engine.now();
    if saga.due_at > now {
        return Ok(None);
    }
    let owner = Uuid::new_v4().to_string();
    let until = now.saturating_add(millis(engine.settings.lease));
    engine
        .db
        .write(move |tx: &Tx| {
            Box::pin(async move {
                if !store::claim(tx, &saga, &owner, until, now).await? {
                    return Ok(None);
                }
                // What was found may have come from a replica: go on from what is there now.
                store::find(tx, saga.id).await
            })
        })
        .await
}

/// Forgets what ended long ago, and tells of what this version does not know.
async fn clean(engine: &Engine) -> Result<(), DataError> {
    let before = engine.now().saturating_sub(millis(engine.settings.keep));
    while store::prune(&engine.db, before, PRUNE_BATCH).await? == PRUNE_BATCH as u64 {}
    for (kind, version, count) in store::open(&engine.db).await? {
        let known = engine.kinds.keys().any(|(name, v)| *name == kind && *v == version);
        if !known {
            tracing::warn!(kind, version, count, "sagas of a kind that is not known here wait");
        }
        metrics::gauge!("saga_open", "kind" => kind).set(count as f64);
    }
    Ok(())
}
