//! What happens elsewhere and matters here at once: sessions and accounts that end, and changes
//! that drop cached answers.
//!
//! Every gateway reads the log for itself, from as far back as an access token can live. Until it
//! has read what was there when it began, it is not ready.

use std::sync::Arc;
use std::time::Duration;

use contracts::events::{AccountDeleted, Event, SessionRevoked};
use events::{From, Log, Recorded};
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::shared::Shared;

/// The pause before the log is asked for its end again.
const AGAIN: Duration = Duration::from_millis(200);

/// Follows the log until the process stops.
pub(crate) async fn follow(shared: Arc<Shared>, log: Log, stopping: CancellationToken) {
    let back = Duration::from_millis(shared.settings.access_token_ms);
    let mut events = log.live(From::Ago(back));
    let following = async {
        let end = end_of(&log, back).await;
        if end == 0 {
            shared.ready.caught_up();
        }
        while let Some(event) = events.next().await {
            apply(&shared, &event);
            if event.seq >= end {
                shared.ready.caught_up();
            }
        }
    };
    tokio::select! {
        () = following => tracing::error!("the event log ended"),
        () = stopping.cancelled() => {}
    }
}

/// The number of the last event there is now; 0 when it is too old to be read.
async fn end_of(log: &Log, back: Duration) -> i64 {
    loop {
        match last(log).await {
            Ok(None) => return 0,
            Ok(Some(event)) if event.at < now_less(back) => return 0,
            Ok(Some(event)) => return event.seq,
            Err(error) => tracing::warn!(%error, "the event log cannot be read"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn last(log: &Log) -> Result<Option<Recorded>, data::DataError> {
    let head = log.head().await?;
    Ok(log.read_after(head.saturating_sub(1), 1).await?.pop())
}

fn now_less(back: Duration) -> i64 {
    wall_clock::now().saturating_sub(i64::try_from(back.as_millis()).unwrap_or(i64::MAX))
}

fn apply(shared: &Shared, event: &Recorded) {
    match &*event.name {
        SessionRevoked::NAME => match event.decode::<SessionRevoked>() {
            Ok(revoked) => {
                shared.keys.verifier.revoke_session(&revoked.session, revoked.until);
                shared.sockets.close_session(&revoked.session);
            }
            Err(error) => tracing::error!(%error, event = event.seq, "unreadable event"),
        },
        AccountDeleted::NAME => match event.decode::<AccountDeleted>() {
            Ok(deleted) => {
                shared.keys.verifier.revoke_user(deleted.user_id, event.at);
                shared.sockets.close_account(deleted.user_id);
            }
            Err(error) => tracing::error!(%error, event = event.seq, "unreadable event"),
        },
        _ => {}
    }
    if let Some(cache) = &shared.cache {
        cache.invalidate(&shared.table.invalidations, &event.name, &event.key);
    }
}
