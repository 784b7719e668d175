//! What clients are answered.

use contracts::ids::{MessageId, PaletteId, RoomId, UserId};
use rest::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::model::{Entry, Role, Room};
use crate::store::{Reaction, Seated};

/// That something was done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Done {
    pub(crate) message: &'static str,
}

/// A chat as it was made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Created {
    pub(crate) message: &'static str,
    pub(crate) chat: NewChatView,
}

/// What a new chat is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NewChatView {
    pub(crate) id: RoomId,
    pub(crate) participants: Vec<UserId>,
    #[serde(rename = "chatName")]
    pub(crate) chat_name: String,
}

/// A chat as one of its participants sees it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChatView {
    id: RoomId,
    #[serde(rename = "chatName")]
    chat_name: String,
    /// Those who came first first.
    participants: Vec<UserId>,
    /// The number of the last message; 0 when there is none.
    last_seq: i64,
    /// How many messages came since the caller last read or wrote.
    unread: i64,
    /// In how many of those the caller is called by name.
    unread_mentions: i64,
    /// What the caller may do.
    role: Role,
}

impl ChatView {
    pub(crate) fn new(seated: Seated, participants: Vec<UserId>, unread_mentions: i64) -> Self {
        let Seated { room, seat } = seated;
        let (role, read) = seat.map_or((Role::Member, 0), |seat| (seat.role, seat.read_seq));
        Self {
            id: room.id,
            chat_name: room.name,
            participants,
            last_seq: room.last_seq,
            unread: (room.last_seq - read).max(0),
            unread_mentions,
            role,
        }
    }
}

/// A chat after its participants have changed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Changed {
    pub(crate) message: &'static str,
    pub(crate) chat: NewChatView,
}

/// A message in a chat.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MessageInfo {
    #[serde(rename = "messageId")]
    message_id: MessageId,
    message: String,
    #[serde(flatten)]
    more: About,
}

/// A message in a lobby.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LobbyMessageInfo {
    message_id: MessageId,
    text: String,
    #[serde(flatten)]
    more: About,
}

/// What both kinds of messages have.
#[derive(Debug, Serialize, ToSchema)]
struct About {
    /// In which chat, where messages of several are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    chat_id: Option<RoomId>,
    /// Its number in the room, from 1, without gaps.
    seq: i64,
    user_id: UserId,
    /// `deleted user` once the account is gone.
    username: String,
    sent_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    edited_at: Option<Timestamp>,
    /// True for one that was deleted; its text is empty.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reactions: Vec<Reaction>,
}

impl About {
    fn new(entry: &mut Entry, reactions: Vec<Reaction>) -> Self {
        Self {
            chat_id: None,
            seq: entry.seq.unwrap_or_default(),
            user_id: entry.user,
            username: std::mem::take(&mut entry.username),
            sent_at: Timestamp(entry.at),
            client_id: entry.client_id.take(),
            edited_at: entry.edited_at.map(Timestamp),
            deleted: entry.deleted,
            reactions,
        }
    }
}

/// A message as one kind of room shows it.
pub(crate) trait MessageView: Serialize {
    fn new(entry: Entry, reactions: Vec<Reaction>) -> Self;
}

impl MessageView for MessageInfo {
    fn new(mut entry: Entry, reactions: Vec<Reaction>) -> Self {
        let more = About::new(&mut entry, reactions);
        Self { message_id: MessageId::new(entry.position), message: entry.text, more }
    }
}

impl MessageInfo {
    /// Says in which chat it is.
    pub(crate) fn in_chat(mut self, chat: RoomId) -> Self {
        self.more.chat_id = Some(chat);
        self
    }
}

impl MessageView for LobbyMessageInfo {
    fn new(mut entry: Entry, reactions: Vec<Reaction>) -> Self {
        let more = About::new(&mut entry, reactions);
        Self { message_id: MessageId::new(entry.position), text: entry.text, more }
    }
}

/// A message as it was sent or changed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Sent {
    pub(crate) message: &'static str,
    #[serde(rename = "messageInfo")]
    pub(crate) message_info: MessageInfo,
}

/// A lobby.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LobbyView {
    lobby_id: RoomId,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    palette_id: Option<PaletteId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
    private: bool,
    /// For its members alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    invite_code: Option<String>,
    /// How many there are.
    members: i64,
    /// The number of the last message; 0 when there is none.
    last_seq: i64,
}

impl LobbyView {
    pub(crate) fn new(room: Room, is_member: bool) -> Self {
        Self {
            lobby_id: room.id,
            name: room.name,
            palette_id: room.palette,
            topic: room.topic,
            private: room.private,
            invite_code: room.invite_code.filter(|_| is_member),
            members: room.members,
            last_seq: room.last_seq,
        }
    }
}

/// A member of a lobby.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MemberView {
    pub(crate) user_id: UserId,
    pub(crate) username: String,
}
