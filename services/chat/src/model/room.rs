//! A room: a chat or a lobby.

use contracts::ids::{PaletteId, RoomId};
use data::DataError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a room is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RoomKind {
    /// A small group; its members are known to the accounts as well.
    Chat,
    /// A channel around a palette or a topic.
    Lobby,
}

impl RoomKind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Lobby => "lobby",
        }
    }

    pub(crate) fn parse(name: &str) -> Result<Self, DataError> {
        [Self::Chat, Self::Lobby]
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| DataError::other(format!("a room of kind `{name}`")))
    }
}

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Renames and deletes the room, and removes members. Each room with members has one.
    Owner,
    /// Speaks, adds members, leaves.
    Member,
}

impl Role {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Member => "member",
        }
    }

    pub(crate) fn parse(name: &str) -> Self {
        if name == Self::Owner.name() { Self::Owner } else { Self::Member }
    }
}

/// A room as it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Room {
    pub(crate) id: RoomId,
    pub(crate) kind: RoomKind,
    pub(crate) name: String,
    pub(crate) palette: Option<PaletteId>,
    pub(crate) topic: Option<String>,
    pub(crate) private: bool,
    pub(crate) invite_code: Option<String>,
    pub(crate) last_seq: i64,
    pub(crate) members: i64,
}
