//! Housekeeping: removes sessions, refresh tokens and attempts whose time is over.

use std::time::Duration;

use data::Database;
use rest::Timestamp;
use tasks::Tasks;

use crate::store;

/// How often. Nothing depends on it but space: what has run out is not looked at.
const EVERY: Duration = Duration::from_secs(10 * 60);

/// Starts the loop. It may run in every instance.
pub(crate) fn start(db: Database, tasks: &Tasks) {
    let stopping = tasks.stopping();
    tasks.spawn_loop("accounts housekeeping", move || {
        let (db, stopping) = (db.clone(), stopping.clone());
        async move {
            loop {
                tokio::select! {
                    () = stopping.cancelled() => return,
                    () = tokio::time::sleep(EVERY) => tidy(&db).await,
                }
            }
        }
    });
}

async fn tidy(db: &Database) {
    loop {
        match store::prune(db, Timestamp::now().0).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(%error, "expired sessions could not be removed; trying again later");
                return;
            }
        }
    }
}
