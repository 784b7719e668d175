//! What the sockets are told: new palettes at once, changes of popularity gathered.
//!
//! Every instance feeds its own sockets from the log, so it does not matter which instance a
//! client reached nor which one took the like.
//!
//! Invariants: a frame is encoded once, whoever reads it; of the changes of one palette within the
//! interval the newest is sent, and the last one always; what waits is bounded ([`MOST_WAITING`]).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::response::Response;
use contracts::Kind;
use contracts::events::{PaletteSnapshot, PopularityChanged};
use contracts::ids::PaletteId;
use data::DataError;
use fanout::{Hub, Upgrade};
use serde::Serialize;
use tasks::Tasks;
use telemetry::Context;
use tokio::sync::Notify;

use crate::hydrate::PopularPalette;
use crate::model::heading;
use crate::settings::Settings;
use crate::shards::Shards;

/// Changes of so many palettes wait; then the log is read no further until they are sent.
const MOST_WAITING: usize = 65_536;
/// The ranks of more palettes than this are looked up in one list of the whole top.
const ONE_BY_ONE: usize = 8;

/// What a socket listens to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Topic {
    All,
    Heading(Arc<str>),
}

impl Topic {
    fn heading(category: &str) -> Self {
        Self::Heading(heading(category).into())
    }
}

/// The sockets of one process, and what waits for them; cheap to clone.
#[derive(Clone)]
pub(crate) struct Feed {
    hub: Hub<Topic>,
    waiting: Arc<Waiting>,
}

#[derive(Default)]
struct Waiting {
    changes: Mutex<HashMap<i64, PopularityChanged>>,
    more: Notify,
    room: Notify,
}

/// What a socket is sent.
#[derive(Serialize)]
#[serde(tag = "type")]
enum Message {
    #[serde(rename = "palette.created")]
    Created { palette: PopularPalette },
    #[serde(rename = "popularity")]
    Changed { palette_id: PaletteId, likes: i64, views: i64, rank: Option<u64> },
}

impl Feed {
    /// Starts feeding; at the end the sockets are told to connect again.
    pub(crate) fn start(shards: Shards, settings: &Settings, tasks: &Tasks) -> Self {
        let hub = Hub::new(fanout::Settings {
            name: "popularity",
            max_sockets: settings.max_sockets,
            // Nobody is listened to.
            max_message: 4 << 10,
            ..fanout::Settings::default()
        });
        let feed = Self { hub, waiting: Arc::default() };
        let (this, every, stopping) = (feed.clone(), settings.coalesce(), tasks.stopping());
        tasks.spawn_loop("popularity feed", move || {
            let (this, shards, stopping) = (this.clone(), shards.clone(), stopping.clone());
            // From the primary: the ranks belong to changes that a replica may not have yet.
            let context = Context { fresh: true, ..Context::background() };
            context.scope(async move {
                tokio::select! {
                    () = stopping.cancelled() => this.hub.drain().await,
                    () = this.send_all(&shards, every) => {}
                }
            })
        });
        feed
    }

    /// Makes a request a socket that hears of all palettes, or of those of one category.
    pub(crate) fn join(&self, upgrade: Upgrade, category: Option<String>) -> Response {
        let topic = category.map_or(Topic::All, |category| Topic::heading(&category));
        self.hub.join(upgrade, topic, ())
    }

    /// Tells of a new palette.
    pub(crate) fn created(&self, palette: PaletteSnapshot) {
        if self.hub.sockets() > 0 {
            let category = palette.category.clone();
            self.publish(category, &Message::Created { palette: palette.into() });
        }
    }

    /// Tells, soon, of a palette's new popularity. Waits while too many others wait.
    pub(crate) async fn changed(&self, change: PopularityChanged) {
        if self.hub.sockets() == 0 {
            return;
        }
        loop {
            let room = self.waiting.room.notified();
            if self.waiting.put(&change) {
                return self.waiting.more.notify_one();
            }
            room.await;
        }
    }

    async fn send_all(&self, shards: &Shards, every: Duration) {
        loop {
            self.waiting.more.notified().await;
            let changes = std::mem::take(&mut *self.waiting.changes());
            self.waiting.room.notify_waiters();
            let changes: Vec<PopularityChanged> = changes.into_values().collect();
            let ranks = ranks(shards, &changes).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "popularity is sent without ranks");
                Vec::new()
            });
            let ranks = ranks.into_iter().chain(std::iter::repeat(None));
            for (change, rank) in changes.into_iter().zip(ranks) {
                let PopularityChanged { item_id, category, likes, views, .. } = change;
                let palette_id = PaletteId::new(item_id.get());
                self.publish(category, &Message::Changed { palette_id, likes, views, rank });
            }
            tokio::time::sleep(every).await;
        }
    }

    fn publish(&self, category: Option<String>, message: &Message) {
        let frame = match serde_json::to_string(message) {
            Ok(text) => fanout::Frame::text(&text),
            Err(error) => return tracing::error!(%error, "a message cannot be written as JSON"),
        };
        if let Some(category) = category {
            self.hub.publish(&Topic::heading(&category), frame.clone());
        }
        self.hub.publish(&Topic::All, frame);
    }
}

impl Waiting {
    fn changes(&self) -> MutexGuard<'_, HashMap<i64, PopularityChanged>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False if there is no room.
    fn put(&self, change: &PopularityChanged) -> bool {
        let mut changes = self.changes();
        let id = change.item_id.get();
        let full = changes.len() >= MOST_WAITING;
        match changes.get_mut(&id) {
            Some(waiting) if waiting.version >= change.version => {}
            Some(waiting) => *waiting = change.clone(),
            None if full => return false,
            None => drop(changes.insert(id, change.clone())),
        }
        true
    }
}

/// The rank of each palette by likes of all time; none below the ten thousandth.
async fn ranks(
    shards: &Shards,
    changes: &[PopularityChanged],
) -> Result<Vec<Option<u64>>, DataError> {
    if changes.len() > ONE_BY_ONE {
        let depth = shards.depth(Kind::Palette).await?;
        let rank = |change: &PopularityChanged| depth.rank(change.likes, change.item_id.get());
        return Ok(changes.iter().map(rank).collect());
    }
    let mut ranks = Vec::with_capacity(changes.len());
    for change in changes {
        ranks.push(shards.rank(Kind::Palette, change.likes, change.item_id.get()).await?);
    }
    Ok(ranks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(id: i64, likes: i64, version: i64) -> PopularityChanged {
        let (kind, item_id) = (Kind::Palette, id.into());
        PopularityChanged { kind, item_id, category: None, likes, views: 0, version }
    }

    #[test]
    fn the_newest_change_of_a_palette_waits() {
        let waiting = Waiting::default();
        assert!(waiting.put(&change(1, 5, 2)));
        assert!(waiting.put(&change(1, 4, 1)), "one that comes late changes nothing");
        assert_eq!(waiting.changes()[&1].likes, 5);
        assert!(waiting.put(&change(1, 6, 3)));
        assert_eq!(waiting.changes()[&1].likes, 6);
    }

    #[test]
    fn what_waits_is_bounded() {
        let waiting = Waiting::default();
        let most = i64::try_from(MOST_WAITING).unwrap();
        assert!((0..most).all(|id| waiting.put(&change(id, 1, 1))));
        assert!(!waiting.put(&change(most, 1, 1)));
        assert!(waiting.put(&change(0, 2, 2)), "those that wait already are kept up to date");
    }
}
