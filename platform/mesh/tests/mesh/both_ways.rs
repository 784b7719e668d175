//! The invariant of the mesh: the same scenario over a local channel and over a network gives the
//! same deadline, caller, trace, metrics, limit, panic-to-error and cancellation.
//!
//! What differs is listed, and shown, in [`what_differs`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::response::IntoResponse;
use axum::routing::{any, get};
use axum::{Json, Router};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use mesh::{Channel, Error, Kind, Mesh, MeshSettings};
use serde_json::{Value, json};
use tasks::Tasks;
use telemetry::{Context, Trace};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tonic::{Code, Status};

use crate::fake::{self, Killable, eventually};
use crate::grpc;

/// What handlers tell the test.
#[derive(Default)]
struct Seen {
    called: AtomicUsize,
    dropped: AtomicBool,
    written: AtomicBool,
    go_on: Gate,
}

/// Lets as many through as were told to go on.
struct Gate(Semaphore);

impl Default for Gate {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl Gate {
    async fn pass(&self) {
        self.0.acquire().await.unwrap().forget();
    }
}

struct OnDrop(Arc<Seen>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.dropped.store(true, Ordering::SeqCst);
    }
}

fn service(seen: &Arc<Seen>) -> Router {
    let stuck = |seen: Arc<Seen>| async move {
        seen.called.fetch_add(1, Ordering::SeqCst);
        let _guard = OnDrop(seen.clone());
        seen.go_on.pass().await;
    };
    let (waits, writes) = (seen.clone(), seen.clone());
    let echo = |body: Body| async move { Response::new(body) };
    Router::new()
        .route("/context", get(context))
        .route("/wait", any(move || stuck(waits.clone())))
        .route("/panic", get(panics))
        .route(
            "/unwell",
            get(|| async { (StatusCode::SERVICE_UNAVAILABLE, "the service's own words") }),
        )
        .route("/echo", any(echo))
        .route("/headers", get(|headers: HeaderMap| async move { named(&headers) }))
        .route(
            "/write",
            any(move || {
                let seen = writes.clone();
                async move {
                    seen.called.fetch_add(1, Ordering::SeqCst);
                    let write = async move {
                        seen.go_on.pass().await;
                        seen.written.store(true, Ordering::SeqCst);
                    };
                    tokio::spawn(write).await.unwrap();
                }
            }),
        )
        .merge(grpc::method("Echo", |_, message| answer("Echo", message)))
        .merge(grpc::method("Refuse", |_, message| answer("Refuse", message)))
        .merge(grpc::method("Panic", |_, message| answer("Panic", message)))
        .merge(grpc::method("Wait", |_, message| answer("Wait", message)))
        .merge(grpc::method("Context", |_, message| answer("Context", message)))
}

async fn answer(method: &str, message: Bytes) -> Result<Bytes, Status> {
    match method {
        "Echo" => Ok(message),
        "Refuse" => Err(Status::not_found("no such palette")),
        "Context" => Ok(context().await.0.to_string().into()),
        "Wait" => std::future::pending().await,
        _ => panic!("SELECT * FROM secrets"),
    }
}

/// The gRPC half of the service as a sibling in the same process calls it.
struct Offered;

#[tonic::async_trait]
impl grpc::Test for Offered {
    async fn call(&self, method: &str, message: Bytes) -> Result<Bytes, Status> {
        answer(method, message).await
    }
}

fn named(headers: &HeaderMap) -> Json<Value> {
    let names: Vec<_> = headers.keys().map(http::HeaderName::as_str).collect();
    Json(json!(names))
}

async fn panics() {
    panic!("SELECT * FROM secrets");
}

async fn context() -> Json<Value> {
    let context = Context::current().unwrap();
    Json(json!({
        "request_id": &*context.request_id,
        "trace": context.trace.to_string(),
        "left": context.time_left().map(|l| l.as_millis() as u64),
        "caller": context.caller.map(|c| c.to_str().unwrap().to_owned()),
        "client": context.client,
        "fresh": context.fresh,
    }))
}

/// One way to a service.
struct Way {
    name: &'static str,
    service: String,
    channel: Channel,
    seen: Arc<Seen>,
    _alive: Vec<Killable>,
    _tasks: Tasks,
}

/// Local ways, gRPC through the router and as the service offers itself, and one over a loopback
/// listener, to services that are the same.
async fn ways(test: &str, settings: MeshSettings) -> [Way; 3] {
    let [local, offered] = ["local", "offered"].map(|way| {
        let (seen, tasks) = (Arc::<Seen>::default(), Tasks::new());
        let mesh = Mesh::new(settings.clone());
        let name = format!("{test}-{way}");
        if way == "offered" {
            mesh.offer::<dyn grpc::Test>(&name, Arc::new(Offered));
        }
        mesh.install(&name, service(&seen));
        let channel = mesh.channel(&name);
        Way { name: way, service: name, channel, seen, _alive: vec![], _tasks: tasks }
    });

    let (seen, tasks) = (Arc::<Seen>::default(), Tasks::new());
    let name = format!("{test}-remote");
    let instance = fake::instance(&name, service(&seen), settings.clone());
    let registry = fake::Registry::new();
    registry.list(&name, &[instance.host()]);
    let registry = registry.start();
    let mesh = fake::follower(&registry, settings, &tasks, &name, 1).await;
    let (channel, alive) = (mesh.channel(&name), vec![instance, registry]);
    let remote = Way { name: "remote", service: name, channel, seen, _alive: alive, _tasks: tasks };
    [local, offered, remote]
}

fn request(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

async fn json(answer: Result<Response<Body>, Error>) -> Value {
    let body = answer.unwrap().into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test]
async fn the_context_arrives_whole() {
    let trace: Trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap();
    let sent = Context {
        request_id: "r-1".into(),
        trace,
        deadline: Some(Instant::now() + Duration::from_secs(20)),
        caller: Some(HeaderValue::from_static("7;s=a")),
        client: Some([10, 0, 0, 9].into()),
        fresh: true,
    };
    for way in ways("context", fake::settings()).await {
        let answer = sent.clone().scope(way.channel.send(request("/context"))).await;
        let mut got = json(answer).await;
        let left = got["left"].take().as_u64().unwrap();
        assert!((15_000..=20_000).contains(&left), "{}: {left} ms left", way.name);
        let expected = json!({
            "request_id": "r-1", "trace": trace.child().to_string(), "left": null,
            "caller": "7;s=a", "client": "10.0.0.9", "fresh": true,
        });
        assert_eq!(got, expected, "{}", way.name);
        // In the request's extensions it counts as much, and more than the present one.
        let mut given = request("/context");
        given.extensions_mut().insert(sent.clone());
        let got = json(Context::background().scope(way.channel.send(given)).await).await;
        assert_eq!(got["request_id"], "r-1", "{}", way.name);

        let message = tonic::Request::new(Bytes::new());
        let told = sent.clone().scope(grpc::call(way.channel.clone(), "Context", message)).await;
        let mut got: Value = serde_json::from_slice(&told.unwrap()).unwrap();
        let left = got["left"].take().as_u64().unwrap();
        assert!((15_000..=20_000).contains(&left), "{}: {left} ms left by gRPC", way.name);
        assert_eq!(got, expected, "{}: gRPC", way.name);
    }
}

#[tokio::test]
async fn forged_headers_make_nobody_a_caller() {
    for way in ways("forged", fake::settings()).await {
        let mut forged = request("/context");
        for (name, value) in [("x-atelier-caller", "1;s=x;staff"), ("x-atelier-fresh", "1")] {
            forged.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        let hides = HeaderValue::from_static("close, x-atelier-caller");
        forged.headers_mut().insert("connection", hides);
        let known =
            Context { caller: Some(HeaderValue::from_static("7;s=a")), ..Context::background() };
        let got = json(known.scope(way.channel.send(forged)).await).await;
        assert_eq!(
            (&got["caller"], &got["fresh"]),
            (&json!("7;s=a"), &json!(false)),
            "{}",
            way.name
        );
    }
}

#[tokio::test]
async fn a_deadline_ends_the_call_and_the_handler() {
    for way in ways("deadline", fake::settings()).await {
        let soon = Context {
            deadline: Some(Instant::now() + Duration::from_millis(80)),
            ..Context::background()
        };
        let answer =
            timeout(Duration::from_secs(5), soon.scope(way.channel.send(request("/wait")))).await;
        assert_eq!(answer.unwrap().unwrap_err().kind(), Kind::Deadline, "{}", way.name);
        let seen = &way.seen;
        eventually("the handler is dropped", || seen.dropped.load(Ordering::SeqCst)).await;

        let called = seen.called.load(Ordering::SeqCst);
        let past = Context { deadline: Some(Instant::now()), ..Context::background() };
        let answer = past.scope(way.channel.send(request("/wait"))).await;
        assert_eq!(answer.unwrap_err().kind(), Kind::Deadline, "{}", way.name);
        assert_eq!(seen.called.load(Ordering::SeqCst), called, "{}: nobody was asked", way.name);
    }
}

#[tokio::test]
async fn the_nearest_deadline_counts() {
    for way in ways("nearest", fake::settings()).await {
        for (header, context, most) in [("5S", 60, 5_000), ("60S", 5, 5_000)] {
            let mut asked = request("/context");
            asked.headers_mut().insert("grpc-timeout", HeaderValue::from_static(header));
            let until = Some(Instant::now() + Duration::from_secs(context));
            let context = Context { deadline: until, ..Context::background() };
            let got = json(context.scope(way.channel.send(asked)).await).await;
            let left = got["left"].as_u64().unwrap();
            assert!((1_000..=most).contains(&left), "{}: {left}", way.name);
        }
        // Without any, the setting.
        let got = json(way.channel.send(request("/context")).await).await;
        assert!((20_000..=30_000).contains(&got["left"].as_u64().unwrap()), "{}", way.name);
    }
}

#[tokio::test]
async fn a_panic_is_a_500_that_says_nothing() {
    for way in ways("panic", fake::settings()).await {
        let answer = way.channel.send(request("/panic")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR, "{}", way.name);
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{}", way.name);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(!body.windows(6).any(|w| w == b"SELECT"), "{}", way.name);

        let status =
            grpc::call(way.channel.clone(), "Panic", tonic::Request::new(Bytes::new())).await;
        let status = status.unwrap_err();
        assert_eq!(status.code(), Code::Internal, "{}", way.name);
        assert!(!status.message().contains("SELECT"), "{}", way.name);
    }
}

#[tokio::test]
async fn a_full_service_turns_away_at_once() {
    let settings = MeshSettings { max_in_flight: 2, ..fake::settings() };
    for way in ways("full", settings).await {
        let calls: Vec<_> = (0..2)
            .map(|_| {
                let channel = way.channel.clone();
                tokio::spawn(async move { channel.send(request("/wait")).await.unwrap().status() })
            })
            .collect();
        let seen = &way.seen;
        eventually("both are inside", || seen.called.load(Ordering::SeqCst) == 2).await;
        let error = way.channel.send(request("/wait")).await.unwrap_err();
        assert_eq!((error.kind(), error.retry_after()), (Kind::Busy, 1), "{}", way.name);
        assert_eq!(error.into_response().status(), StatusCode::SERVICE_UNAVAILABLE);
        let status =
            grpc::call(way.channel.clone(), "Echo", tonic::Request::new(Bytes::new())).await;
        assert_eq!(status.unwrap_err().code(), Code::Unavailable, "{}", way.name);
        seen.go_on.0.add_permits(2);
        for call in calls {
            assert_eq!(call.await.unwrap(), StatusCode::OK, "{}", way.name);
        }
        assert!(
            way.channel.send(request("/context")).await.is_ok(),
            "{}: places are free",
            way.name
        );
    }
}

#[tokio::test]
async fn dropping_the_call_drops_the_handler_and_not_a_write() {
    for way in ways("cancel", fake::settings()).await {
        let seen = way.seen.clone();
        let give_up = |path: &'static str, calls: usize| {
            let (channel, seen) = (way.channel.clone(), seen.clone());
            async move {
                let call = tokio::spawn(async move { channel.send(request(path)).await });
                eventually("it runs", || seen.called.load(Ordering::SeqCst) == calls).await;
                call.abort();
                let _ = call.await;
            }
        };
        give_up("/wait", 1).await;
        eventually("the handler is dropped", || seen.dropped.load(Ordering::SeqCst)).await;
        give_up("/write", 2).await;
        seen.go_on.0.add_permits(1);
        eventually("the write is finished", || seen.written.load(Ordering::SeqCst)).await;
    }
}

#[tokio::test]
async fn what_a_service_answers_is_its_answer() {
    for way in ways("answers", fake::settings()).await {
        let answer = way.channel.send(request("/unwell")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{}", way.name);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "the service's own words", "{}", way.name);
        let answer = way.channel.send(request("/nothing")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{}", way.name);
        let status =
            grpc::call(way.channel.clone(), "Refuse", tonic::Request::new(Bytes::new())).await;
        let status = status.unwrap_err();
        assert_eq!(
            (status.code(), status.message()),
            (Code::NotFound, "no such palette"),
            "{}",
            way.name
        );
    }
}

#[tokio::test]
async fn bodies_of_any_size_pass() {
    for way in ways("bodies", fake::settings()).await {
        for size in [0, 1, 10_000, 100_000, 3_000_000] {
            let bytes: Bytes = (0..size).map(|i: u32| i as u8).collect();
            // With and without a known length.
            let chunks = bytes.chunks(7_000).map(Bytes::copy_from_slice).map(Ok::<_, Error>);
            let streamed = Body::from_stream(futures::stream::iter(chunks.collect::<Vec<_>>()));
            for (method, body) in [("PUT", Body::from(bytes.clone())), ("POST", streamed)] {
                let request = Request::builder().method(method).uri("/echo").body(body).unwrap();
                let answer = way.channel.send(request).await.unwrap();
                let got = answer.into_body().collect().await.unwrap().to_bytes();
                assert!(got == bytes, "{}: {method} {size}", way.name);
            }
            if size <= 3_000_000 {
                let message = tonic::Request::new(bytes.clone());
                let got = grpc::call(way.channel.clone(), "Echo", message).await.unwrap();
                assert!(got == bytes, "{}: gRPC {size}", way.name);
            }
        }
        let head = Request::head("/context").body(Body::empty()).unwrap();
        let answer = way.channel.send(head).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{}", way.name);
        assert!(answer.into_body().collect().await.unwrap().to_bytes().is_empty());
    }
}

#[tokio::test]
async fn a_tonic_deadline_is_kept() {
    for way in ways("tonic", fake::settings()).await {
        let mut message = tonic::Request::new(Bytes::new());
        message.set_timeout(Duration::from_millis(80));
        let answer =
            timeout(Duration::from_secs(5), grpc::call(way.channel.clone(), "Wait", message)).await;
        assert_eq!(answer.unwrap().unwrap_err().code(), Code::DeadlineExceeded, "{}", way.name);
    }
}

#[tokio::test]
async fn the_metrics_are_the_same() {
    let metrics = telemetry::metrics_handle();
    let mut seen = Vec::new();
    for way in ways("metrics", fake::settings()).await {
        for path in ["/context", "/context", "/nothing", "/panic", "/unwell"] {
            let _ = way.channel.send(request(path)).await;
        }
        let soon = Instant::now() + Duration::from_millis(50);
        let context = Context { deadline: Some(soon), ..Context::background() };
        let _ = context.scope(way.channel.send(request("/wait"))).await;
        let _ = grpc::call(way.channel.clone(), "Echo", tonic::Request::new(Bytes::new())).await;
        let _ = grpc::call(way.channel.clone(), "Refuse", tonic::Request::new(Bytes::new())).await;
        let _ = timeout(Duration::from_millis(20), way.channel.send(request("/wait"))).await;
        let text = metrics.render();
        let mut lines: Vec<String> = text
            .lines()
            .filter(|l| l.contains(&format!("service=\"{}\"", way.service)))
            .filter(|l| {
                l.starts_with("mesh_requests_total") || l.starts_with("mesh_request_seconds_count")
            })
            .map(|l| l.replace(&way.service, "service"))
            .collect();
        lines.sort();
        assert!(lines.iter().any(|l| l.contains("cancelled") && l.ends_with(" 1")), "{lines:#?}");
        seen.push(lines);
    }
    assert!(!seen[0].is_empty());
    assert!(seen.iter().all(|of_way| *of_way == seen[0]), "{seen:#?}");
}

/// The differences that remain.
#[tokio::test]
async fn what_differs() {
    let [local, offered, remote] = ways("differs", fake::settings()).await;

    // 1. Headers that carry the context, or name the connection, are seen by no handler behind a
    //    network; a local handler sees what its caller put into the request, and no more. Nobody
    //    should read either: the context is `telemetry::Context`.
    let with_headers = || {
        let mut request = request("/headers");
        for name in ["grpc-timeout", "keep-alive", "x-mine"] {
            request.headers_mut().insert(name, HeaderValue::from_static("1S"));
        }
        request
    };
    let got = json(local.channel.send(with_headers()).await).await;
    assert_eq!(got, json!(["grpc-timeout", "keep-alive", "x-mine"]));
    let got = json(remote.channel.send(with_headers()).await).await;
    let got: Vec<_> = got.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(got.contains(&"x-mine") && got.contains(&"host") && got.contains(&"x-request-id"));
    assert!(!got.contains(&"grpc-timeout") && !got.contains(&"keep-alive"), "{got:?}");

    // 2. A network can fail: `Unavailable` and `Broken` come from there alone, and what is safe
    //    to repeat may reach a second instance.
    let Way { channel, _alive: alive, .. } = remote;
    drop(alive);
    let error = channel.send(request("/context")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(local.channel.send(request("/context")).await.is_ok());

    // 3. Extensions of a request (and so a caller's upgrade) reach a local handler; behind a
    //    network the response carries the instance's upgrade instead (see `upstream.rs`).
    // 4. Dropping a call drops a local handler at once, and one elsewhere when the news arrives.
    // 5. A service that offers itself gets a message as it is, however large; gRPC's own limits of
    //    size are those of the bytes.
    let large = Bytes::from(vec![0; 5 << 20]);
    let got = grpc::call(offered.channel, "Echo", tonic::Request::new(large.clone())).await;
    assert!(got.is_ok_and(|got| got == large));
    let refused = grpc::call(local.channel, "Echo", tonic::Request::new(large)).await;
    assert_eq!(refused.unwrap_err().code(), Code::OutOfRange);
    // 6. A body may arrive in other pieces than it was sent in.
}
