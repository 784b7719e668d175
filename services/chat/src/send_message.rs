//! Sending a message: many senders share a transaction and its fsync.

use contracts::ids::{RoomId, UserId};
use data::GroupCommit;
use rest::{Problem, Timestamp};

use crate::error::ChatError;
use crate::limits::Limits;
use crate::model::{ClientId, Entry, RoomKind, check_message};
use crate::read_room::own_room;
use crate::settings::Settings;
use crate::store::{Draft, Sent, Store};

/// Where messages are sent.
pub(crate) struct Post {
    store: Store,
    group: GroupCommit<Draft, Sent>,
    longest: usize,
}

/// A message as its sender wrote it.
pub(crate) struct Letter<'a> {
    pub(crate) kind: RoomKind,
    pub(crate) room: RoomId,
    pub(crate) user: UserId,
    pub(crate) text: &'a str,
    pub(crate) client_id: Option<&'a str>,
}

impl Post {
    pub(crate) fn new(store: &Store, settings: &Settings) -> Self {
        let writer = store.clone();
        let group = GroupCommit::new(store.db().clone(), settings.batches(), move |tx, drafts| {
            let store = writer.clone();
            Box::pin(async move { store.send(tx, drafts).await })
        });
        Self { store: store.clone(), group, longest: settings.message_characters }
    }

    /// The longest message, in characters.
    pub(crate) const fn longest(&self) -> usize {
        self.longest
    }

    /// Puts a message into its room, and answers once it is on disk. It is sent even if the caller
    /// goes away. Under a `client_id` that its sender has used there, it is the message that was
    /// sent then.
    ///
    /// # Errors
    /// 404 if the room is none of the sender's, 403 if it is a public lobby that they have not
    /// joined, 422 for a text that is none, 429 for too many, 503
    /// when it is not known whether it was sent: send it again under the same `client_id`.
    pub(crate) async fn send(&self, limits: &Limits, letter: Letter<'_>) -> Result<Entry, Problem> {
        let Letter { kind, room, user, text, client_id } = letter;
        let field = if kind == RoomKind::Chat { "message" } else { "text" };
        check_message(field, text, self.longest)?;
        let client_id = client_id.map(ClientId::parse).transpose()?.map(ClientId::into_string);
        limits.message(user)?;
        let (text, at) = (text.to_owned(), Timestamp::now().0);
        let draft = Draft { room, kind, user, text, client_id, at };
        match self.group.submit(draft).await? {
            Sent::Kept(entry) => {
                metrics::counter!("chat_messages_total", "room" => kind.name()).increment(1);
                Ok(*entry)
            }
            Sent::NoSeat => {
                let refused = own_room(&self.store, kind, room, user).await.err();
                Err(refused.unwrap_or(ChatError::NoRoom(kind)).into())
            }
        }
    }
}
