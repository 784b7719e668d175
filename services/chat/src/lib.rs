//! Chats and lobbies that lose nothing.
//!
//! **Owns** rooms, who is in them, and one ordered log of everything that happens there.
//! **Calls** accounts (who is who; the other side of every change of who is in a chat) and palettes
//! (whether there is one to talk about). **Emits** nothing: its log is its own, and its instances
//! tell each other when it has grown.
//!
//! **Fails** like this: without its database, 503; without accounts, people talk on, but no chat is
//! made or changed; without discovery or the event log nothing changes; killed, an instance loses
//! nothing that was acknowledged, and its sockets resume at another.
//!
//! **Invariants.** All members of a room see the same messages in the same order, each once: the
//! log is written under one lock, read in its order, and numbered without gaps in each room. A chat
//! lists somebody if and only if the accounts list the chat for them, once a change has ended. What
//! is somebody else's does not exist for those who are not in it.
//!
//! A message's way through the rooms: a socket (`inbox`) or `rest` hands it to `send_message`, which
//! puts it into `store` with others; `tail` reads it from there in every instance and hands it to
//! `live`, which encodes it once (`frames`) for all who read the room. `peers` tells the other
//! instances that there is something to read.

mod accounts;
mod change_chat;
mod create_chat;
mod edit_message;
mod erase_user;
mod error;
mod frames;
mod here;
mod inbox;
mod limits;
mod live;
mod model;
mod open_lobby;
mod peers;
mod read_room;
mod rest;
mod rpc;
mod send_message;
mod settings;
mod store;
mod tail;
mod workers;

use std::sync::Arc;
use std::time::Duration;

use ::rest::{Idempotency, Problem};
use axum::Router;
use contracts::chat::chat_server::{self, ChatServer};
use contracts::erasure::erasure_server::{Erasure, ErasureServer};
use contracts::palettes::PalettesStub;
use data::{DataError, Database, Migration};
use mesh::{Channel, Mesh};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tasks::Tasks;
use tonic::service::Routes;
use utoipa::OpenApi as _;
use uuid::Uuid;

use accounts::Accounts;
use here::Here;
use inbox::Inbox;
use limits::Limits;
use live::Live;
use peers::Peers;
use read_room::Marks;
use send_message::Post;
use store::Store;

pub use settings::{BadSetting, Settings};

/// Everything this service keeps in its database.
pub const MIGRATIONS: &[&[Migration]] =
    &[data::migrations!["0001_init"], saga::MIGRATIONS, ::rest::MIGRATIONS];

/// Once a change is decided, its caller waits so long for the accounts to have heard of it, too.
const SETTLE: Duration = Duration::from_millis(500);

/// What the handlers share. Cheap to clone.
#[derive(Clone)]
struct Chat {
    store: Store,
    sagas: saga::Engine,
    accounts: Accounts,
    palettes: PalettesStub<Channel>,
    post: Arc<Post>,
    marks: Arc<Marks>,
    limits: Arc<Limits>,
    live: Live,
    peers: Peers,
    settings: Arc<Settings>,
}

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Its database failed.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A setting cannot be used.
    #[error(transparent)]
    Setting(#[from] BadSetting),
}

/// The service: its REST and gRPC routes on one router. `db` has [`MIGRATIONS`]. Waits for no
/// sibling.
///
/// # Errors
/// When the database or a setting cannot be used.
pub async fn build(
    db: Database,
    mesh: Mesh,
    tasks: &Tasks,
    settings: Settings,
) -> Result<Router, BuildError> {
    settings.check()?;
    let store = Store::new(db.clone());
    let accounts = Accounts::new(&mesh);
    let saga_settings = saga::Settings {
        give_up_after: settings.change_within(),
        // Who waits is told that it failed, even if undoing it takes longer.
        wait: settings.change_within() + Duration::from_secs(1),
        longest_pause: Duration::from_secs(2),
        ..saga::Settings::default()
    };
    let sagas = sagas(&db, &accounts, saga_settings);
    let here = Arc::new(Here::default());
    let peers = Peers::new(here.clone());
    let (limits, post) = (Arc::new(Limits::new(&settings)), Arc::new(Post::new(&store, &settings)));
    let marks = Arc::new(Marks::new(&store, &settings));
    let inbox = Inbox {
        store: store.clone(),
        post: post.clone(),
        marks: marks.clone(),
        limits: limits.clone(),
        here: here.clone(),
        peers: peers.clone(),
    };
    let live = Live::new(store.clone(), here, peers.clone(), inbox.handler(), &settings);

    tail::follow(store.clone(), live.clone(), peers.clone(), settings.look_every(), tasks).await?;
    peers.start(mesh.clone(), live.clone(), tasks);
    sagas.start(tasks);
    workers::start(&store, tasks);

    let keys = Idempotency::new(db);
    let palettes = PalettesStub::new(mesh.channel("palettes"));
    let settings = Arc::new(settings);
    let chat =
        Chat { store, sagas, accounts, palettes, post, marks, limits, live, peers, settings };
    mesh.offer::<dyn chat_server::Chat>("chat", Arc::new(chat.clone()));
    mesh.offer::<dyn Erasure>("chat", Arc::new(chat.clone()));
    let rpc = Routes::from(Router::new())
        .add_service(ChatServer::new(chat.clone()))
        .add_service(ErasureServer::new(chat.clone()));
    Ok(::rest::router(rest::routes(chat, &keys).merge(rpc.into_axum_router())))
}

/// The operations that need the accounts as well.
fn sagas(db: &Database, accounts: &Accounts, settings: saga::Settings) -> saga::Engine {
    saga::Engine::new(db.clone(), settings)
        .register(create_chat::definition(accounts))
        .register(change_chat::definition(accounts))
}

/// This service's part of the OpenAPI document.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    rest::Document::openapi()
}

/// Runs a two-phase commit and answers when it is decided; if they are quick, when both have it.
async fn both_agree<S>(sagas: &saga::Engine, kind: &str, id: Uuid, state: S) -> Result<S, Problem>
where
    S: Clone + Serialize + DeserializeOwned + 'static,
{
    let decided = sagas.run_past_pivot(kind, id, state.clone()).await?;
    // What is decided is done, if not now.
    drop(tokio::time::timeout(SETTLE, sagas.run(kind, id, state)).await);
    Ok(decided)
}

#[cfg(test)]
#[path = "../tests/support/accounts.rs"]
mod fake_accounts;
#[cfg(test)]
mod tests;
