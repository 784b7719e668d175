//! What happened, past tense and versioned. Each event has a `NAME` and a `key`: events with one
//! key are handled in the order in which they were emitted.

use serde::{Deserialize, Serialize};

use crate::Kind;
use crate::ids::{ItemId, PaletteId, UserId};

/// What every event has.
pub trait Event: Serialize + for<'de> Deserialize<'de> {
    /// `noun.verb_in_past_tense.vN`.
    const NAME: &'static str;

    /// What keeps its order.
    fn key(&self) -> String;
}

macro_rules! event {
    ($type:ty, $name:literal, |$event:ident| $key:expr) => {
        impl Event for $type {
            const NAME: &'static str = $name;

            fn key(&self) -> String {
                let $event = self;
                $key
            }
        }
    };
}

/// An account was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccountCreated {
    /// Whose.
    pub user_id: UserId,
    /// Under which name.
    pub username: String,
}
event!(AccountCreated, "account.created.v1", |e| format!("user:{}", e.user_id));

/// An account was deleted: its tokens are void, its content is being removed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccountDeleted {
    /// Whose.
    pub user_id: UserId,
}
event!(AccountDeleted, "account.deleted.v1", |e| format!("user:{}", e.user_id));

/// A session ended before its tokens did: logged out, stolen, or its account deleted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionRevoked {
    /// Whose.
    pub user_id: UserId,
    /// Which: the `sid` of its tokens.
    pub session: String,
    /// When its last access token expires, in milliseconds since 1970 UTC.
    pub until: i64,
}
event!(SessionRevoked, "session.revoked.v1", |e| format!("user:{}", e.user_id));

/// A palette as events carry it: the public JSON, without likes and views.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaletteSnapshot {
    /// Which.
    pub palette_id: PaletteId,
    /// Whose.
    pub user_id: UserId,
    /// `#RRGGBB` or `#RRGGBBAA`, upper case.
    pub color_codes: Vec<String>,
    /// Under which heading.
    pub category: Option<String>,
    /// Its title.
    pub name: Option<String>,
    /// Milliseconds since 1970 UTC.
    pub created_at: i64,
    /// Milliseconds since 1970 UTC.
    pub updated_at: i64,
}

/// A palette can be seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaletteCreated {
    /// It.
    pub palette: PaletteSnapshot,
}
event!(PaletteCreated, "palette.created.v1", |e| format!("palette:{}", e.palette.palette_id));

/// A palette was changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaletteUpdated {
    /// As it is now.
    pub palette: PaletteSnapshot,
}
event!(PaletteUpdated, "palette.updated.v1", |e| format!("palette:{}", e.palette.palette_id));

/// A palette is gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaletteDeleted {
    /// Which.
    pub palette_id: PaletteId,
    /// Whose it was.
    pub user_id: UserId,
}
event!(PaletteDeleted, "palette.deleted.v1", |e| format!("palette:{}", e.palette_id));

/// An item's likes or views changed. Bursts come as one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PopularityChanged {
    /// What it is.
    pub kind: Kind,
    /// Which.
    pub item_id: ItemId,
    /// Under which heading.
    pub category: Option<String>,
    /// Likes now.
    pub likes: i64,
    /// Views now.
    pub views: i64,
    /// Grows with every change of the item: of two events, the one with the larger is the newer.
    #[serde(default)]
    pub version: i64,
}
event!(PopularityChanged, "popularity.changed.v1", |e| format!("{}:{}", e.kind, e.item_id));
