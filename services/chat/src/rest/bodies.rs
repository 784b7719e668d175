//! What clients send.

use contracts::ids::{PaletteId, UserId};
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

/// A new chat.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub(crate) struct NewChat {
    /// Who is to be in it; the caller always is.
    #[serde(default)]
    pub(crate) participants: Vec<UserId>,
    /// What it is called: 1 to 100 characters.
    #[serde(rename = "chatName")]
    pub(crate) chat_name: String,
}

/// A chat's new name.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub(crate) struct ChatChange {
    /// 1 to 100 characters.
    #[serde(rename = "chatName")]
    pub(crate) chat_name: String,
}

/// Who is to be in a chat as well.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub(crate) struct NewParticipant {
    pub(crate) user_id: UserId,
}

/// How far the caller has read.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub(crate) struct ReadUpTo {
    /// The number of a message.
    pub(crate) seq: i64,
}

/// A message for a chat, or the new text of one.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub(crate) struct ChatMessage {
    pub(crate) message: String,
    /// 1 to 100 visible ASCII characters: sent again under the same id, it is the same message.
    #[serde(default, deserialize_with = "text_or_number")]
    pub(crate) client_id: Option<String>,
}

/// A message for a lobby, or the new text of one.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub(crate) struct LobbyMessage {
    pub(crate) text: String,
    /// As in chats.
    #[serde(default, deserialize_with = "text_or_number")]
    pub(crate) client_id: Option<String>,
}

/// A new lobby: about a palette, or about a topic.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub(crate) struct NewLobby {
    #[serde(default)]
    pub(crate) palette_id: Option<PaletteId>,
    /// 1 to 100 characters.
    #[serde(default)]
    pub(crate) topic: Option<String>,
    /// Whether one joins by an invitation code only.
    #[serde(default)]
    pub(crate) private: bool,
}

/// How one joins a lobby.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
pub(crate) struct Joining {
    /// That of a private lobby.
    #[serde(default)]
    pub(crate) invite_code: Option<String>,
}

/// Ids may be texts or numbers, and `7` is `"7"`.
pub(crate) fn text_or_number<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Id {
        Text(String),
        Number(i64),
    }
    let id = Option::<Id>::deserialize(from)?;
    Ok(id.map(|id| match id {
        Id::Text(text) => text,
        Id::Number(number) => number.to_string(),
    }))
}
