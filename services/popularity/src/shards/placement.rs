//! What an instance believes of where slots are, and looking again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use data::DataError;
use tasks::Tasks;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{Shard, Shards};
use crate::model::slots::{SLOTS, Slot};
use crate::store::Standings;
use crate::store::slots::State;

/// How long a shard may take to say what it holds.
const ANSWER: Duration = Duration::from_secs(1);
/// How often it is asked without cause.
const EVERY: Duration = Duration::from_secs(1);

/// Where slots are, as it was last seen.
#[derive(Clone, Debug)]
pub(crate) struct Placement {
    /// What each shard says; none from one that never answered.
    said: Vec<Option<Arc<Standings>>>,
    /// The shard that holds each slot.
    holders: Vec<Option<usize>>,
}

impl Placement {
    pub(super) fn unknown(shards: usize) -> Self {
        Self { said: vec![None; shards], holders: vec![None; SLOTS.into()] }
    }

    fn new(said: Vec<Option<Arc<Standings>>>) -> Self {
        let holder = |slot: Slot| {
            let claims = said.iter().enumerate().filter_map(|(number, said)| {
                let standing = said.as_ref()?.of(slot);
                standing.state.is_read().then_some((standing.epoch, number))
            });
            // A slot that has just changed hands is claimed by both for a moment.
            claims.max().map(|(_, number)| number)
        };
        let holders = Slot::all().map(holder).collect();
        Self { said, holders }
    }

    /// The shard that holds a slot.
    pub(crate) fn holder(&self, slot: Slot) -> Option<usize> {
        self.holders[slot.index()]
    }

    /// Whether every slot is held by a shard that is known.
    pub(crate) fn is_complete(&self) -> bool {
        self.holders.iter().all(Option::is_some)
    }

    /// What a shard says.
    pub(crate) fn said(&self, shard: usize) -> Option<&Arc<Standings>> {
        self.said.get(shard)?.as_ref()
    }

    /// The epoch of a shard's slots.
    pub(crate) fn epoch(&self, shard: usize) -> Option<i64> {
        self.said(shard).map(|said| said.epoch)
    }

    /// Whether the shard has rows that are not to be shown.
    pub(crate) fn must_sift(&self, shard: usize) -> bool {
        self.said(shard).is_none_or(|said| !said.all_read())
    }

    /// Whether a slot is about to be taken up elsewhere.
    pub(crate) fn is_fenced(&self, slot: Slot) -> bool {
        let said = self.holder(slot).and_then(|number| self.said(number));
        said.is_some_and(|said| said.of(slot).state == State::Fenced)
    }

    fn is_as(&self, said: &[Option<Arc<Standings>>]) -> bool {
        let epoch = |said: &Option<Arc<Standings>>| said.as_ref().map(|said| said.epoch);
        self.said.iter().map(epoch).eq(said.iter().map(epoch))
    }
}

impl Shards {
    /// Asks every shard what it holds; who does not answer is believed to hold what it held. Of
    /// all who call at once one asks. Answers whether something is different now.
    pub(crate) async fn look_again(&self) -> bool {
        let (before, looks) = (self.placement(), self.0.looks.load(Ordering::SeqCst));
        let _alone = self.0.looking.lock().await;
        let now = self.placement();
        // Another began after this call did, and is through.
        if self.0.looks.load(Ordering::SeqCst) > looks {
            return !Arc::ptr_eq(&before, &now);
        }
        self.0.looks.fetch_add(1, Ordering::SeqCst);
        let asked = self.all().iter().map(|shard| async {
            match timeout(ANSWER, ask(shard)).await {
                Ok(Ok(said)) => {
                    shard.answers(true);
                    Some(said)
                }
                Ok(Err(_)) | Err(_) => {
                    shard.answers(false);
                    now.said(shard.number).cloned()
                }
            }
        });
        let said = futures::future::join_all(asked).await;
        if now.is_as(&said) {
            return false;
        }
        self.0.placement.store(Arc::new(Placement::new(said)));
        true
    }

    /// The epochs of all shards, from their primaries.
    ///
    /// # Errors
    /// When one does not answer.
    pub(crate) async fn epochs(&self) -> Result<Vec<i64>, DataError> {
        let asked = self.all().iter().map(|shard| async { Ok(ask(shard).await?.epoch) });
        futures::future::try_join_all(asked).await
    }

    /// Looks again every second, so that an instance to which nobody writes notices too; `changed`
    /// is called when something moved or a shard came back.
    pub(crate) fn keep_looking(&self, tasks: &Tasks, changed: impl Fn() + Clone + Send + 'static) {
        let (shards, stopping) = (self.clone(), tasks.stopping());
        tasks.spawn_loop("popularity placement", move || {
            let (shards, stopping, changed) = (shards.clone(), stopping.clone(), changed.clone());
            async move {
                let mut ticks = interval(EVERY);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                let away = || shards.all().iter().map(Shard::is_away).collect::<Vec<_>>();
                loop {
                    tokio::select! {
                        () = stopping.cancelled() => return,
                        _ = ticks.tick() => {}
                    }
                    let before = away();
                    if shards.look_again().await || away() != before {
                        changed();
                    }
                }
            }
        });
    }
}

async fn ask(shard: &Shard) -> Result<Arc<Standings>, DataError> {
    let store = shard.store()?;
    store.look(&store.db().read_primary()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_known_at_first() {
        let placement = Placement::unknown(2);
        assert!(!placement.is_complete() && placement.must_sift(1));
        assert_eq!(placement.holder(Slot::from(7)), None);
        assert!(!placement.is_fenced(Slot::from(7)));
    }
}
