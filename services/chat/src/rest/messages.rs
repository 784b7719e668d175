//! Messages of chats and lobbies, which differ in their names for things only.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use contracts::ids::{MessageId, RoomId, UserId};
use http::{StatusCode, Uri};
use rest::{Json, OperationId, Page, Path, Problem, Query, SignedIn, page, paged};
use serde::Deserialize;
use utoipa::IntoParams;

use super::bodies::{ChatMessage, LobbyMessage};
use super::view::{Done, LobbyMessageInfo, MessageInfo, MessageView, Sent};
use crate::Chat;
use crate::edit_message::{self, Which};
use crate::model::{Emoji, Entry, RoomKind};
use crate::read_room::own_room;
use crate::send_message::Letter;
use crate::store::Around;

/// The longest text to search for, in characters.
const LONGEST_SEARCH: usize = 200;
const SENT: &str = "Message sent successfully";
const UPDATED: &str = "Message updated successfully";
const DELETED: &str = "Message deleted successfully";

/// Which part of a room's history.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Part {
    /// The last messages before the one with this number.
    before: Option<i64>,
    /// The first messages after the one with this number; 0: from the start.
    after: Option<i64>,
    /// The messages before and after the one with this number, and itself; without the others.
    around: Option<i64>,
    /// Those with this text in them, whatever its case, the last ones; at most 200 characters.
    q: Option<String>,
}

/// What to look for in all of one's chats.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// A text, whatever its case; 1 to 200 characters.
    q: String,
}

fn searchable(text: &str) -> Result<&str, Problem> {
    let text = text.trim();
    if text.is_empty() || text.chars().nth(LONGEST_SEARCH).is_some() {
        return Err(Problem::invalid_field("q", "has 1 to 200 characters"));
    }
    Ok(text)
}

/// How a message is known when it is sent again: by its client's id, or by the request's key, also
/// after a crash in between.
fn known_as(client_id: Option<String>, operation: OperationId) -> Option<String> {
    client_id.or_else(|| operation.0.map(|operation| operation.to_string()))
}

/// Sends a message to a chat.
#[utoipa::path(
    post, path = "/api/chat/{id}/message", tag = "chat", operation_id = "send_message",
    params(("id" = RoomId, Path)), request_body = ChatMessage,
    responses(
        (status = 201, description = "Sent, and on disk", body = Sent),
        (status = 401, description = "Not signed in."),
        (status = 404, description = "The caller is in no such chat."),
        (status = 422, description = "No text, or too much of it."),
        (status = 429, description = "Too many messages."),
    )
)]
pub(super) async fn send(
    State(chat): State<Chat>,
    SignedIn(caller): SignedIn,
    Path(room): Path<RoomId>,
    operation: OperationId,
    Json(body): Json<ChatMessage>,
) -> Result<Response, Problem> {
    let (user, client_id) = (caller.user, known_as(body.client_id, operation));
    let client_id = client_id.as_deref();
    let letter = Letter { kind: RoomKind::Chat, room, user, text: &body.message, client_id };
    let entry = chat.post.send(&chat.limits, letter).await?;
    let sent = Sent { message: SENT, message_info: MessageInfo::new(entry, Vec::new()) };
    Ok((StatusCode::CREATED, Json(sent)).into_response())
}

/// Sends a message to a lobby.
#[utoipa::path(
    post, path = "/lobbies/{id}/messages", tag = "chat", operation_id = "send_to_lobby",
    params(("id" = RoomId, Path)), request_body = LobbyMessage,
    responses(
        (status = 201, description = "Sent, and on disk", body = LobbyMessageInfo),
        (status = 401, description = "Not signed in."),
        (status = 403, description = "The caller has not joined it."),
        (status = 404, description = "There is no such lobby for the caller."),
        (status = 422, description = "No text, or too much of it."),
        (status = 429, description = "Too many messages."),
    )
)]
pub(super) async fn send_to_lobby(
    State(chat): State<Chat>,
    SignedIn(caller): SignedIn,
    Path(room): Path<RoomId>,
    operation: OperationId,
    Json(body): Json<LobbyMessage>,
) -> Result<Response, Problem> {
    let (user, client_id) = (caller.user, known_as(body.client_id, operation));
    let client_id = client_id.as_deref();
    let letter = Letter { kind: RoomKind::Lobby, room, user, text: &body.text, client_id };
    let entry = chat.post.send(&chat.limits, letter).await?;
    let sent = LobbyMessageInfo::new(entry, Vec::new());
    Ok((StatusCode::CREATED, Json(sent)).into_response())
}

/// Messages of a chat, in ascending order: the last ones, unless another part is asked for.
#[utoipa::path(
    get, path = "/api/chat/{id}/message", tag = "chat", operation_id = "messages",
    params(
        ("id" = RoomId, Path),
        Part,
        ("limit" = Option<u64>, Query, description = "1 to 100, 20 unless given."),
        ("cursor" = Option<String>, Query, description = "From the `Link` of a search's page before."),
    ),
    responses(
        (status = 200, body = Vec<MessageInfo>),
        (status = 401, description = "Not signed in."),
        (status = 404, description = "The caller is in no such chat."),
        (status = 422, description = "A parameter is not as described."),
    )
)]
pub(super) async fn history(
    State(chat): State<Chat>,
    SignedIn(caller): SignedIn,
    Path(room): Path<RoomId>,
    Query(part): Query<Part>,
    page: Page,
    uri: Uri,
) -> Result<Response, Problem> {
    own_room(&chat.store, RoomKind::Chat, room, caller.user).await?;
    read::<MessageInfo>(&chat, caller.user, room, part, &page, &uri).await
}

/// Messages of a lobby, in ascending order: the last ones, unless another part is asked for.
#[utoipa::path(
    get, path = "/lobbies/{id}/messages", tag = "chat", operation_id = "messages_of_lobby",
    params(
        ("id" = RoomId, Path),
        Part,
        ("limit" = Option<u64>, Query, description = "1 to 100, 20 unless given."),
        ("cursor" = Option<String>, Query, description = "From the `Link` of a search's page before."),
    ),
    responses(
        (status = 200, body = Vec<LobbyMessageInfo>),
        (status = 401, description = "Not signed in."),
        (status = 403, description = "The caller has not joined it."),
        (status = 404, description = "There is no such lobby for the caller."),
        (status = 422, description = "A parameter is not as described."),
    )
)]
pub(super) async fn history_of_lobby(
    State(chat): State<Chat>,
    SignedIn(caller): SignedIn,
    Path(room): Path<RoomId>,
    Query(part): Query<Part>,
    page: Page,
    uri: Uri,
) -> Result<Response, Problem> {
    own_room(&chat.store, RoomKind::Lobby, room, caller.user).await?;
    read::<LobbyMessageInfo>(&chat, caller.user, room, part, &page, &uri).await
}

/// Messages of all the caller's chats that have a text in them, in ascending order: the last ones.
#[utoipa::path(
    get, path = "/api/chat/message", tag = "chat", operation_id = "search_messages",
    params(
        Wanted,
        ("limit" = Option<u64>, Query, description = "1 to 100, 20 unless given."),
        ("cursor" = Option<String>, Query, description = "From the `Link` of the page before."),
    ),
    responses(
        (status = 200, body = Vec<MessageInfo>),
        (status = 401, description = "Not signed in."),
        (status = 422, description = "No text, or too much of it."),
    )
)]
pub(super) async fn search(
    State(chat): State<Chat>,
    SignedIn(caller): SignedIn,
    Query(wanted): Query<Wanted>,
    page: Page,
    uri: Uri,
) -> Result<Response, Problem> {
    let text = searchable(&wanted.q)?;
    let before = page.after()?.unwrap_or(i64::MAX);
    let found = chat.store.search(caller.user, None, text, before, page.limit).await?;
    let messages = found.messages.into_iter().rev();
    let messages = messages.map(|entry| {
        let chat = entry.room;
        MessageInfo::new(entry, Vec::new()).in_chat(chat)
    });
    Ok(paged(messages.collect(), found.next.as_ref().map(page::cursor), &uri))
}

async fn read<V: MessageView>(
    chat: &Chat,
    user: UserId,
    room: RoomId,
    part: Part,
    page: &Page,
    uri: &Uri,
) -> Result<Response, Problem> {
    let (after, before) = (part.after, part.before);
    let (entries, next) = match (part.q, part.around) {
        (Some(text), None) => {
            let within = (room, after.unwrap_or(0), before.unwrap_or(i64::MAX));
            let (text, from) = (searchable(&text)?, page.after()?.unwrap_or(i64::MAX));
            let mut found = chat.store.search(user, Some(within), text, from, page.limit).await?;
            found.messages.reverse();
            (found.messages, found.next.as_ref().map(page::cursor))
        }
        (None, around) => {
            let part = match (around, after, before) {
                (None, None, None) => Around::End,
                (None, None, Some(seq)) => Around::Before(seq),
                (None, Some(after), before) => Around::Between(after, before.unwrap_or(i64::MAX)),
                (Some(seq), None, None) => Around::Number(seq),
                (Some(_), ..) => return Err(alone()),
            };
            (chat.store.history(room, part, page.limit).await?, None)
        }
        (Some(_), Some(_)) => return Err(alone()),
    };
    Ok(paged(shown::<V>(chat, user, entries).await?, next, uri))
}

fn alone() -> Problem {
    Problem::invalid_field("around", "stands alone")
}

/// Messages with the reactions to them.
async fn shown<V: MessageView>(
    chat: &Chat,
    user: UserId,
    entries: Vec<Entry>,
) -> Result<Vec<V>, Problem> {
    let ids = entries.iter().map(|entry| MessageId::new(entry.position));
    let mut reactions = chat.store.reactions(user, ids).await?;
    let view = |entry: Entry| {
        let felt = reactions.remove(&MessageId::new(entry.position)).unwrap_or_default();
        V::new(entry, felt)
    };
    Ok(entries.into_iter().map(view).collect())
}

/// Changes the text of one's own message in a chat.
#[utoipa::path(
    patch, path = "/api/chat/{id}/message/{message_id}", tag = "chat",
    operation_id = "edit_message",
    params(("id" = RoomId, Path), ("message_id" = MessageId, Path)), request_body = ChatMessage,
    responses(
        (status = 200, description = "`Message updated successfully`", body = Sent),
        (status = 401, description = "Not signed in."),
        (status = 403, description = "Somebody else's."),
        (status = 404, description = "There is none, or it is deleted."),
        (status = 422, description = "No text, or too much of it."),
    )
)]
pub(super) async fn edit(
    State(chat): State<Chat>,
    SignedIn(caller): SignedIn,
    Path((room, message)): Path<(RoomId, MessageId)>,
    Json(body): Json<ChatMessage>,
) -> Result<Json<Sent>, Problem> {
    let which = Which { kind: RoomKind::Chat, room, message, user: caller.user };
    let info = edited::<MessageInfo>(&chat, which, &body.message).await?;
    Ok(Json(Sent { message: UPDATED, message_info: info }))
}

/// Changes the text of one's own message in a lobby.
#[utoipa::path(
    patch, path = "/lobbies/{id}/messages/{message_id}", tag = "chat",
    operation_id = "edit_message_in_lobby",
    params(("id" = RoomId, Path), ("message_id" = MessageId, Path)), request_body = LobbyMessage,
    responses(
        (status = 200, body = LobbyMessageInfo),
        (status = 401, description = "Not signed in."),
        (status = 403, description = "Somebody else's, or a lobby that one has not joined."),
        (status = 404, description = "There is none, or it is deleted."),
        (status = 422, description = "No text, or too much of it."),
    )
)]
pub(super) async fn edit_in_lobby(
    State(chat): State<Chat>,
    SignedIn(caller): SignedIn,
    Path((room, message)): Path<(RoomId, MessageId)>,
    Json(body): Json<LobbyMessage>,
) -> Result<Json<LobbyMessageInfo>, Problem> {
    let which = Which { kind: RoomKind::Lobby, room, message, user: caller.user };
    edited(&chat, which, &body.text).await.map(Json)
}

async fn edited<V: MessageView>(chat: &Chat, which: Which, text: &str) -> Result<V, Problem> {
    chat.limits.message(which.user)?;
    let entry = edit_message::edit(&chat.store, which, text, chat.post.longest()).await?;
    shown(chat, which.user, vec![entry]).await?.pop().ok_or_else(Problem::internal)
}

/// Deletes one's own message in a chat: its number stays, and that there was one.
#[utoipa::path(
    delete, path = "/api/chat/{id}/message/{message_id}", tag = "chat",
    operation_id = "delete_message",
    params(("id" = RoomId, Path), ("message_id" = MessageId, Path)),
    responses(
        (status = 200, description = "`Message deleted successfully`", body = Done),
        (status = 401, description = "Not signed in."),
        (status = 403, description = "Somebody else's."),
        (status = 404, description = "There is none, or it is deleted."),
    )
)]
pub(super) async fn delete(
    State(chat): State<Chat>,
    SignedIn(caller): SignedIn,
    Path((room, message)): Path<(RoomId, MessageId)>,
) -> Result<Json<Done>, Problem> {
    let which = Which { kind: RoomKind::Chat, room, message, user: caller.user };
    edit_message::delete(&chat.store, which).await?;
    Ok(Json(Done { message: DELETED }))
}

/// Deletes one's own message in a lobby: its number stays, and that there was one.
#[utoipa::path(
    delete, path = "/lobbies/{id}/messages/{message_id}", tag = "chat",
    operation_id = "delete_message_in_lobby",
    params(("id" = RoomId, Path), ("message_id" = MessageId, Path)),
    responses(
        (status = 200, description = "`Message deleted successfully`", body = Done),
        (status = 401, description = "Not signed in."),
        (status = 403, description = "Somebody else's, or a lobby that one has not joined."),
        (status = 404, description = "There is none, or it is deleted."),
    )
)]
pub(super) async fn delete_in_lobby(
    State(chat): State<Chat>,
    SignedIn(caller): SignedIn,
    Path((room, message)): Path<(RoomId, MessageId)>,
) -> Result<Json<Done>, Problem> {
    let which = Which { kind: RoomKind::Lobby, room, message, user: caller.user };
    edit_message::delete(&chat.store, which).await?;
    Ok(Json(Done { message: DELETED }))
}

async fn felt(chat: &Chat, which: Which, emoji: &str, add: bool) -> Result<StatusCode, Problem> {
    let emoji = Emoji::parse(emoji)?;
    chat.limits.message(which.user)?;
    edit_message::set_reaction(&chat.store, which, emoji, add).await?;
    Ok(StatusCode::NO_CONTENT)
}

macro_rules! reaction {
    ($name:ident, $method:ident, $path:literal, $id:literal, $kind:ident, $add:literal, $doc:literal) => {
        #[doc = $doc]
        #[utoipa::path(
            $method, path = $path, tag = "chat", operation_id = $id,
            params(
                ("id" = RoomId, Path),
                ("message_id" = MessageId, Path),
                ("emoji" = String, Path, description = "An emoji, or its name as thumbs_up."),
            ),
            responses(
                (status = 204, description = "Done; repeating it changes nothing."),
                (status = 401, description = "Not signed in."),
                (status = 404, description = "There is no such message for the caller."),
                (status = 409, description = "There are too many kinds of reactions to it."),
                (status = 422, description = "This is no emoji."),
            )
        )]
        pub(super) async fn $name(
            State(chat): State<Chat>,
            SignedIn(caller): SignedIn,
            Path((room, message, emoji)): Path<(RoomId, MessageId, String)>,
        ) -> Result<StatusCode, Problem> {
            let which = Which { kind: RoomKind::$kind, room, message, user: caller.user };
            felt(&chat, which, &emoji, $add).await
        }
    };
}

reaction!(
    react,
    put,
    "/api/chat/{id}/message/{message_id}/reactions/{emoji}",
    "react",
    Chat,
    true,
    "Reacts to a message in a chat."
);
reaction!(
    unreact,
    delete,
    "/api/chat/{id}/message/{message_id}/reactions/{emoji}",
    "unreact",
    Chat,
    false,
    "Takes a reaction in a chat back."
);
reaction!(
    react_in_lobby,
    put,
    "/lobbies/{id}/messages/{message_id}/reactions/{emoji}",
    "react_in_lobby",
    Lobby,
    true,
    "Reacts to a message in a lobby."
);
reaction!(
    unreact_in_lobby,
    delete,
    "/lobbies/{id}/messages/{message_id}/reactions/{emoji}",
    "unreact_in_lobby",
    Lobby,
    false,
    "Takes a reaction in a lobby back."
);
