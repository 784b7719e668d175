//! Drops what misses its heartbeats, at the moment it does; keeps in touch with other registries.

use std::sync::Arc;
use std::time::Duration;

use tasks::Tasks;
use tokio::time::{Instant, sleep_until};

use crate::bucket::Bucket;
use crate::state::State;

/// The longest sleep. Shorter than any life that can begin meanwhile, so none ends unnoticed.
const NAP: Duration = Duration::from_secs(1);

pub(crate) fn start(state: &Arc<State>, bucket: Option<Bucket>, tasks: &Tasks) {
    if let Some(bucket) = bucket {
        let (state, stopping, bucket) = (state.clone(), tasks.stopping(), Arc::new(bucket));
        tasks.spawn_loop("registry bucket", move || {
            let (state, stopping, bucket) = (state.clone(), stopping.clone(), bucket.clone());
            async move {
                tokio::select! {
                    () = bucket.agree(&state) => {}
                    () = stopping.cancelled() => {}
                }
            }
        });
    }
    let (state, stopping) = (state.clone(), tasks.stopping());
    tasks.spawn_loop("registry expiry", move || {
        let (state, stopping) = (state.clone(), stopping.clone());
        async move {
            tokio::select! {
                () = expire(&state) => {}
                () = stopping.cancelled() => {}
            }
        }
    });
}

async fn expire(state: &State) {
    loop {
        let nap = Instant::now() + NAP;
        let next = state.read(|registry| registry.next_expiry());
        sleep_until(next.map_or(nap, |at| state.instant(at).min(nap))).await;
        state.change(|registry, now| registry.expire(now));
        let (instances, tickets) = state.read(|registry| {
            (registry.list().map(|(_, i)| i.count()).sum::<usize>(), registry.open_tickets())
        });
        metrics::gauge!("discovery_instances").set(instances as f64);
        metrics::gauge!("discovery_open_tickets").set(tickets as f64);
    }
}
