//! `GET /services`: all there are, at once or after the next change.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Shared;
use axum::response::IntoResponse;
use rest::{Json, Problem, Query};
use serde::Deserialize;
use tokio::time::timeout;
use utoipa::IntoParams;

use crate::model::Registry;
use crate::rest::NO_STORE;
use crate::rest::bodies::{Group, Services};
use crate::state::State;

/// The longest a watcher waits for an answer.
const LONGEST: Duration = Duration::from_secs(30);

/// What a watcher has seen.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct Watch {
    /// The index of the last answer: wait, at most 30 s, until it is another.
    watch: Option<u64>,
}

/// Lists every service and its instances.
#[utoipa::path(
    get, path = "/services", tag = "discovery", params(Watch),
    responses((status = 200, body = Services))
)]
pub(super) async fn list(
    Shared(state): Shared<Arc<State>>,
    Query(Watch { watch }): Query<Watch>,
) -> Result<impl IntoResponse, Problem> {
    if let Some(seen) = watch {
        let busy = |_| Problem::unavailable(1, "too many wait already");
        let _place = state.watchers.try_acquire().map_err(busy)?;
        tokio::select! {
            // Whether it changed or not, the answer is the present list.
            changed = timeout(LONGEST, state.changed_from(seen)) => drop(changed),
            () = state.stopping.cancelled() => {}
        }
    }
    Ok(([NO_STORE], Json(state.read(snapshot))))
}

fn snapshot(registry: &Registry) -> Services {
    let services = registry.list().map(|(name, instances)| Group {
        service_name: name.to_owned(),
        instances: instances.map(Into::into).collect(),
    });
    Services {
        index: registry.index(),
        warming: registry.is_warming(),
        services: services.collect(),
    }
}
