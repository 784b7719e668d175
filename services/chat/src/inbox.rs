//! What clients say on their sockets.
//!
//! Messages of one socket are dealt with one after the other. What cannot be done is answered with
//! a frame `{"type":"error","status","error","chat_id?","client_id?"}` and changes nothing; the
//! socket stays open.

use std::sync::Arc;

use contracts::ids::RoomId;
use fanout::{Handler, Message, Next, one_at_a_time};
use rest::Problem;
use serde::Deserialize;

use crate::error::ChatError;
use crate::frames;
use crate::here::{Here, Meta, Socket, View};
use crate::limits::Limits;
use crate::model::RoomKind;
use crate::peers::Peers;
use crate::read_room::Marks;
use crate::rest::text_or_number;
use crate::send_message::{Letter, Post};
use crate::store::Store;

/// Everything that a client may say.
#[derive(Debug, Deserialize)]
struct Said {
    #[serde(rename = "type")]
    kind: String,
    chat_id: Option<RoomId>,
    message: Option<String>,
    text: Option<String>,
    #[serde(default, deserialize_with = "text_or_number")]
    client_id: Option<String>,
    seq: Option<i64>,
}

/// What is needed to do what clients say.
#[derive(Clone)]
pub(crate) struct Inbox {
    pub(crate) store: Store,
    pub(crate) post: Arc<Post>,
    pub(crate) marks: Arc<Marks>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) here: Arc<Here>,
    pub(crate) peers: Peers,
}

impl Inbox {
    /// As the hub's handler.
    pub(crate) fn handler(self) -> impl Handler<RoomId, Meta> {
        let (here, peers) = (self.here.clone(), self.peers.clone());
        let listen = one_at_a_time(move |socket: Socket, message| {
            let this = self.clone();
            async move { this.take(&socket, message).await }
        });
        Door { listen, here, peers }
    }

    async fn take(&self, socket: &Socket, message: Message) {
        let said = match &message {
            Message::Text(text) => rest::json::parse::<Said>(text.as_bytes()),
            Message::Binary(_) => Err(Problem::unsupported_type("send JSON, as text")),
        };
        let (result, chat, client_id) = match said {
            Ok(said) => (self.act(socket, &said).await, said.chat_id, said.client_id),
            Err(problem) => (Err(problem), None, None),
        };
        if let Err(problem) = result {
            let (status, error) = (problem.status().as_u16(), problem.detail());
            socket.send(frames::refused(status, error, chat, client_id.as_deref()));
        }
    }

    async fn act(&self, socket: &Socket, said: &Said) -> Result<(), Problem> {
        let meta = socket.meta();
        let missing = |field| Problem::invalid_field(field, "is missing");
        let (kind, room, text) = match meta.view {
            View::Chats => {
                (RoomKind::Chat, said.chat_id.ok_or_else(|| missing("chat_id"))?, &said.message)
            }
            View::Lobby(room) => (RoomKind::Lobby, room, &said.text),
        };
        match said.kind.as_str() {
            "message" => {
                let field = if kind == RoomKind::Chat { "message" } else { "text" };
                let text = text.as_deref().ok_or_else(|| missing(field))?;
                let client_id = said.client_id.as_deref();
                let letter = Letter { kind, room, user: meta.user, text, client_id };
                self.post.send(&self.limits, letter).await.map(drop)
            }
            "typing" => {
                self.limits.signal(meta.user)?;
                let seated = self.store.seated(kind, room, meta.user).await?;
                seated.and_then(|s| s.seat).ok_or(ChatError::NoRoom(kind))?;
                self.peers.typing(kind, room, meta.user, &meta.username);
                Ok(())
            }
            // Not in lobbies: everybody would hear of everybody.
            "read" if kind == RoomKind::Chat => {
                let seq = said.seq.ok_or_else(|| missing("seq"))?;
                self.limits.signal(meta.user)?;
                Ok(self.marks.set(room, meta.user, seq).await?)
            }
            _ => Err(Problem::invalid_field("type", "is none that is known here")),
        }
    }
}

/// Listens one message at a time, and takes sockets that close out of the register.
struct Door<L> {
    listen: L,
    here: Arc<Here>,
    peers: Peers,
}

impl<L: Handler<RoomId, Meta>> Handler<RoomId, Meta> for Door<L> {
    fn message(&self, socket: &Socket, message: Message) -> Next {
        self.listen.message(socket, message)
    }

    fn closed(&self, socket: &Socket) {
        self.here.remove(socket);
        if let View::Lobby(room) = socket.meta().view {
            self.peers.came_or_went(room);
        }
    }
}
