//! An entry of the log: something that happened in a room.

use contracts::ids::{MessageId, RoomId, UserId};
use data::DataError;

use super::RoomKind;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Message,
    Edited,
    Deleted,
    Reacted,
    Unreacted,
    RoomCreated,
    RoomUpdated,
    RoomDeleted,
    Joined,
    Left,
    Read,
}

impl What {
    const ALL: [Self; 11] = [
        Self::Message,
        Self::Edited,
        Self::Deleted,
        Self::Reacted,
        Self::Unreacted,
        Self::RoomCreated,
        Self::RoomUpdated,
        Self::RoomDeleted,
        Self::Joined,
        Self::Left,
        Self::Read,
    ];

    /// As the log keeps it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Edited => "message.edited",
            Self::Deleted => "message.deleted",
            Self::Reacted => "reaction.added",
            Self::Unreacted => "reaction.removed",
            Self::RoomCreated => "created",
            Self::RoomUpdated => "updated",
            Self::RoomDeleted => "deleted",
            Self::Joined => "joined",
            Self::Left => "left",
            Self::Read => "read",
        }
    }

    pub(crate) fn parse(name: &str) -> Result<Self, DataError> {
        Self::ALL
            .into_iter()
            .find(|what| what.name() == name)
            .ok_or_else(|| DataError::other(format!("an entry of kind `{name}`")))
    }
}

/// An entry, with what it points to as that is now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// Its place among everything that happens here; grows, with gaps.
    pub(crate) position: i64,
    pub(crate) room: RoomId,
    pub(crate) kind: RoomKind,
    pub(crate) what: What,
    /// Who did it, and what they are called now.
    pub(crate) user: UserId,
    pub(crate) username: String,
    pub(crate) at: i64,
    /// Of a message, or of the one it points to.
    pub(crate) seq: Option<i64>,
    /// Of a message, or of the one it points to; else the room's new name, or the emoji.
    pub(crate) text: String,
    pub(crate) client_id: Option<String>,
    pub(crate) message: Option<MessageId>,
    /// Who joined or left.
    pub(crate) member: Option<(UserId, String)>,
    /// Who made up the room when it was created or deleted.
    pub(crate) members: Vec<UserId>,
    pub(crate) edited_at: Option<i64>,
    pub(crate) deleted: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for what in What::ALL {
            assert_eq!(What::parse(what.name()), Ok(what));
        }
        assert!(What::parse("Message").is_err());
    }
}
