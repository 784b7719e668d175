//! The public routes: chats, their messages, lobbies, sockets.

#![allow(unused_qualifications, reason = "utoipa's macros write them")]

mod bodies;
mod chats;
mod lobbies;
mod messages;
mod sockets;
mod view;

pub(crate) use bodies::text_or_number;

use axum::Router;
use axum::routing::{delete, get, patch, post, put};
use rest::Idempotency;
use utoipa::OpenApi;

use crate::Chat;

/// The routes, over this service.
pub(crate) fn routes(chat: Chat, keys: &Idempotency) -> Router {
    let creating = Router::new()
        .route("/api/chat", post(chats::create))
        .route("/api/chat/{id}/message", post(messages::send))
        .route("/lobbies", post(lobbies::open))
        .route("/lobbies/{id}/messages", post(messages::send_to_lobby))
        .route_layer(keys.layer());
    Router::new()
        .merge(creating)
        .route("/api/chat", get(chats::list))
        .route("/api/chat/message", get(messages::search))
        .route("/api/chat/{id}", get(chats::one).patch(chats::rename).delete(chats::delete))
        .route("/api/chat/{id}/read", put(chats::read))
        .route("/api/chat/{id}/participants", post(chats::add))
        .route("/api/chat/{id}/participants/{user_id}", delete(chats::remove))
        .route("/api/chat/{id}/message", get(messages::history))
        .route(
            "/api/chat/{id}/message/{message_id}",
            patch(messages::edit).delete(messages::delete),
        )
        .route(
            "/api/chat/{id}/message/{message_id}/reactions/{emoji}",
            put(messages::react).delete(messages::unreact),
        )
        .route("/lobbies", get(lobbies::list))
        .route("/lobbies/{id}", get(lobbies::one).delete(lobbies::delete))
        .route("/lobbies/{id}/join", post(lobbies::join))
        .route("/lobbies/{id}/leave", post(lobbies::leave))
        .route("/lobbies/{id}/members", get(lobbies::members))
        .route("/lobbies/{id}/messages", get(messages::history_of_lobby))
        .route(
            "/lobbies/{id}/messages/{message_id}",
            patch(messages::edit_in_lobby).delete(messages::delete_in_lobby),
        )
        .route(
            "/lobbies/{id}/messages/{message_id}/reactions/{emoji}",
            put(messages::react_in_lobby).delete(messages::unreact_in_lobby),
        )
        .route("/ws/chat", get(sockets::chats))
        .route("/ws/lobbies/{id}", get(sockets::lobby))
        .with_state(chat)
}

/// This service's part of the OpenAPI document.
#[derive(OpenApi)]
#[openapi(
    paths(
        chats::create,
        chats::list,
        chats::one,
        chats::rename,
        chats::delete,
        chats::read,
        chats::add,
        chats::remove,
        messages::send,
        messages::history,
        messages::search,
        messages::edit,
        messages::delete,
        messages::react,
        messages::unreact,
        lobbies::open,
        lobbies::list,
        lobbies::one,
        lobbies::delete,
        lobbies::join,
        lobbies::leave,
        lobbies::members,
        messages::send_to_lobby,
        messages::history_of_lobby,
        messages::edit_in_lobby,
        messages::delete_in_lobby,
        messages::react_in_lobby,
        messages::unreact_in_lobby,
        sockets::chats,
        sockets::lobby,
    ),
    tags((name = "chat", description = "Chats and lobbies, by REST and live"))
)]
pub(crate) struct Document;
