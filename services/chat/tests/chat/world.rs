//! A chat service with several instances, and what is around it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use auth::Principal;
use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use chat::Settings;
use contracts::erasure::EraseRequest;
use contracts::erasure::erasure_client::ErasureClient;
use contracts::palettes::palettes_server::{Palettes, PalettesServer};
use contracts::palettes::{GetManyReply, GetManyRequest, Palette};
use data::{DataError, DataSettings, Database, Sql, Tx, values};
use futures::{SinkExt, StreamExt};
use mesh::{Mesh, MeshSettings};
use serde_json::{Value, json};
use tasks::Tasks;
use telemetry::Context;
use testkit::Client;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::accounts::FakeAccounts;

pub(crate) const ADA: i64 = 1;
pub(crate) const BEN: i64 = 2;
pub(crate) const CLEO: i64 = 3;
pub(crate) const DAN: i64 = 4;
/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Knows palette 7 and no other.
struct OnePalette;

#[tonic::async_trait]
impl Palettes for OnePalette {
    async fn get_many(
        &self,
        request: tonic::Request<GetManyRequest>,
    ) -> Result<tonic::Response<GetManyReply>, tonic::Status> {
        let known = request.into_inner().palette_ids.contains(&7);
        let palette = Palette { palette_id: 7, ..Palette::default() };
        let palettes = known.then_some(palette).into_iter().collect();
        Ok(tonic::Response::new(GetManyReply { palettes }))
    }
}

pub(crate) struct World {
    pub(crate) db: Database,
    pub(crate) accounts: FakeAccounts,
    pub(crate) mesh: Mesh,
    pub(crate) tasks: Tasks,
    pub(crate) client: Client,
    pub(crate) at: SocketAddr,
    how: Settings,
}

impl World {
    pub(crate) async fn new(settings: DataSettings) -> Self {
        Self::with(settings, Settings::default()).await
    }

    pub(crate) async fn with(settings: DataSettings, how: Settings) -> Self {
        let how = Settings { look_every_ms: 20, ..how };
        let db = Database::open(&settings, chat::MIGRATIONS).await.unwrap();
        let accounts = FakeAccounts::default();
        for (id, name) in [(ADA, "ada"), (BEN, "ben"), (CLEO, "cleo"), (DAN, "dan")] {
            accounts.get().people.insert(id, name.into());
        }
        let (mesh, tasks) = (mesh_of(&accounts), Tasks::new());
        let router = chat::build(db.clone(), mesh.clone(), &tasks, how.clone()).await.unwrap();
        mesh.install("chat", router.clone());
        let at = serve(router.clone()).await;
        Self { db, accounts, mesh, tasks, client: Client::new(router), at, how }
    }

    /// A second instance on the same database, that nobody tells anything.
    pub(crate) async fn another(&self) -> SocketAddr {
        let (db, mesh) = (self.db.clone(), mesh_of(&self.accounts));
        serve(chat::build(db, mesh, &self.tasks, self.how.clone()).await.unwrap()).await
    }

    pub(crate) fn user(&self, user: i64) -> Client {
        self.client.as_user(user)
    }

    /// A chat of Ada's with others; its id.
    pub(crate) async fn chat(&self, others: &[i64]) -> String {
        let body = json!({"participants": others, "chatName": "blue"});
        let made = self.user(ADA).post("/api/chat", body).await.expect(201).json();
        made["chat"]["id"].as_str().unwrap().to_owned()
    }

    /// A public lobby of Ada's that others have joined; its id.
    pub(crate) async fn lobby(&self, others: &[i64]) -> String {
        let opened = self.user(ADA).post("/lobbies", json!({"topic": "blue"})).await.expect(201);
        let id = opened.json()["lobby_id"].as_str().unwrap().to_owned();
        for other in others {
            self.user(*other).post(&format!("/lobbies/{id}/join"), json!({})).await.expect(200);
        }
        id
    }

    /// Sends a message to a chat, and tells how it is known.
    pub(crate) async fn say(&self, user: i64, chat: &str, text: &str) -> Value {
        let path = format!("/api/chat/{chat}/message");
        let sent = self.user(user).post(&path, json!({"message": text})).await.expect(201);
        sent.json()["messageInfo"].clone()
    }

    pub(crate) async fn erase(&self, user: i64) {
        let mut client = ErasureClient::new(self.mesh.channel("chat"));
        client.erase(EraseRequest { user_id: user }).await.unwrap();
    }

    /// Forgets which keys were used.
    pub(crate) async fn forget_keys(&self) {
        let forgotten: Result<u64, DataError> =
            self.db.write(|tx: &Tx| Box::pin(tx.run("DELETE FROM idempotency_keys", []))).await;
        forgotten.unwrap();
    }

    pub(crate) async fn count(&self, from: &str) -> i64 {
        let sql = format!("SELECT COUNT(*) FROM {from}");
        self.db.read().row::<(i64,)>(&sql, values![]).await.unwrap().unwrap().0
    }

    /// A socket that has joined what it reads.
    pub(crate) async fn socket(&self, user: i64, path: &str) -> Ears {
        Ears::open(self.at, user, path).await.unwrap()
    }
}

fn mesh_of(accounts: &FakeAccounts) -> Mesh {
    let mesh = Mesh::new(MeshSettings::default());
    mesh.install("accounts", accounts.router());
    let palettes = tonic::service::Routes::from(Router::new())
        .add_service(PalettesServer::new(OnePalette))
        .into_axum_router();
    mesh.install("palettes", palettes);
    mesh
}

/// Serves a router to real sockets, whose caller is who the header says.
async fn serve(router: Router) -> SocketAddr {
    let router = router.layer(from_fn(|request: Request, next: Next| async move {
        let caller = request.headers().get("x-test-user").map(|user| {
            let user = user.to_str().unwrap().parse().unwrap();
            Principal { user, session: "test".into(), staff: false }.to_header()
        });
        Context { caller, ..Context::background() }.scope(next.run(request)).await
    }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, router).into_future());
    at
}

/// One client's socket.
pub(crate) struct Ears(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Ears {
    /// Opens a socket. It has joined what it reads: the server reads what a client says only then,
    /// so an answer to nonsense proves it.
    ///
    /// # Errors
    /// The status of a refusal.
    pub(crate) async fn open(at: SocketAddr, user: i64, path: &str) -> Result<Self, u16> {
        let mut ears = Self::connect(at, user, path).await?;
        ears.send(json!({"type": "are you there"})).await;
        Ok(ears)
    }

    /// As [`Ears::open`], without waiting for anything.
    pub(crate) async fn connect(at: SocketAddr, user: i64, path: &str) -> Result<Self, u16> {
        let mut request = format!("ws://{at}{path}").into_client_request().unwrap();
        request.headers_mut().insert("x-test-user", user.into());
        match connect_async(request).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn send(&mut self, said: Value) {
        self.0.send(Message::text(said.to_string())).await.unwrap();
    }

    pub(crate) async fn send_raw(&mut self, message: Message) {
        self.0.send(message).await.unwrap();
    }

    async fn message(&mut self) -> Option<Message> {
        let next = tokio::time::timeout(PATIENCE, self.0.next()).await;
        next.expect("something within the time").and_then(Result::ok)
    }

    /// The next event that is not presence.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            let message = self.message().await.expect("an open socket");
            if let Message::Text(text) = message {
                let event: Value = serde_json::from_str(&text).unwrap();
                if event["type"] != "presence" {
                    return event;
                }
            }
        }
    }

    /// The next event of a kind.
    pub(crate) async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let message = self.message().await.expect("an open socket");
            if let Message::Text(text) = message {
                let event: Value = serde_json::from_str(&text).unwrap();
                if event["type"] == kind {
                    return event;
                }
            }
        }
    }

    /// Everything up to the answer to the nonsense of [`Ears::open`].
    pub(crate) async fn greeting(&mut self) -> Vec<Value> {
        let mut before = Vec::new();
        loop {
            let event = self.next().await;
            if event["type"] == "error" {
                return before;
            }
            before.push(event);
        }
    }

    /// How the socket is closed; what comes before does not count.
    pub(crate) async fn close_code(&mut self) -> u16 {
        loop {
            match self.message().await {
                Some(Message::Close(Some(frame))) => return frame.code.into(),
                Some(_) => {}
                None => panic!("closed without a word"),
            }
        }
    }
}

/// The texts of messages, in their order.
pub(crate) fn texts(messages: &Value) -> Vec<&str> {
    let text = |m: &'_ Value| if m["message"].is_null() { "text" } else { "message" };
    messages.as_array().unwrap().iter().map(|m| m[text(m)].as_str().unwrap()).collect()
}

/// The ids in an array of ids.
pub(crate) fn ids(list: &Value) -> BTreeSet<i64> {
    let id = |id: &Value| id.as_str().unwrap().parse().unwrap();
    list.as_array().unwrap().iter().map(id).collect()
}
