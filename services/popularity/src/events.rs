//! What popularity tells, and what it listens to.
//!
//! It emits `popularity.changed.v1`, one an item and batch, in the batch's transaction. One instance
//! handles `palette.deleted.v1`, a safety net below the palettes' own call. Every instance follows
//! the log, to keep its memory true and its sockets fed.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::events::{Consumer, From, Log, Recorded};
use contracts::Kind;
use contracts::events::{Event, PaletteCreated, PaletteDeleted, PopularityChanged};
use contracts::ids::ItemId;
use data::{DataError, Tx};
use futures::StreamExt;
use tasks::Tasks;

use crate::clock::Clock;
use crate::counts::Counts;
use crate::feed::Feed;
use crate::model::{Item, ItemState};
use crate::rank::Rankings;
use crate::store::Store;

/// Tells of the items that changed, in their transaction.
pub(crate) async fn emit_changed(
    tx: &Tx,
    items: &BTreeMap<Item, ItemState>,
) -> Result<(), DataError> {
    let event = |(item, state): (&Item, &ItemState)| {
        let event = PopularityChanged {
            kind: item.kind,
            item_id: ItemId::new(item.id),
            category: state.category.clone(),
            likes: state.likes,
            views: state.views,
            version: state.version,
        };
        (event.key(), event)
    };
    ::events::emit_all(tx, PopularityChanged::NAME, items.iter().map(event)).await
}

/// Withdraws palettes that were deleted, should the palettes' own call have got lost. Each shard
/// listens for itself and takes note of all of them, its own or not: so none is missed while its
/// slot moves.
pub(crate) fn consume(store: Store, clock: Clock, log: Log, tasks: &Tasks) {
    let db = store.db().clone();
    Consumer::new("popularity", db, log)
        .on(PaletteDeleted::NAME, move |tx, event| {
            let (store, clock) = (store.clone(), clock.clone());
            Box::pin(async move {
                let deleted: PaletteDeleted = event.decode()?;
                let item = Item { kind: Kind::Palette, id: deleted.palette_id.get() };
                Ok(store.bury(tx, item, clock.now()).await?)
            })
        })
        .spawn(tasks);
}

/// What an instance keeps in memory and has to keep true.
#[derive(Clone)]
pub(crate) struct Follower {
    pub(crate) counts: Arc<Counts>,
    pub(crate) rankings: Arc<Rankings>,
    pub(crate) feed: Feed,
}

impl Follower {
    /// Follows the log until the process stops.
    pub(crate) fn follow(self, log: Log, tasks: &Tasks) {
        let stopping = tasks.stopping();
        tasks.spawn_loop("popularity live", move || {
            let (this, stopping) = (self.clone(), stopping.clone());
            let names = [PopularityChanged::NAME, PaletteCreated::NAME, PaletteDeleted::NAME];
            let mut events = log.live_of(From::Now, &names);
            // What was remembered before the stream began may have been overtaken since.
            this.counts.forget();
            this.rankings.changed();
            async move {
                loop {
                    tokio::select! {
                        () = stopping.cancelled() => return,
                        event = events.next() => match event {
                            Some(event) => this.take(&event).await,
                            None => return,
                        },
                    }
                }
            }
        });
    }

    async fn take(&self, event: &Recorded) {
        let taken = match event.name.as_str() {
            PopularityChanged::NAME => match event.decode() {
                Ok(event) => {
                    self.changed(event).await;
                    Ok(())
                }
                Err(error) => Err(error),
            },
            PaletteCreated::NAME => event.decode().map(|event: PaletteCreated| {
                self.rankings.changed();
                self.feed.created(event.palette);
            }),
            PaletteDeleted::NAME => event.decode().map(|event: PaletteDeleted| {
                self.counts.gone(Item { kind: Kind::Palette, id: event.palette_id.get() });
                self.rankings.changed();
            }),
            _ => Ok(()),
        };
        if let Err(error) = taken {
            tracing::error!(event = event.name, id = event.id, %error, "an event cannot be read");
        }
    }

    async fn changed(&self, event: PopularityChanged) {
        let is_news = self.counts.heard(&event);
        self.rankings.changed();
        if is_news && event.kind == Kind::Palette {
            self.feed.changed(event).await;
        }
    }
}
