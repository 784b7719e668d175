//! A gateway on a port of its own, with services behind it that remember what reached them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use auth::{Principal, Signer};
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use contracts::events::Event;
use events::{Entry, Log};
use fanout::{Hub, Upgrade};
use http::{HeaderMap, Method, StatusCode, Uri};
use ids::UserId;
use mesh::{Mesh, MeshSettings};
use serde_json::{Value, json};
use tasks::Tasks;
use telemetry::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What reached a service.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) context: Context,
    pub(crate) body: usize,
}

/// What the fake services share.
#[derive(Clone)]
pub(crate) struct Fakes {
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
    pub(crate) calls: Arc<AtomicUsize>,
    /// What waits for a permit goes on when the test gives one.
    pub(crate) held: Arc<Semaphore>,
    pub(crate) keys: Arc<Mutex<Vec<Value>>>,
    /// Requests that were given up before they were answered.
    pub(crate) given_up: Arc<AtomicUsize>,
    pub(crate) hub: Hub<&'static str>,
}

impl Fakes {
    pub(crate) fn new() -> Self {
        Self {
            seen: Arc::default(),
            calls: Arc::default(),
            held: Arc::new(Semaphore::new(0)),
            keys: Arc::default(),
            given_up: Arc::default(),
            hub: Hub::new(fanout::Settings::default()),
        }
    }

    fn note(&self, method: Method, uri: &Uri, headers: HeaderMap, body: usize) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let context = Context::current().unwrap();
        self.seen.lock().unwrap().push(Seen {
            method,
            target: uri.to_string(),
            headers,
            context,
            body,
        });
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub(crate) fn last(&self) -> Seen {
        self.seen.lock().unwrap().last().unwrap().clone()
    }

    pub(crate) fn accounts(&self) -> Router {
        let made = |State(fakes): State<Self>, method, uri: Uri, headers, body: Bytes| async move {
            fakes.note(method, &uri, headers, body.len());
            let cookie = [("set-cookie", "accessToken=new; HttpOnly; Path=/")];
            (StatusCode::CREATED, cookie, Json(json!({"user_id": "1"})))
        };
        let seen = |State(fakes): State<Self>, method, uri: Uri, headers, body: Bytes| async move {
            fakes.note(method, &uri, headers, body.len());
            Json(json!({}))
        };
        let keys = |State(fakes): State<Self>| async move {
            Json(json!({"keys": *fakes.keys.lock().unwrap()}))
        };
        Router::new()
            .route("/.well-known/jwks.json", get(keys))
            .route("/users/register", post(made))
            .route("/login", post(seen))
            .route("/refresh", post(seen))
            .route("/users/{id}", any(seen))
            .with_state(self.clone())
    }

    pub(crate) fn palettes(&self) -> Router {
        Router::new()
            .route("/palettes", any(palette))
            .route("/palettes/{id}", any(named))
            .route("/palettes/{id}/export/{format}", get(palette))
            .route("/palettes/extract", post(palette))
            .with_state(self.clone())
    }

    /// Every service that a route leads to.
    pub(crate) fn install(&self, mesh: &Mesh) {
        mesh.install("accounts", self.accounts());
        self.install_others(mesh);
    }

    /// Every one but the accounts.
    pub(crate) fn install_others(&self, mesh: &Mesh) {
        mesh.install("palettes", self.palettes());
        mesh.install("popularity", self.popularity());
        mesh.install("chat", Router::new());
    }

    pub(crate) fn popularity(&self) -> Router {
        let live = |State(fakes): State<Self>, uri: Uri, headers, upgrade: Upgrade| async move {
            fakes.note(Method::GET, &uri, headers, 0);
            fakes.hub.join(upgrade, "news", ())
        };
        Router::new()
            .route("/popular", get(popular))
            .route("/popular/{category}", get(popular))
            .route("/like", any(palette))
            .route("/recommendations", get(palette))
            .route("/ws/popularity", get(live))
            .with_state(self.clone())
    }
}

async fn palette(
    State(fakes): State<Fakes>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let status = if method == Method::POST { StatusCode::CREATED } else { StatusCode::OK };
    fakes.note(method, &uri, headers, body.len());
    (status, Json(json!({"palette_id": "7", "color_codes": ["#AABBCC"]}))).into_response()
}

async fn named(
    State(fakes): State<Fakes>,
    Path(id): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    fakes.note(method, &uri, headers, body.len());
    match &*id {
        "broken" => {
            (StatusCode::INTERNAL_SERVER_ERROR, "SELECT * FROM users at 10.0.0.7").into_response()
        }
        "panic" => panic!("on purpose"),
        "held" => {
            let mut work = Work { given_up: Some(fakes.given_up) };
            fakes.held.acquire().await.unwrap().forget();
            work.given_up = None;
            Json(json!({"palette_id": "held"})).into_response()
        }
        "large" => Json(json!({"text": "#AABBCC ".repeat(1000)})).into_response(),
        "endless" => vec![b'x'; 64 << 20].into_response(),
        "internal" => ([("x-atelier-inside", "1"), ("x-outside", "1")], "ok").into_response(),
        _ => Json(json!({"palette_id": id})).into_response(),
    }
}

/// Counts as given up unless it is finished.
struct Work {
    given_up: Option<Arc<AtomicUsize>>,
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Some(given_up) = &self.given_up {
            given_up.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// `?private` is not to be cached; `?held` waits for a permit.
async fn popular(State(fakes): State<Fakes>, uri: Uri, headers: HeaderMap) -> Response {
    fakes.note(Method::GET, &uri, headers, 0);
    let call = fakes.calls();
    let query = uri.query().unwrap_or_default();
    if query.contains("held") {
        fakes.held.acquire().await.unwrap().forget();
    }
    let body = Json(json!({"call": call, "text": "#AABBCC ".repeat(300)}));
    if query.contains("private") {
        ([("cache-control", "private")], body).into_response()
    } else {
        body.into_response()
    }
}

/// A gateway that runs.
pub(crate) struct House {
    pub(crate) address: SocketAddr,
    pub(crate) fakes: Fakes,
    pub(crate) signer: Signer,
    pub(crate) log: Log,
    pub(crate) mesh: Mesh,
    pub(crate) stop: CancellationToken,
    pub(crate) served: JoinHandle<()>,
    _tasks: Tasks,
    _folder: tempfile::TempDir,
}

impl House {
    pub(crate) async fn new() -> Self {
        Self::with("").await
    }

    /// With `[gateway]` settings, all services in the gateway's process.
    pub(crate) async fn with(settings: &str) -> Self {
        Self::limited(settings, gateway::Limits::default()).await
    }

    pub(crate) async fn limited(settings: &str, limits: gateway::Limits) -> Self {
        let fakes = Fakes::new();
        let mesh = Mesh::new(MeshSettings::default());
        fakes.install(&mesh);
        let house = Self::over(settings, limits, mesh, fakes).await;
        house.until_ready().await;
        house
    }

    /// Over a mesh that the test made.
    pub(crate) async fn over(
        settings: &str,
        limits: gateway::Limits,
        mesh: Mesh,
        fakes: Fakes,
    ) -> Self {
        let signer = signer("first");
        fakes.keys.lock().unwrap().push(signer.jwk());
        let (data, folder) = testkit::temp_sqlite();
        let log = Log::open(&data).await.unwrap();
        let mut settings: gateway::Settings = toml::from_str(settings).unwrap();
        settings.limits = limits;
        let tasks = Tasks::new();
        let openapi = r#"{"openapi":"3.1.0"}"#.to_owned();
        let gateway = gateway::build(
            mesh.clone(),
            log.clone(),
            &cache::Store::embedded(),
            settings,
            openapi,
            &tasks,
        )
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let served = tokio::spawn(gateway.serve(listener, stop.clone()));
        Self { address, fakes, signer, log, mesh, stop, served, _tasks: tasks, _folder: folder }
    }

    pub(crate) async fn until_ready(&self) {
        self.until("the gateway is ready", async || self.get("/readyz").await.status() == 200)
            .await;
    }

    /// Waits for something to become true.
    pub(crate) async fn until(&self, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
        let all = async {
            while !is_so().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(
            tokio::time::timeout(Duration::from_secs(10), all).await.is_ok(),
            "waited in vain: {what}"
        );
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        reqwest::get(self.url(path)).await.unwrap()
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        reqwest::Client::new().request(method.parse().unwrap(), self.url(path))
    }

    pub(crate) fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.request("POST", path).header("content-type", "application/json").body("{}")
    }

    pub(crate) fn principal(user: i64, session: &str) -> Principal {
        Principal { user: UserId::new(user), session: session.to_owned(), staff: false }
    }

    pub(crate) fn token(&self, user: i64, session: &str) -> String {
        self.signer.sign_access(&Self::principal(user, session), Duration::from_secs(60))
    }

    pub(crate) async fn emit<E: Event>(&self, event: &E) {
        self.log.append(vec![Entry::new(E::NAME, &event.key(), event).unwrap()]).await.unwrap();
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes and reads until the gateway closes, or has been silent for a while.
    pub(crate) async fn raw(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_ref()).await.unwrap();
        read_all(&mut stream).await.0
    }
}

pub(crate) fn signer(kid: &str) -> Signer {
    Signer::from_pkcs8(kid, &Signer::generate().unwrap()).unwrap()
}

/// What comes until the end or a silence of half a second, and whether it was the end.
pub(crate) async fn read_all(stream: &mut TcpStream) -> (String, bool) {
    let mut all = Vec::new();
    let mut some = vec![0; 16 * 1024];
    let ended = loop {
        match tokio::time::timeout(Duration::from_millis(500), stream.read(&mut some)).await {
            Ok(Ok(0) | Err(_)) => break true,
            Ok(Ok(got)) => all.extend_from_slice(&some[..got]),
            Err(_) => break false,
        }
    };
    (String::from_utf8_lossy(&all).into_owned(), ended)
}

/// A problem document, checked for all its members.
pub(crate) async fn problem(response: reqwest::Response, status: u16) -> Value {
    assert_eq!(response.status().as_u16(), status);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["status"], status);
    assert_eq!(body["message"], "failure");
    assert_eq!(body["detail"], body["error"]);
    assert_eq!(body["request_id"], id.as_str());
    body
}
