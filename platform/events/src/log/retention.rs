//! Forgets old events, so that the log stays bounded.

use std::time::Duration;

use data::Database;

use super::table;

const EVERY: Duration = Duration::from_secs(600);
/// Deleted at once: a few milliseconds of the writer's time.
const BATCH: u64 = 2000;

/// Prunes for ever. Processes that share the log may do so at the same time.
pub(super) async fn run(db: Database, keep: Duration) {
    loop {
        tokio::time::sleep(EVERY).await;
        if let Err(error) = prune(&db, keep).await {
            tracing::warn!(%error, "old events could not be removed");
        }
    }
}

pub(super) async fn prune(db: &Database, keep: Duration) -> Result<(), data::DataError> {
    let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
    let before = crate::now().saturating_sub(keep);
    while table::prune(db, before, BATCH as i64).await? == BATCH {}
    Ok(())
}
