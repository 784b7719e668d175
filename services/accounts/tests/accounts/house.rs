//! The service with a front door: what the gateway does, as far as accounts are concerned.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use accounts::{Hashing, Settings};
use auth::{Principal, Verifier};
use axum::Router;
use axum::body::Body;
use contracts::chat::chat_server::{Chat, ChatServer};
use contracts::chat::{HearReply, HearRequest, OutcomeReply, OutcomeRequest};
use contracts::erasure::erasure_server::{Erasure, ErasureServer};
use contracts::erasure::{EraseReply, EraseRequest};
use data::{DataSettings, Database, Sql, values};
use events::{Log, Recorded};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use ids::UserId;
use mesh::{Mesh, MeshSettings};
use serde_json::{Value, json};
use tasks::Tasks;
use telemetry::Context;
use tower::ServiceExt;

pub struct House {
    pub router: Router,
    pub db: Database,
    pub log: Log,
    pub mesh: Mesh,
    pub tasks: Tasks,
    pub palettes: Sibling,
    pub popularity: Sibling,
    pub chat: Sibling,
    /// What chat says of its two-phase commits.
    pub outcomes: Outcomes,
}

/// Settings that hash fast and are otherwise the defaults.
pub fn quick() -> Settings {
    let hashing = Hashing { memory_kib: 64, passes: 1, ..Hashing::default() };
    Settings { hashing, ..Settings::default() }
}

impl House {
    pub async fn new(database: &DataSettings) -> Self {
        Self::with(database, quick()).await
    }

    pub async fn with(database: &DataSettings, settings: Settings) -> Self {
        let db = Database::open(database, accounts::MIGRATIONS).await.unwrap();
        let log = Log::open(&testkit::sibling(database, "log").await).await.unwrap();
        Self::on(db, log, settings).await
    }

    /// Another instance of the service on the same database.
    pub async fn on(db: Database, log: Log, settings: Settings) -> Self {
        Self::sharing(db, log, &cache::Store::embedded(), settings).await
    }

    /// Another instance, with a cache that others may share.
    pub async fn sharing(db: Database, log: Log, store: &cache::Store, settings: Settings) -> Self {
        let (mesh, tasks) = (Mesh::new(MeshSettings::default()), Tasks::new());
        let [palettes, popularity, chat] = [(); 3].map(|()| Sibling::default());
        let outcomes = Outcomes::default();
        mesh.install("palettes", palettes.router());
        mesh.install("popularity", popularity.router());
        mesh.install("chat", chat.router().merge(outcomes.router()));
        let (own, told, around) = (db.clone(), log.clone(), mesh.clone());
        let router = accounts::build(own, told, around, store, &tasks, settings);
        let router = router.await.unwrap();
        Self { router, db, log, mesh, tasks, palettes, popularity, chat, outcomes }
    }

    pub fn browser(&self) -> Browser {
        Browser {
            router: self.router.clone(),
            jar: Arc::default(),
            address: "192.0.2.1".parse().unwrap(),
            bearer: None,
        }
    }

    /// A browser that has just signed up.
    pub async fn signed_up(&self, name: &str, password: &str) -> (Browser, UserId) {
        let browser = self.browser();
        let body =
            json!({"username": name, "password": password, "email": format!("{name}@example.com")});
        let reply = browser.post("/users/register", body).await.expect(201);
        (browser, reply.json()["user_id"].as_str().unwrap().parse().unwrap())
    }

    /// The log, once it holds as many events of this name.
    pub async fn events(&self, name: &str, at_least: usize) -> Vec<Recorded> {
        let found = Mutex::new(Vec::new());
        testkit::eventually("the events are in the log", || async {
            let all = self.log.read_after(0, 1_000).await.unwrap();
            let some: Vec<_> = all.into_iter().filter(|event| event.name == name).collect();
            let enough = some.len() >= at_least;
            *found.lock().unwrap() = some;
            enough
        })
        .await;
        found.into_inner().unwrap()
    }

    pub async fn count(&self, table_and_condition: &str) -> i64 {
        let sql = format!("SELECT COUNT(*) FROM {table_and_condition}");
        let fresh = Context { fresh: true, ..Context::background() };
        let row: Option<(i64,)> = fresh.scope(self.db.read().row(&sql, values![])).await.unwrap();
        row.unwrap().0
    }
}

/// Keeps cookies, and turns the access token into a caller as the gateway does.
#[derive(Clone)]
pub struct Browser {
    router: Router,
    pub jar: Arc<Mutex<BTreeMap<String, String>>>,
    pub address: IpAddr,
    pub bearer: Option<String>,
}

impl Browser {
    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, None, &[]).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(Method::POST, path, Some(body), &[]).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PATCH, path, Some(body), &[]).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, None, &[]).await
    }

    pub async fn post_empty(&self, path: &str) -> Reply {
        self.send(Method::POST, path, None, &[]).await
    }

    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = match body {
            Some(body) => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        };
        self.request(request.unwrap()).await
    }

    pub async fn request(&self, mut request: Request<Body>) -> Reply {
        let cookies = self.cookies();
        if !cookies.is_empty() {
            request.headers_mut().insert(header::COOKIE, cookies.parse().unwrap());
        }
        let caller = self.caller().await.map(|caller| caller.to_header());
        let context = Context { caller, client: Some(self.address), ..Context::background() };
        let reply = call(self.router.clone(), context, request).await;
        self.keep(&reply.headers);
        reply
    }

    /// Whom the access token names.
    pub async fn caller(&self) -> Option<Principal> {
        let token = self.bearer.clone().or_else(|| self.cookie("accessToken"))?;
        let request = Request::get("/.well-known/jwks.json").body(Body::empty()).unwrap();
        let keys = call(self.router.clone(), Context::background(), request).await.json();
        let verifier = Verifier::new();
        verifier.set_keys(&keys);
        verifier.verify(&token).ok().map(|verified| verified.principal.clone())
    }

    pub fn cookie(&self, name: &str) -> Option<String> {
        self.jar.lock().unwrap().get(name).cloned()
    }

    pub fn forget(&self, name: &str) {
        self.jar.lock().unwrap().remove(name);
    }

    fn cookies(&self) -> String {
        let jar = self.jar.lock().unwrap();
        jar.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn keep(&self, headers: &HeaderMap) {
        let mut jar = self.jar.lock().unwrap();
        for cookie in headers.get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            assert!(
                cookie.ends_with("; HttpOnly; SameSite=Lax") && cookie.contains("; Path=/;"),
                "{cookie}"
            );
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            if cookie.contains("Max-Age=0;") {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

async fn call(router: Router, context: Context, request: Request<Body>) -> Reply {
    let answer = context.scope(async move {
        let Ok(response) = router.oneshot(request).await;
        let (head, body) = response.into_parts();
        (head, body.collect().await.unwrap().to_bytes())
    });
    let (head, bytes) = answer.await;
    Reply { status: head.status, headers: head.headers, bytes: bytes.to_vec() }
}

#[derive(Clone, Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Reply {
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.bytes));
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks the contract's error shape.
    #[track_caller]
    pub fn problem(self, status: u16) -> Value {
        let reply = self.expect(status);
        assert_eq!(reply.header("content-type"), "application/problem+json");
        let body = reply.json();
        assert_eq!(body["status"], status);
        assert_eq!(body["message"], "failure");
        assert_eq!(body["error"], body["detail"]);
        assert!(
            body["title"].is_string() && body["type"].is_string() && body["request_id"].is_string()
        );
        body
    }

    #[track_caller]
    pub fn invalid(self, field: &str) -> Value {
        let body = self.problem(422);
        let named = body["errors"].as_array().unwrap().iter().any(|error| error["field"] == field);
        assert!(named, "{field} is not named in {body}");
        body
    }
}

/// A service that holds something of users, and may be down.
#[derive(Clone, Default)]
pub struct Sibling {
    pub down: Arc<AtomicBool>,
    pub erased: Arc<Mutex<Vec<i64>>>,
    pub calls: Arc<AtomicUsize>,
}

impl Sibling {
    fn router(&self) -> Router {
        tonic::service::Routes::from(Router::new())
            .add_service(ErasureServer::new(self.clone()))
            .into_axum_router()
    }

    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    pub fn erased(&self) -> Vec<i64> {
        self.erased.lock().unwrap().clone()
    }
}

#[tonic::async_trait]
impl Erasure for Sibling {
    async fn erase(
        &self,
        request: tonic::Request<EraseRequest>,
    ) -> Result<tonic::Response<EraseReply>, tonic::Status> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.down.load(Ordering::SeqCst) {
            return Err(tonic::Status::unavailable("down"));
        }
        self.erased.lock().unwrap().push(request.into_inner().user_id);
        Ok(tonic::Response::new(EraseReply {}))
    }
}

/// The coordinator: says the same of every transaction, and is away while it has nothing to say.
#[derive(Clone, Default)]
pub struct Outcomes {
    pub says: Arc<Mutex<Option<i32>>>,
    pub asked: Arc<AtomicUsize>,
}

impl Outcomes {
    fn router(&self) -> Router {
        tonic::service::Routes::from(Router::new())
            .add_service(ChatServer::new(self.clone()))
            .into_axum_router()
    }

    pub fn say(&self, decision: impl Into<i32>) {
        *self.says.lock().unwrap() = Some(decision.into());
    }
}

#[tonic::async_trait]
impl Chat for Outcomes {
    async fn outcome(
        &self,
        _: tonic::Request<OutcomeRequest>,
    ) -> Result<tonic::Response<OutcomeReply>, tonic::Status> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let says = *self.says.lock().unwrap();
        let decision = says.ok_or_else(|| tonic::Status::unavailable("away"))?;
        Ok(tonic::Response::new(OutcomeReply { decision }))
    }

    async fn hear(
        &self,
        _: tonic::Request<HearRequest>,
    ) -> Result<tonic::Response<HearReply>, tonic::Status> {
        Err(tonic::Status::unimplemented("accounts tell chat nothing"))
    }
}
