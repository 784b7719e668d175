//! What sockets are sent: an entry of the log, or what never was in it, as JSON. Encoded once,
//! whoever reads it; a lobby's frames name no room, since its sockets are of one.

use contracts::ids::{MessageId, RoomId, UserId};
use fanout::Frame;
use rest::Timestamp;
use serde::Serialize;

use crate::model::{Entry, RoomKind, What};

/// The members that most frames have, in the order in which they are written.
#[derive(Default, Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    chat_id: Option<RoomId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<i64>,
    #[serde(rename = "messageId", skip_serializing_if = "Option::is_none")]
    chat_message: Option<MessageId>,
    #[serde(rename = "message_id", skip_serializing_if = "Option::is_none")]
    lobby_message: Option<MessageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(rename = "message", skip_serializing_if = "Option::is_none")]
    chat_text: Option<&'a str>,
    #[serde(rename = "text", skip_serializing_if = "Option::is_none")]
    lobby_text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    emoji: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    edited_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chat: Option<Chat<'a>>,
    #[serde(rename = "chatName", skip_serializing_if = "Option::is_none")]
    chat_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    online: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    users: Option<Vec<Person<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

#[derive(Serialize)]
struct Chat<'a> {
    id: RoomId,
    participants: &'a [UserId],
    #[serde(rename = "chatName")]
    chat_name: &'a str,
}

#[derive(Serialize)]
struct Person<'a> {
    user_id: UserId,
    username: &'a str,
}

/// The frame of an entry.
pub(crate) fn entry(entry: &Entry) -> Frame {
    let is_chat = entry.kind == RoomKind::Chat;
    let mut event = Event {
        kind: kind(entry.kind, entry.what),
        chat_id: is_chat.then_some(entry.room),
        seq: entry.seq,
        chat_message: entry.message.filter(|_| is_chat),
        lobby_message: entry.message.filter(|_| !is_chat),
        user_id: Some(entry.user),
        username: Some(&entry.username),
        cursor: Some(entry.position.to_string()),
        ..Event::default()
    };
    match entry.what {
        What::Message | What::Edited => {
            event.chat_text = is_chat.then_some(&*entry.text);
            event.lobby_text = (!is_chat).then_some(&*entry.text);
            event.edited_at = entry.edited_at.map(Timestamp);
            event.deleted = entry.deleted.then_some(true);
            if entry.what == What::Message {
                event.sent_at = Some(Timestamp(entry.at));
                event.client_id = entry.client_id.as_deref();
            }
        }
        What::Reacted | What::Unreacted => event.emoji = Some(&entry.text),
        What::RoomCreated => {
            let (id, participants) = (entry.room, &entry.members[..]);
            event.chat = is_chat.then_some(Chat { id, participants, chat_name: &entry.text });
        }
        What::RoomUpdated => event.chat_name = Some(&entry.text),
        What::Joined | What::Left => {
            if let Some((user, name)) = &entry.member {
                event.user_id = Some(*user);
                event.username = Some(name);
            }
        }
        What::Deleted | What::RoomDeleted | What::Read => {}
    }
    written(&event)
}

/// Somebody is writing something.
pub(crate) fn typing(kind: RoomKind, room: RoomId, user: UserId, username: &str) -> Frame {
    written(&Event {
        kind: "typing",
        chat_id: (kind == RoomKind::Chat).then_some(room),
        user_id: Some(user),
        username: Some(username),
        ..Event::default()
    })
}

/// Who has a lobby open: how many, and some of them.
pub(crate) fn presence(online: u64, users: &[(UserId, String)]) -> Frame {
    let users = users.iter().map(|(user_id, name)| Person { user_id: *user_id, username: name });
    written(&Event {
        kind: "presence",
        online: Some(online),
        users: Some(users.collect()),
        ..Event::default()
    })
}

/// Something that a client sent cannot be done.
#[derive(Debug, Serialize)]
pub(crate) struct Refused<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    status: u16,
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    chat_id: Option<RoomId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
}

/// Tells one socket why what it sent was not done.
pub(crate) fn refused(
    status: u16,
    error: &str,
    chat_id: Option<RoomId>,
    client_id: Option<&str>,
) -> Frame {
    written(&Refused { kind: "error", status, error, chat_id, client_id })
}

const fn kind(room: RoomKind, what: What) -> &'static str {
    match (room, what) {
        (RoomKind::Chat, What::RoomCreated) => "chat.created",
        (RoomKind::Chat, What::RoomUpdated) => "chat.updated",
        (RoomKind::Chat, What::RoomDeleted) => "chat.deleted",
        (RoomKind::Chat, What::Joined) => "participant.added",
        (RoomKind::Chat, What::Left) => "participant.removed",
        (RoomKind::Lobby, What::RoomCreated) => "lobby.created",
        (RoomKind::Lobby, What::RoomUpdated) => "lobby.updated",
        (RoomKind::Lobby, What::RoomDeleted) => "lobby.deleted",
        (_, what) => what.name(),
    }
}

fn written(event: &impl Serialize) -> Frame {
    // Numbers and texts: there is nothing in it that JSON cannot hold.
    Frame::text(&serde_json::to_string(event).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn message(kind: RoomKind, what: What) -> Entry {
        Entry {
            position: 12,
            room: RoomId::new(3),
            kind,
            what,
            user: UserId::new(7),
            username: "ada".into(),
            at: 0,
            seq: Some(5),
            text: "hi".into(),
            client_id: Some("c1".into()),
            message: Some(MessageId::new(12)),
            member: None,
            members: vec![UserId::new(7)],
            edited_at: None,
            deleted: false,
        }
    }

    fn json_of(frame: &Frame) -> Value {
        let bytes = frame.bytes();
        let start = bytes.iter().position(|b| *b == b'{').unwrap();
        serde_json::from_slice(&bytes[start..]).unwrap()
    }

    #[test]
    fn a_message_has_the_members_of_the_contract() {
        assert_eq!(
            json_of(&entry(&message(RoomKind::Chat, What::Message))),
            json!({"type": "message", "chat_id": "3", "seq": 5, "messageId": "12", "user_id": "7",
                "username": "ada", "message": "hi", "sent_at": "1970-01-01T00:00:00Z",
                "client_id": "c1", "cursor": "12"})
        );
        assert_eq!(
            json_of(&entry(&message(RoomKind::Lobby, What::Message))),
            json!({"type": "message", "seq": 5, "message_id": "12", "user_id": "7",
                "username": "ada", "text": "hi", "sent_at": "1970-01-01T00:00:00Z",
                "client_id": "c1", "cursor": "12"})
        );
    }

    #[test]
    fn a_tombstone_says_so() {
        let gone =
            Entry { deleted: true, text: String::new(), ..message(RoomKind::Chat, What::Message) };
        let json = json_of(&entry(&gone));
        assert_eq!((&json["deleted"], &json["message"]), (&json!(true), &json!("")));
    }

    #[test]
    fn all_but_what_is_not_in_the_log_has_a_cursor() {
        for what in [What::Edited, What::Deleted, What::Reacted, What::RoomCreated, What::Joined] {
            assert_eq!(json_of(&entry(&message(RoomKind::Chat, what)))["cursor"], "12");
        }
        let typing = json_of(&typing(RoomKind::Chat, RoomId::new(3), UserId::new(7), "ada"));
        assert_eq!(
            typing,
            json!({"type": "typing", "chat_id": "3", "user_id": "7", "username": "ada"})
        );
    }
}
