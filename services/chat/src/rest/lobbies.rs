//! Lobbies, and who is in them.

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use contracts::ids::{PaletteId, RoomId};
use http::{StatusCode, Uri};
use rest::{Caller, Json, OperationId, Page, Path, Problem, Query, SignedIn, located, paged};
use serde::Deserialize;
use utoipa::IntoParams;

use super::bodies::{Joining, NewLobby};
use super::view::{Done, LobbyView, MemberView};
use crate::Chat;
use crate::error::ChatError;
use crate::model::{RoomKind, RoomName};
use crate::open_lobby::{self, About, check_palette, person};
use crate::read_room::own_room;
use crate::store::{Listed, Seated};

/// Which lobbies to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AboutPalette {
    /// Those about this palette.
    palette_id: Option<PaletteId>,
}

/// Opens a lobby about a palette or a topic; the caller is its owner.
#[utoipa::path(
    post, path = "/lobbies", tag = "chat", operation_id = "open_lobby", request_body = NewLobby,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key and body give the first answer again.")),
    responses(
        (status = 201, body = LobbyView, headers(("Location" = String))),
        (status = 401, description = "Not signed in."),
        (status = 404, description = "There is no such palette."),
        (status = 422, description = "Not exactly one of palette_id and topic, or a topic that is none."),
        (status = 429, description = "Too many new rooms."),
        (status = 503, description = "The palettes or the accounts cannot be reached."),
    )
)]
pub(super) async fn open(
    State(chat): State<Chat>,
    SignedIn(caller): SignedIn,
    operation: OperationId,
    Json(body): Json<NewLobby>,
) -> Result<Response, Problem> {
    let about = match (body.palette_id, body.topic) {
        (Some(palette), None) => About::Palette(palette),
        (None, Some(topic)) => About::Topic(RoomName::parse("topic", &topic)?),
        _ => return Err(Problem::invalid("give one of palette_id and topic")),
    };
    chat.limits.room(caller.user)?;
    if let About::Palette(palette) = about {
        check_palette(&chat.palettes, palette).await?;
    }
    let owner = person(&chat.store, &chat.accounts, caller.user).await?;
    let room = open_lobby::open(&chat.store, owner, about, body.private, operation.0).await?;
    let location = format!("/lobbies/{}", room.id);
    Ok(located((StatusCode::CREATED, Json(LobbyView::new(room, true))), &location))
}

/// Public lobbies, and those the caller is in; newest first.
#[utoipa::path(
    get, path = "/lobbies", tag = "chat", operation_id = "lobbies",
    params(
        AboutPalette,
        ("limit" = Option<u64>, Query, description = "1 to 100, 20 unless given."),
        ("cursor" = Option<String>, Query, description = "From the `Link` of the page before."),
    ),
    responses((status = 200, body = Vec<LobbyView>))
)]
pub(super) async fn list(
    State(chat): State<Chat>,
    caller: Caller,
    Query(about): Query<AboutPalette>,
    page: Page,
    uri: Uri,
) -> Result<Response, Problem> {
    let before = page.after::<RoomId>()?;
    let listed = Listed::Lobbies(about.palette_id);
    let mut found = chat.store.rooms(caller.user(), listed, before, page.limit + 1).await?;
    let next = page.cut(&mut found, |last| last.room.id);
    Ok(paged(found.into_iter().map(view).collect(), next, &uri))
}

/// One lobby.
#[utoipa::path(
    get, path = "/lobbies/{id}", tag = "chat", operation_id = "lobby",
    params(("id" = RoomId, Path)),
    responses(
        (status = 200, body = LobbyView),
        (status = 404, description = "There is no such lobby for the caller."),
    )
)]
pub(super) async fn one(
    State(chat): State<Chat>,
    caller: Caller,
    Path(id): Path<RoomId>,
) -> Result<Json<LobbyView>, Problem> {
    let user = caller.user().unwrap_or(contracts::ids::UserId::new(0));
    let found = chat.store.seated(RoomKind::Lobby, id, user).await?;
    let seen = found.filter(|found| found.seat.is_some() || !found.room.private);
    Ok(Json(view(seen.ok_or(ChatError::NoRoom(RoomKind::Lobby))?)))
}

/// Deletes a lobby for everybody: its owner may, and staff.
#[utoipa::path(
    delete, path = "/lobbies/{id}", tag = "chat", operation_id = "delete_lobby",
    params(("id" = RoomId, Path)),
    responses(
        (status = 200, description = "`Lobby deleted successfully`", body = Done),
        (status = 401, description = "Not signed in."),
        (status = 403, description = "Only its owner may."),
        (status = 404, description = "There is no such lobby for the caller."),
    )
)]
pub(super) async fn delete(
    State(chat): State<Chat>,
    SignedIn(caller): SignedIn,
    Path(id): Path<RoomId>,
) -> Result<Json<Done>, Problem> {
    open_lobby::delete(&chat.store, id, caller.user, caller.staff).await?;
    Ok(Json(Done { message: "Lobby deleted successfully" }))
}

/// Joins a lobby; a private one with its invitation code.
#[utoipa::path(
    post, path = "/lobbies/{id}/join", tag = "chat", operation_id = "join_lobby",
    params(("id" = RoomId, Path)), request_body(content = Option<Joining>),
    responses(
        (status = 200, description = "In it, perhaps since before", body = LobbyView),
        (status = 401, description = "Not signed in."),
        (status = 404, description = "There is no such lobby, or it is private and the code another."),
    )
)]
pub(super) async fn join(
    State(chat): State<Chat>,
    SignedIn(caller): SignedIn,
    Path(id): Path<RoomId>,
    body: Bytes,
) -> Result<Json<LobbyView>, Problem> {
    // For a public one there is nothing to say.
    let joining = if body.is_empty() { Joining::default() } else { rest::json::parse(&body)? };
    chat.limits.message(caller.user)?;
    let who = person(&chat.store, &chat.accounts, caller.user).await?;
    let room = open_lobby::join(&chat.store, id, who, joining.invite_code).await?;
    Ok(Json(LobbyView::new(room, true)))
}

/// Leaves a lobby.
#[utoipa::path(
    post, path = "/lobbies/{id}/leave", tag = "chat", operation_id = "leave_lobby",
    params(("id" = RoomId, Path)),
    responses(
        (status = 200, description = "Not in it, perhaps since before", body = LobbyView),
        (status = 401, description = "Not signed in."),
        (status = 404, description = "There is no such lobby for the caller."),
    )
)]
pub(super) async fn leave(
    State(chat): State<Chat>,
    SignedIn(caller): SignedIn,
    Path(id): Path<RoomId>,
) -> Result<Json<LobbyView>, Problem> {
    let room = open_lobby::go(&chat.store, id, caller.user).await?;
    Ok(Json(LobbyView::new(room, false)))
}

/// The members of a lobby that one has joined.
#[utoipa::path(
    get, path = "/lobbies/{id}/members", tag = "chat", operation_id = "members_of_lobby",
    params(
        ("id" = RoomId, Path),
        ("limit" = Option<u64>, Query, description = "1 to 100, 20 unless given."),
        ("cursor" = Option<String>, Query, description = "From the `Link` of the page before."),
    ),
    responses(
        (status = 200, body = Vec<MemberView>),
        (status = 401, description = "Not signed in."),
        (status = 403, description = "The caller has not joined it."),
        (status = 404, description = "There is no such lobby for the caller."),
    )
)]
pub(super) async fn members(
    State(chat): State<Chat>,
    SignedIn(caller): SignedIn,
    Path(id): Path<RoomId>,
    page: Page,
    uri: Uri,
) -> Result<Response, Problem> {
    own_room(&chat.store, RoomKind::Lobby, id, caller.user).await?;
    let after = page.after::<i64>()?.unwrap_or(i64::MIN);
    let mut found = chat.store.named_members(id, after, page.limit + 1).await?;
    let next = page.cut(&mut found, |(user, _)| user.get());
    let member = |(user_id, username)| MemberView { user_id, username };
    Ok(paged(found.into_iter().map(member).collect(), next, &uri))
}

fn view(seated: Seated) -> LobbyView {
    LobbyView::new(seated.room, seated.seat.is_some())
}
