//! Reactions to messages.

use std::collections::HashMap;

use contracts::ids::{MessageId, RoomId, UserId};
use data::{DataError, Sql, Tx, json_rows, values};
use serde::Serialize;
use utoipa::ToSchema;

use super::Store;
use super::log::{NewEntry, append};
use crate::model::{Emoji, What};

/// Different reactions to one message.
const MOST_KINDS: i64 = 50;

pub(super) const OF_MESSAGES: &str = "\
SELECT e.message_id, e.emoji, COUNT(*), \
       CAST(MAX(CASE WHEN e.user_id = $2 THEN 1 ELSE 0 END) AS BIGINT) \
FROM {{rows:1}} CROSS JOIN reactions e WHERE e.message_id = CAST(r.value->>0 AS BIGINT) \
GROUP BY e.message_id, e.emoji ORDER BY e.message_id, COUNT(*) DESC, e.emoji";

/// How often somebody felt so about a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Reaction {
    /// An emoji, or its name.
    pub(crate) emoji: String,
    /// How many people.
    pub(crate) count: i64,
    /// Whether whoever asks is one of them.
    pub(crate) mine: bool,
}

/// Adds or takes back a reaction, and tells the room at `position` if that changes anything. False:
/// there are too many kinds of them already.
pub(crate) async fn react(
    tx: &Tx,
    position: i64,
    (room, message, user): (RoomId, MessageId, UserId),
    emoji: &Emoji,
    add: bool,
    now: i64,
) -> Result<bool, DataError> {
    let values = values![message.get(), emoji.as_str(), user.get()];
    let (what, changed) = if add {
        let sql =
            "SELECT COUNT(DISTINCT emoji) FROM reactions WHERE message_id = $1 AND emoji <> $2";
        let kinds: Option<(i64,)> = tx.row(sql, values![message.get(), emoji.as_str()]).await?;
        if kinds.is_some_and(|(kinds,)| kinds >= MOST_KINDS) {
            return Ok(false);
        }
        let sql = "INSERT INTO reactions (message_id, emoji, user_id) VALUES ($1, $2, $3) \
                   ON CONFLICT (message_id, emoji, user_id) DO NOTHING";
        (What::Reacted, tx.run(sql, values).await?)
    } else {
        let sql = "DELETE FROM reactions WHERE message_id = $1 AND emoji = $2 AND user_id = $3";
        (What::Unreacted, tx.run(sql, values).await?)
    };
    if changed > 0 {
        let entry = NewEntry::new(room, what, user, now).message(message).text(emoji.as_str());
        append(tx, position, entry).await?;
    }
    Ok(true)
}

impl Store {
    /// The reactions to these messages, as `user` sees them.
    pub(crate) async fn reactions(
        &self,
        user: UserId,
        messages: impl Iterator<Item = MessageId>,
    ) -> Result<HashMap<MessageId, Vec<Reaction>>, DataError> {
        let messages = json_rows(messages.map(|message| [message.get()]))?;
        let rows: Vec<(i64, String, i64, i64)> = self
            .db
            .read_primary()
            .rows(&self.texts.reactions, values![messages, user.get()])
            .await?;
        let mut found: HashMap<MessageId, Vec<Reaction>> = HashMap::new();
        for (message, emoji, count, mine) in rows {
            let reaction = Reaction { emoji, count, mine: mine > 0 };
            found.entry(MessageId::new(message)).or_default().push(reaction);
        }
        Ok(found)
    }
}
