//! Housekeeping: removes what was said in rooms that are deleted.

use std::time::Duration;

use data::{DataError, Tx};
use rest::Timestamp;
use tasks::Tasks;

use crate::store::{Store, remove_litter};

/// How often. Nothing depends on it: what is deleted is seen by nobody.
const EVERY: Duration = Duration::from_secs(60);
/// A room that was numbered and has not been seen for so long was given up.
const ABANDONED_AFTER_MS: i64 = 24 * 3_600 * 1_000;

/// Starts the loop. It may run in every instance.
pub(crate) fn start(store: &Store, tasks: &Tasks) {
    let (store, stopping) = (store.clone(), tasks.stopping());
    tasks.spawn_loop("chat housekeeping", move || {
        let (store, stopping) = (store.clone(), stopping.clone());
        async move {
            loop {
                tokio::select! {
                    () = stopping.cancelled() => return,
                    () = tokio::time::sleep(EVERY) => tidy(&store).await,
                }
            }
        }
    });
}

async fn tidy(store: &Store) {
    loop {
        match tidy_some(store).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(%error, "deleted rooms could not be removed; trying again later");
                return;
            }
        }
    }
}

/// False when there is nothing to do.
async fn tidy_some(store: &Store) -> Result<bool, DataError> {
    let before = Timestamp::now().0 - ABANDONED_AFTER_MS;
    let Some(litter) = store.litter(before).await? else { return Ok(false) };
    store.db().write(move |tx: &Tx| Box::pin(remove_litter(tx, litter))).await?;
    Ok(true)
}
