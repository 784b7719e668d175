//! Chats, and who is in them.

use std::collections::{BTreeSet, HashMap};

use axum::extract::State;
use axum::response::Response;
use contracts::ids::{RoomId, UserId};
use http::{StatusCode, Uri};
use rest::{Json, OperationId, Page, Path, Problem, SignedIn, located, paged};
use uuid::Uuid;

use super::bodies::{ChatChange, NewChat, NewParticipant, ReadUpTo};
use super::view::{Changed, ChatView, Created, Done, NewChatView};
use crate::change_chat::{self, Wanted, delete_chat, may_remove, rename_chat};
use crate::error::ChatError;
use crate::model::{RoomKind, RoomName};
use crate::read_room::own_room;
use crate::store::{Listed, Seated, members_of};
use crate::{Chat, both_agree, create_chat};

/// Makes a chat. Its participants have it in their accounts, or it is not made.
#[utoipa::path(
    post, path = "/api/chat", tag = "chat", operation_id = "create_chat", request_body = NewChat,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key and body give the first answer again.")),
    responses(
        (status = 201, body = Created, headers(("Location" = String))),
        (status = 401, description = "Not signed in."),
        (status = 422, description = "A name that is none, too many participants, or somebody who is not there."),
        (status = 429, description = "Too many new rooms."),
        (status = 503, description = "The accounts cannot be reached; nothing was made."),
    )
)]
pub(super) async fn create(
    State(chat): State<Chat>,
    SignedIn(caller): SignedIn,
    operation: OperationId,
    Json(body): Json<NewChat>,
) -> Result<Response, Problem> {
    let name = RoomName::parse("chatName", &body.chat_name)?.into_string();
    let mut users: BTreeSet<UserId> = body.participants.into_iter().collect();
    users.insert(caller.user);
    let most = chat.settings.participants_per_chat;
    if users.len() > most {
        return Err(ChatError::Full(most).into());
    }
    chat.limits.room(caller.user)?;
    let users: Vec<UserId> = users.into_iter().collect();
    let people = chat.accounts.people(&users).await?;
    if let Some(gone) = users.iter().find(|user| people.iter().all(|p| p.user != **user)) {
        let gone = *gone;
        return Err(if gone == caller.user {
            ChatError::Erased.into()
        } else {
            ChatError::NoSuchUser(gone).into()
        });
    }
    let state = create_chat::State::new(caller.user, people, name);
    let state = both_agree(&chat.sagas, create_chat::NAME, operation.or_new(), state).await?;
    let (id, participants, chat_name) = state.created().ok_or_else(Problem::internal)?;
    let view = NewChatView { id, participants, chat_name };
    let created = Created { message: "Chat created successfully", chat: view };
    Ok(located((StatusCode::CREATED, Json(created)), &format!("/api/chat/{id}")))
}

/// The caller's chats, newest first.
#[utoipa::path(
    get, path = "/api/chat", tag = "chat", operation_id = "chats",
    params(
        ("limit" = Option<u64>, Query, description = "1 to 100, 20 unless given."),
        ("cursor" = Option<String>, Query, description = "From the `Link` of the page before."),
    ),
    responses(
        (status = 200, body = Vec<ChatView>, headers(
            ("Link" = String, description = "The next page, rel=\"next\"."),
            ("Chat-Cursor" = String, description = "Where `/ws/chat?after=` goes on from this list."),
        )),
        (status = 401, description = "Not signed in."),
    )
)]
pub(super) async fn list(
    State(chat): State<Chat>,
    SignedIn(caller): SignedIn,
    page: Page,
    uri: Uri,
) -> Result<Response, Problem> {
    let before = page.after::<RoomId>()?;
    // First, so that what happens while the list is read comes once more rather than not at all.
    let head = chat.store.head().await?;
    let mut found =
        chat.store.rooms(Some(caller.user), Listed::Chats, before, page.limit + 1).await?;
    let next = page.cut(&mut found, |last| last.room.id);
    let views = views(&chat, caller.user, found).await?;
    let mut response = paged(views, next, &uri);
    response.headers_mut().insert("chat-cursor", head.into());
    Ok(response)
}

/// One of the caller's chats.
#[utoipa::path(
    get, path = "/api/chat/{id}", tag = "chat", operation_id = "chat",
    params(("id" = RoomId, Path)),
    responses(
        (status = 200, body = ChatView),
        (status = 401, description = "Not signed in."),
        (status = 404, description = "The caller is in no such chat."),
    )
)]
pub(super) async fn one(
    State(chat): State<Chat>,
    SignedIn(caller): SignedIn,
    Path(id): Path<RoomId>,
) -> Result<Json<ChatView>, Problem> {
    let seated = own_room(&chat.store, RoomKind::Chat, id, caller.user).await?;
    let view = views(&chat, caller.user, vec![seated]).await?.pop();
    view.map(Json).ok_or_else(Problem::internal)
}

/// Renames a chat.
#[utoipa::path(
    patch, path = "/api/chat/{id}", tag = "chat", operation_id = "rename_chat",
    params(("id" = RoomId, Path)), request_body = ChatChange,
    responses(
        (status = 200, description = "`Chat details updated successfully`", body = Done),
        (status = 401, description = "Not signed in."),
        (status = 403, description = "Only its owner may."),
        (status = 404, description = "The caller is in no such chat."),
        (status = 422, description = "A name that is none."),
    )
)]
pub(super) async fn rename(
    State(chat): State<Chat>,
    SignedIn(caller): SignedIn,
    Path(id): Path<RoomId>,
    Json(body): Json<ChatChange>,
) -> Result<Json<Done>, Problem> {
    let name = RoomName::parse("chatName", &body.chat_name)?;
    rename_chat(&chat.store, id, caller.user, name).await?;
    Ok(Json(Done { message: "Chat details updated successfully" }))
}

/// Deletes a chat for everybody.
#[utoipa::path(
    delete, path = "/api/chat/{id}", tag = "chat", operation_id = "delete_chat",
    params(("id" = RoomId, Path)),
    responses(
        (status = 200, description = "`Chat deleted successfully`", body = Done),
        (status = 401, description = "Not signed in."),
        (status = 403, description = "Only its owner may."),
        (status = 404, description = "The caller is in no such chat."),
        (status = 503, description = "The accounts cannot be reached; nothing was deleted."),
    )
)]
pub(super) async fn delete(
    State(chat): State<Chat>,
    SignedIn(caller): SignedIn,
    Path(id): Path<RoomId>,
) -> Result<Json<Done>, Problem> {
    delete_chat(&chat.store, &chat.sagas, id, caller.user).await?;
    Ok(Json(Done { message: "Chat deleted successfully" }))
}

/// Moves the caller's read marker forward; never back.
#[utoipa::path(
    put, path = "/api/chat/{id}/read", tag = "chat", operation_id = "read_chat",
    params(("id" = RoomId, Path)), request_body = ReadUpTo,
    responses(
        (status = 204, description = "Done."),
        (status = 401, description = "Not signed in."),
        (status = 404, description = "The caller is in no such chat."),
    )
)]
pub(super) async fn read(
    State(chat): State<Chat>,
    SignedIn(caller): SignedIn,
    Path(id): Path<RoomId>,
    Json(body): Json<ReadUpTo>,
) -> Result<StatusCode, Problem> {
    chat.limits.signal(caller.user)?;
    chat.marks.set(id, caller.user, body.seq).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Adds a participant; each of them may. The accounts check who asks and who is added.
#[utoipa::path(
    post, path = "/api/chat/{id}/participants", tag = "chat", operation_id = "add_participant",
    params(("id" = RoomId, Path)), request_body = NewParticipant,
    responses(
        (status = 200, description = "`Participant added successfully`", body = Changed),
        (status = 401, description = "Not signed in."),
        (status = 404, description = "The caller is in no such chat."),
        (status = 422, description = "There is no such user, or the chat is full."),
        (status = 503, description = "The accounts cannot be reached; nothing was changed."),
    )
)]
pub(super) async fn add(
    State(chat): State<Chat>,
    SignedIn(caller): SignedIn,
    Path(id): Path<RoomId>,
    Json(body): Json<NewParticipant>,
) -> Result<Json<Changed>, Problem> {
    let seated = own_room(&chat.store, RoomKind::Chat, id, caller.user).await?;
    let person = chat.accounts.people(&[body.user_id]).await?.pop();
    let person = person.ok_or(ChatError::NoSuchUser(body.user_id))?;
    let wanted = Wanted::Add(person, chat.settings.participants_per_chat);
    change(&chat, seated, caller.user, wanted, "Participant added successfully").await
}

/// Removes a participant: oneself, or, as the chat's owner, another.
#[utoipa::path(
    delete, path = "/api/chat/{id}/participants/{user_id}", tag = "chat",
    operation_id = "remove_participant",
    params(("id" = RoomId, Path), ("user_id" = UserId, Path)),
    responses(
        (status = 200, description = "`Participant removed successfully`", body = Changed),
        (status = 401, description = "Not signed in."),
        (status = 403, description = "Only the chat's owner may remove others."),
        (status = 404, description = "The caller, or the other, is not in the chat."),
        (status = 503, description = "The accounts cannot be reached; nothing was changed."),
    )
)]
pub(super) async fn remove(
    State(chat): State<Chat>,
    SignedIn(caller): SignedIn,
    Path((id, user)): Path<(RoomId, UserId)>,
) -> Result<Json<Changed>, Problem> {
    let seated = own_room(&chat.store, RoomKind::Chat, id, caller.user).await?;
    may_remove(&seated, caller.user, user)?;
    let members = members_of(&chat.store.db().read_primary(), id).await?;
    if !members.contains(&user) {
        return Err(ChatError::NoMember.into());
    }
    let removed = "Participant removed successfully";
    change(&chat, seated, caller.user, Wanted::Remove(user), removed).await
}

async fn change(
    chat: &Chat,
    seated: Seated,
    asker: UserId,
    wanted: Wanted,
    message: &'static str,
) -> Result<Json<Changed>, Problem> {
    let (id, chat_name) = (seated.room.id, seated.room.name);
    let state = change_chat::State { room: id, asker, wanted };
    both_agree(&chat.sagas, change_chat::NAME, Uuid::new_v4(), state).await?;
    let participants = members_of(&chat.store.db().read_primary(), id).await?;
    Ok(Json(Changed { message, chat: NewChatView { id, participants, chat_name } }))
}

async fn views(chat: &Chat, caller: UserId, found: Vec<Seated>) -> Result<Vec<ChatView>, Problem> {
    let mut participants: HashMap<RoomId, Vec<UserId>> = HashMap::new();
    for (room, user) in chat.store.members_of_rooms(found.iter().map(|s| s.room.id)).await? {
        participants.entry(room).or_default().push(user);
    }
    let mentions: HashMap<RoomId, i64> =
        chat.store.unread_mentions(caller).await?.into_iter().collect();
    let view = |seated: Seated| {
        let id = seated.room.id;
        let called = mentions.get(&id).copied().unwrap_or_default();
        ChatView::new(seated, participants.remove(&id).unwrap_or_default(), called)
    };
    Ok(found.into_iter().map(view).collect())
}
