//! The registry and the mesh together: instances that come and go, a registry that is killed.

#![allow(clippy::unwrap_used, missing_docs)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use discovery::Settings;
use http::{Request, StatusCode};
use mesh::{Channel, Kind, Mesh, MeshSettings};
use tasks::Tasks;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// A registry in a runtime of its own, so that it can be killed.
struct Registry {
    runtime: Option<Runtime>,
    address: SocketAddr,
}

impl Drop for Registry {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Registry {
    fn start(address: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            let tasks = Tasks::new();
            let router = discovery::build(&Settings::default(), &tasks);
            discovery::serve(TcpListener::from_std(listener).unwrap(), router, &tasks);
            std::future::pending::<()>().await;
        });
        Self { runtime: Some(runtime), address }
    }

    async fn kill(self) {
        let address = self.address;
        drop(self);
        while std::net::TcpStream::connect(address).is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn any() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn settings() -> MeshSettings {
    MeshSettings { secret: "sesame".into(), ..MeshSettings::default() }
}

/// A process that holds `bench`.
async fn instance(registry: SocketAddr, name: &'static str) -> Tasks {
    let (mesh, tasks) = (Mesh::new(settings()), Tasks::new());
    mesh.install("bench", Router::new().route("/", get(move || async move { name })));
    let listener = TcpListener::bind(any()).await.unwrap();
    let address = listener.local_addr().unwrap();
    mesh::serve(listener, mesh.clone(), &tasks);
    mesh.follow(vec![registry.to_string()], &tasks);
    mesh.register(address, "1", [""; 0], &tasks);
    tasks
}

fn caller(registry: SocketAddr) -> (Mesh, Tasks) {
    let (mesh, tasks) = (Mesh::new(settings()), Tasks::new());
    mesh.follow(vec![registry.to_string()], &tasks);
    (mesh, tasks)
}

fn count(mesh: &Mesh) -> usize {
    let views = mesh.instances();
    views.iter().find(|v| v.service == "bench").map_or(0, |v| v.instances.len())
}

async fn until(what: &str, within: Duration, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < within, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn call(channel: &Channel) -> Result<StatusCode, Kind> {
    let request = Request::get("/").body(Body::empty()).unwrap();
    channel.send(request).await.map(|a| a.status()).map_err(|e| e.kind())
}

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn instances_come_and_leave_under_the_eyes_of_a_caller() {
    let registry = Registry::start(any());
    let (mesh, _following) = caller(registry.address);
    let one = instance(registry.address, "one").await;
    until("the first is seen", SOON, || count(&mesh) == 1).await;
    let _two = instance(registry.address, "two").await;
    until("the second is seen", SOON, || count(&mesh) == 2).await;
    // Leaves, then drains: no call fails meanwhile.
    let (stop, channel) = (tokio::spawn(async move { one.stop().await }), mesh.channel("bench"));
    while !stop.is_finished() || count(&mesh) == 2 {
        assert_eq!(call(&channel).await, Ok(StatusCode::OK));
    }
    assert_eq!(count(&mesh), 1);
    assert_eq!(call(&channel).await, Ok(StatusCode::OK));
}

#[tokio::test]
async fn a_registry_that_was_killed_knows_everybody_within_two_seconds() {
    let registry = Registry::start(any());
    let address = registry.address;
    let _instances = [instance(address, "one").await, instance(address, "two").await];
    let (mesh, _following) = caller(address);
    until("both are seen", SOON, || count(&mesh) == 2).await;
    let channel = mesh.channel("bench");
    registry.kill().await;
    let killed = Instant::now();
    while killed.elapsed() < Duration::from_secs(4) {
        assert_eq!(call(&channel).await, Ok(StatusCode::OK), "longer than a heartbeat lives");
    }
    let _registry = Registry::start(address);
    let (fresh, _following) = caller(address);
    until("both are back", Duration::from_secs(2), || count(&fresh) == 2).await;
    let back = Instant::now();
    while back.elapsed() < Duration::from_secs(4) {
        assert_eq!(call(&channel).await, Ok(StatusCode::OK));
        assert_eq!(count(&mesh), 2, "nobody is dropped while it warms up or afterwards");
    }
}
