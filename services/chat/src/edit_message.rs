//! What becomes of a message after it was sent: its author edits or deletes it, members react.

use contracts::ids::{MessageId, RoomId, UserId};
use data::Tx;
use rest::{Problem, Timestamp};

use crate::error::ChatError;
use crate::model::{Emoji, Entry, RoomKind, check_message};
use crate::read_room::seated;
use crate::store::{
    Own, Store, advance, delete_message, edit_message, locked_room, own_message, react,
};

/// Which message, and who wants something of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Which {
    pub(crate) kind: RoomKind,
    pub(crate) room: RoomId,
    pub(crate) message: MessageId,
    pub(crate) user: UserId,
}

impl Which {
    /// Checks under the lock of the head that the user is in the room and the message there.
    async fn found(self, tx: &Tx) -> Result<Own, ChatError> {
        seated(locked_room(tx, self.kind, self.room, self.user).await?, self.kind)?;
        match own_message(tx, self.room, self.message, self.user).await? {
            Own::Absent => Err(ChatError::NoMessage),
            own => Ok(own),
        }
    }

    async fn own(self, tx: &Tx) -> Result<(), ChatError> {
        match self.found(tx).await? {
            Own::Yes => Ok(()),
            _ => Err(ChatError::Foreign),
        }
    }

    const fn ids(self) -> (RoomId, MessageId, UserId) {
        (self.room, self.message, self.user)
    }
}

/// Changes the text of one's own message.
///
/// # Errors
/// 403 for somebody else's, 404 for none, 422 for a text that is none.
pub(crate) async fn edit(
    store: &Store,
    which: Which,
    text: &str,
    longest: usize,
) -> Result<Entry, Problem> {
    let field = if which.kind == RoomKind::Chat { "message" } else { "text" };
    check_message(field, text, longest)?;
    let text = text.to_owned();
    let write = store.db().write(move |tx: &Tx| {
        Box::pin(async move {
            let position = advance(tx, 1).await?;
            which.own(tx).await?;
            let now = Timestamp::now().0;
            Ok::<_, ChatError>(edit_message(tx, position, which.ids(), &text, now).await?)
        })
    });
    write.await?;
    let message = store.message(which.room, which.message).await?;
    message.ok_or_else(|| ChatError::NoMessage.into())
}

/// Deletes one's own message; that there was one stays.
///
/// # Errors
/// 403 for somebody else's, 404 for none.
pub(crate) async fn delete(store: &Store, which: Which) -> Result<(), ChatError> {
    let write = store.db().write(move |tx: &Tx| {
        Box::pin(async move {
            let position = advance(tx, 1).await?;
            which.own(tx).await?;
            Ok(delete_message(tx, position, which.ids(), Timestamp::now().0).await?)
        })
    });
    write.await
}

/// Adds a reaction of one's own, or takes it back. Repeating it changes nothing.
///
/// # Errors
/// 404 for no message, 409 when there are too many kinds of them.
pub(crate) async fn set_reaction(
    store: &Store,
    which: Which,
    emoji: Emoji,
    add: bool,
) -> Result<(), ChatError> {
    let write = store.db().write(move |tx: &Tx| {
        Box::pin(async move {
            let position = advance(tx, 1).await?;
            which.found(tx).await?;
            let now = Timestamp::now().0;
            if react(tx, position, which.ids(), &emoji, add, now).await? {
                Ok(())
            } else {
                Err(ChatError::TooManyReactions)
            }
        })
    });
    write.await
}
