//! What the tests put in the place of the rest of the house: a registry that says what it is told
//! to say, and instances that can be killed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use mesh::{Mesh, MeshSettings};
use serde_json::{Value, json};
use tasks::Tasks;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

pub(crate) const SECRET: &str = "sesame";

pub(crate) fn settings() -> MeshSettings {
    MeshSettings { secret: SECRET.into(), ..MeshSettings::default() }
}

#[derive(Default)]
struct Book {
    warming: bool,
    services: BTreeMap<String, Vec<String>>,
    told: Vec<(String, String)>,
}

/// A registry that lists what a test says.
#[derive(Clone)]
pub(crate) struct Registry {
    book: Arc<Mutex<Book>>,
    index: Arc<watch::Sender<u64>>,
}

impl Registry {
    pub(crate) fn new() -> Self {
        Self { book: Arc::default(), index: Arc::new(watch::Sender::new(1)) }
    }

    pub(crate) fn list(&self, service: &str, hosts: &[String]) {
        self.book.lock().unwrap().services.insert(service.into(), hosts.to_vec());
        self.index.send_modify(|i| *i += 1);
    }

    pub(crate) fn restart_empty(&self, warming: bool) {
        *self.book.lock().unwrap() = Book { warming, ..Book::default() };
        self.index.send_modify(|i| *i += 1_000);
    }

    /// `POST name` and `DELETE name`, in the order they came.
    pub(crate) fn told(&self) -> Vec<(String, String)> {
        self.book.lock().unwrap().told.clone()
    }

    fn tell(&self, method: &str, body: &Value) -> Json<Value> {
        let name = body["serviceName"].as_str().unwrap_or_default().to_owned();
        self.book.lock().unwrap().told.push((method.to_owned(), name));
        Json(json!({"message": "success", "error": ""}))
    }

    fn router(&self) -> Router {
        let tell =
            post(|State(r): State<Self>, Json(b): Json<Value>| async move { r.tell("POST", &b) })
                .delete(|State(r): State<Self>, Json(b): Json<Value>| async move {
                    r.tell("DELETE", &b)
                });
        Router::new()
            .route("/services", get(Self::services))
            .route("/service", tell)
            .with_state(self.clone())
    }

    async fn services(
        State(registry): State<Self>,
        Query(query): Query<BTreeMap<String, u64>>,
    ) -> Json<Value> {
        if let Some(seen) = query.get("watch") {
            let mut index = registry.index.subscribe();
            let change = index.wait_for(|now| now != seen);
            let _ = tokio::time::timeout(Duration::from_secs(30), change).await;
        }
        let book = registry.book.lock().unwrap();
        let services: Vec<_> = book
            .services
            .iter()
            .map(|(name, hosts)| {
                let instances: Vec<_> = hosts.iter().map(|host| json!({"host": host})).collect();
                json!({"serviceName": name, "instances": instances})
            })
            .collect();
        let index = *registry.index.borrow();
        Json(json!({"index": index, "warming": book.warming, "services": services}))
    }

    /// Serves it in a runtime of its own, to be killed with it.
    pub(crate) fn start(&self) -> Killable {
        self.start_at("127.0.0.1:0".parse().unwrap())
    }

    pub(crate) fn start_at(&self, address: SocketAddr) -> Killable {
        let router = self.router();
        Killable::start(address, move |listener| async move {
            axum::serve(listener, router).await.unwrap();
        })
    }
}

/// Something that listens, and can be killed as `kill -9` does.
pub(crate) struct Killable {
    runtime: Option<Runtime>,
    pub(crate) address: SocketAddr,
}

impl Killable {
    pub(crate) fn start<F, Fut>(address: SocketAddr, serve: F) -> Self
    where
        F: FnOnce(TcpListener) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let _entered = runtime.enter();
        let listener = TcpListener::from_std(listener).unwrap();
        runtime.spawn(serve(listener));
        drop(_entered);
        Self { runtime: Some(runtime), address }
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// Returns when nobody listens any more.
    pub(crate) async fn kill(mut self) {
        self.stop();
        let began = std::time::Instant::now();
        while std::net::TcpStream::connect(self.address).is_ok() {
            assert!(began.elapsed() < Duration::from_secs(10), "it does not die");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Killable {
    fn drop(&mut self) {
        self.stop();
    }
}

/// An instance of `service` behind a private address.
pub(crate) fn instance(service: &str, router: Router, settings: MeshSettings) -> Killable {
    let service = service.to_owned();
    Killable::start("127.0.0.1:0".parse().unwrap(), move |listener| async move {
        let (mesh, tasks) = (Mesh::new(settings), Tasks::new());
        mesh.install(&service, router);
        mesh::serve(listener, mesh, &tasks);
        tasks.stopping().cancelled().await;
    })
}

/// A mesh that follows a registry, and has seen `service` with so many instances.
pub(crate) async fn follower(
    registry: &Killable,
    settings: MeshSettings,
    tasks: &Tasks,
    service: &str,
    instances: usize,
) -> Mesh {
    let mesh = Mesh::new(settings);
    mesh.follow(vec![registry.host()], tasks);
    eventually("the mesh knows the instances", || {
        let views = mesh.instances();
        views.iter().any(|v| v.service == service && v.instances.len() == instances)
    })
    .await;
    mesh
}

/// Waits until something holds, at most 10 s.
pub(crate) async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(10), wait).await.is_ok(), "{what}");
}
