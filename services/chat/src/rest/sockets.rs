//! `/ws/chat` and `/ws/lobbies/{id}`.

use axum::extract::State;
use axum::response::Response;
use contracts::ids::RoomId;
use fanout::Upgrade;
use rest::{Path, Problem, Query, SignedIn};
use serde::Deserialize;

use crate::Chat;
use crate::here::{Meta, View};
use crate::live::Since;
use crate::model::RoomKind;
use crate::open_lobby::person;
use crate::read_room::own_room;

/// Where a socket goes on.
#[derive(Debug, Deserialize)]
pub(super) struct Resume {
    after: Option<i64>,
    cursor: Option<i64>,
}

/// A WebSocket with every event of all the caller's chats. What is sent and received, and the close
/// codes, are described in the guide on sockets.
#[utoipa::path(
    get, path = "/ws/chat", tag = "chat", operation_id = "chat_socket",
    params(("after" = Option<String>, Query, description = "The `cursor` of the last event that was received, or `Chat-Cursor` of the list of chats: what was missed since comes first. Without it, the socket begins with what happens now.")),
    responses(
        (status = 101, description = "A WebSocket"),
        (status = 401, description = "Not signed in."),
        (status = 422, description = "`after` is no cursor."),
        (status = 426, description = "Not a WebSocket handshake"),
        (status = 429, description = "The caller has too many sockets."),
        (status = 503, description = "Too many sockets"),
    )
)]
pub(super) async fn chats(
    State(chat): State<Chat>,
    SignedIn(caller): SignedIn,
    Query(resume): Query<Resume>,
    upgrade: Upgrade,
) -> Result<Response, Problem> {
    let since = match resume.after.or(resume.cursor) {
        Some(cursor) => Since::Cursor(cursor),
        None => chat.live.now().await?,
    };
    let who = person(&chat.store, &chat.accounts, caller.user).await?;
    let meta = Meta::new(who.user, &who.name, View::Chats);
    Ok(chat.live.open(upgrade, meta, since))
}

/// A WebSocket with everything that happens in a lobby that the caller has joined. What is sent and
/// received, and the close codes, are described in the guide on sockets.
#[utoipa::path(
    get, path = "/ws/lobbies/{id}", tag = "chat", operation_id = "lobby_socket",
    params(
        ("id" = RoomId, Path),
        ("after" = Option<i64>, Query, description = "The number of the last message that was received: the messages since come first. Without it, the socket begins with what happens now."),
        ("cursor" = Option<String>, Query, description = "The `cursor` of the last event that was received, in place of `after`: everything that happened since comes first, edits and members too."),
    ),
    responses(
        (status = 101, description = "A WebSocket"),
        (status = 401, description = "Not signed in."),
        (status = 403, description = "The caller has not joined it."),
        (status = 404, description = "There is no such lobby for the caller."),
        (status = 422, description = "`after` or `cursor` is no number."),
        (status = 426, description = "Not a WebSocket handshake"),
        (status = 429, description = "The caller has too many sockets."),
        (status = 503, description = "Too many sockets"),
    )
)]
pub(super) async fn lobby(
    State(chat): State<Chat>,
    SignedIn(caller): SignedIn,
    Path(id): Path<RoomId>,
    Query(resume): Query<Resume>,
    upgrade: Upgrade,
) -> Result<Response, Problem> {
    own_room(&chat.store, RoomKind::Lobby, id, caller.user).await?;
    let since = match (resume.cursor, resume.after) {
        (Some(cursor), _) => Since::Cursor(cursor),
        (None, Some(seq)) => Since::Seq(seq),
        (None, None) => chat.live.now().await?,
    };
    let who = person(&chat.store, &chat.accounts, caller.user).await?;
    let meta = Meta::new(who.user, &who.name, View::Lobby(id));
    Ok(chat.live.open(upgrade, meta, since))
}
