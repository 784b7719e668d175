//! The private address: who may ask there, and how it ends.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use mesh::{Kind, Mesh, MeshSettings};
use tasks::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use crate::fake;

/// Asks as somebody who is no sibling does; the status and the body.
async fn ask(address: std::net::SocketAddr, path: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(Duration::from_secs(5), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn only_siblings_are_answered() {
    let router = Router::new().route("/", get(|| async { "inside" }));
    let instance = fake::instance("bench", router, fake::settings());
    let at = instance.address;
    let service = "x-atelier-service: bench\r\n";
    let secret = format!("x-atelier-mesh-secret: {}\r\n", fake::SECRET);
    assert_eq!(ask(at, "/", &format!("{service}{secret}")).await, (200, "inside".into()));
    assert_eq!(ask(at, "/", service).await.0, 401);
    for wrong in ["", "sesam", "sesamf", "sesamee"] {
        let (status, body) =
            ask(at, "/", &format!("{service}x-atelier-mesh-secret: {wrong}\r\n")).await;
        assert_eq!(status, 401);
        assert!(body.contains("\"message\":\"failure\""));
    }
    assert_eq!(ask(at, "/", &secret).await.0, 404, "no service was named");
    let (status, _) = ask(at, "/", &format!("x-atelier-service: other\r\n{secret}")).await;
    assert_eq!(status, 503, "it is not here");
    assert_eq!(ask(at, "/healthz", "").await, (200, "ok\n".into()));
    assert_eq!(ask(at, "/metrics", "").await.0, 200);
}

#[tokio::test]
async fn a_sibling_with_another_secret_is_nobody() {
    let router = Router::new().route("/", get(|| async { "inside" }));
    let instance = fake::instance("bench", router, fake::settings());
    let registry = fake::Registry::new();
    registry.list("bench", &[instance.host()]);
    let (registry, tasks) = (registry.start(), Tasks::new());
    let settings = MeshSettings { secret: "guess".into(), ..MeshSettings::default() };
    let mesh = fake::follower(&registry, settings, &tasks, "bench", 1).await;
    let answer = mesh.channel("bench").send(Request::get("/").body(Body::empty()).unwrap()).await;
    assert_eq!(answer.unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn stopping_finishes_what_runs_and_takes_nothing_new() {
    let router = Router::new().route(
        "/",
        get(|| async {
            sleep(Duration::from_millis(600)).await;
            "finished"
        }),
    );
    let (mesh, tasks) = (Mesh::new(fake::settings()), Tasks::new());
    mesh.install("bench", router);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    mesh::serve(listener, mesh.clone(), &tasks);

    let registry = fake::Registry::new();
    registry.list("bench", &[address.to_string()]);
    let (registry, other) = (registry.start(), Tasks::new());
    let caller = fake::follower(&registry, fake::settings(), &other, "bench", 1).await;
    let channel = caller.channel("bench");
    let call = tokio::spawn(async move {
        let answer = channel.send(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
        answer.into_body().collect().await.unwrap().to_bytes()
    });
    fake::eventually("the call is inside", || mesh.instances()[0].instances[0].in_flight == 1)
        .await;
    let before = Instant::now();
    tasks.stop().await;
    assert_eq!(call.await.unwrap(), "finished");
    assert!(before.elapsed() < Duration::from_secs(5));
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn draining_waits_for_local_calls_too() {
    let router = Router::new().route("/", get(|| sleep(Duration::from_millis(500))));
    let mesh = Mesh::new(fake::settings());
    mesh.install("bench", router);
    let channel = mesh.channel("bench");
    let call =
        tokio::spawn(
            async move { channel.send(Request::get("/").body(Body::empty()).unwrap()).await },
        );
    fake::eventually("the call is inside", || mesh.instances()[0].instances[0].in_flight == 1)
        .await;
    mesh.drain().await;
    assert_eq!(mesh.instances()[0].instances[0].in_flight, 0);
    assert_eq!(call.await.unwrap().unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn what_was_installed_twice_is_the_first() {
    let mesh = Mesh::new(MeshSettings::default());
    let channel = mesh.channel("Palette Service");
    let early = channel.send(Request::get("/").body(Body::empty()).unwrap()).await;
    assert_eq!(early.unwrap_err().kind(), Kind::Unavailable);
    for name in ["first", "second"] {
        mesh.install("palette", Router::new().route("/", get(move || async move { name })));
    }
    let answer = channel.send(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "first");
}
