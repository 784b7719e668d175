//! Instances that are not ours: plain HTTP/1.1, well-behaved or not, and WebSockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request as AxumRequest;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use mesh::{Channel, Kind, Mesh};
use tasks::Tasks;
use telemetry::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use crate::fake::{self, Killable};

struct Upstream {
    mesh: Mesh,
    _tasks: Tasks,
    _alive: [Killable; 2],
}

impl Upstream {
    /// A mesh with one instance of `bench`, which is what `serve` makes of each connection.
    async fn of<F, Fut>(serve: F) -> Self
    where
        F: Fn(TcpStream) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let instance = Killable::start(
            "127.0.0.1:0".parse().unwrap(),
            move |listener: TcpListener| async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream));
                }
            },
        );
        let registry = fake::Registry::new();
        registry.list("bench", &[instance.host()]);
        let (registry, tasks) = (registry.start(), Tasks::new());
        let mesh = fake::follower(&registry, fake::settings(), &tasks, "bench", 1).await;
        Self { mesh, _tasks: tasks, _alive: [instance, registry] }
    }

    /// One that says `answer` to every request of a connection, however it is cut.
    async fn saying(answer: &'static str, requests: usize) -> Self {
        Self::of(move |mut stream| async move {
            for _ in 0..requests {
                if read_head(&mut stream).await.is_none() {
                    return;
                }
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        })
        .await
    }

    fn channel(&self) -> Channel {
        self.mesh.channel("bench").external()
    }
}

/// Reads up to the empty line; `None` at the end.
async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}

fn get_request() -> Request<Body> {
    Request::get("/").body(Body::empty()).unwrap()
}

async fn text(answer: Response) -> String {
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn an_idle_connection_that_was_closed_fails_no_request() {
    // Closes after each answer without having said so.
    let upstream = Upstream::saying("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 1).await;
    let callers = (0..8).map(|_| {
        let channel = upstream.channel();
        tokio::spawn(async move {
            for _ in 0..50 {
                assert_eq!(text(channel.send(get_request()).await.unwrap()).await, "ok");
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
}

#[tokio::test]
async fn connections_are_kept_and_used_again() {
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    let upstream = Upstream::of(move |mut stream| {
        let count = count.clone();
        async move {
            count.fetch_add(1, Ordering::SeqCst);
            let mut big = false;
            while read_head(&mut stream).await.is_some() {
                let body = "x".repeat(if big { 100_000 } else { 5 });
                let answer = if big {
                    format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
                } else {
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
                };
                stream.write_all(answer.as_bytes()).await.unwrap();
                big = !big;
            }
        }
    })
    .await;
    for round in 0..20 {
        let length = text(upstream.channel().send(get_request()).await.unwrap()).await.len();
        assert_eq!(length, if round % 2 == 0 { 5 } else { 100_000 });
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn every_framing_of_a_response_is_read() {
    for (answer, body) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", "abc"),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\nx: y\r\n\r\n",
            "abc",
        ),
        ("HTTP/1.1 200 OK\r\n\r\nabc", "abc"),
        ("HTTP/1.0 200 OK\r\n\r\nabc", "abc"),
        (
            "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
            "abc",
        ),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n", ""),
    ] {
        let upstream = Upstream::saying(answer, 1).await;
        let got = text(upstream.channel().send(get_request()).await.unwrap()).await;
        assert_eq!(got, body, "{answer}");
    }
}

#[tokio::test]
async fn what_is_no_http_is_a_broken_instance() {
    for answer in [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab",
        "",
    ] {
        let upstream = Upstream::saying(answer, 1).await;
        let error = upstream.channel().send(get_request()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Broken, "{answer:?}");
    }
    for answer in [
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 50000\r\n\r\nab",
    ] {
        let upstream = Upstream::saying(answer, 1).await;
        let answer = upstream.channel().send(get_request()).await.unwrap();
        assert!(answer.into_body().collect().await.is_err(), "half a body is no body");
    }
}

#[tokio::test]
async fn a_second_response_is_never_taken_for_an_answer() {
    // Says more than it was asked; what is left over belongs to nobody.
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    let upstream = Upstream::saying(answer, 100).await;
    for _ in 0..20 {
        assert_eq!(text(upstream.channel().send(get_request()).await.unwrap()).await, "ok");
    }
}

#[tokio::test]
async fn an_instance_of_somebody_else_learns_nothing_of_the_inside() {
    let echo = |headers: HeaderMap| async move {
        headers.iter().map(|(n, v)| format!("{n}: {}\n", v.to_str().unwrap())).collect::<String>()
    };
    let router = Router::new().route("/", get(echo));
    let upstream = Upstream::of(move |stream| {
        let router = router.clone();
        async move {
            let service = hyper_util::service::TowerToHyperService::new(router);
            let serving = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            let _ = serving.await;
        }
    })
    .await;
    let mut request = get_request();
    request.headers_mut().insert("host", HeaderValue::from_static("atelier.example"));
    request.headers_mut().insert("cookie", HeaderValue::from_static("a=b"));
    request.headers_mut().insert("x-atelier-mesh-secret", HeaderValue::from_static("forged"));
    request.headers_mut().insert(mesh::IDEMPOTENT, HeaderValue::from_static("1"));
    let context = Context {
        caller: Some(HeaderValue::from_static("7;s=a")),
        client: Some([10, 0, 0, 9].into()),
        fresh: true,
        ..Context::background()
    };
    let (id, trace) = (context.request_id.clone(), context.trace.child());
    let seen = text(context.scope(upstream.channel().send(request)).await.unwrap()).await;
    assert!(
        !seen.contains("x-atelier")
            && !seen.contains(fake::SECRET)
            && !seen.contains("grpc-timeout"),
        "{seen}"
    );
    for expected in ["host: atelier.example", "cookie: a=b"] {
        assert!(seen.contains(expected), "{seen}");
    }
    assert!(
        seen.contains(&format!("x-request-id: {id}"))
            && seen.contains(&format!("traceparent: {trace}")),
        "{seen}"
    );
}

#[tokio::test]
async fn nobody_else_speaks_for_the_mesh() {
    let answer = "HTTP/1.1 503 No\r\nx-atelier-mesh-error: busy\r\ncontent-length: 2\r\n\r\nno";
    let upstream = Upstream::saying(answer, 10).await;
    let answer = upstream.channel().send(get_request()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(text(answer).await, "no");
}

#[tokio::test]
async fn an_answer_that_comes_early_is_passed_on() {
    // Refuses after the head, while the body is still on its way.
    let upstream = Upstream::of(|mut stream| async move {
        read_head(&mut stream).await;
        stream
            .write_all(
                b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno",
            )
            .await
            .unwrap();
        let mut rest = vec![0; 1024];
        let reading = async { while stream.read(&mut rest).await.is_ok_and(|n| n > 0) {} };
        let _ = timeout(Duration::from_millis(200), reading).await;
    })
    .await;
    let endless = futures::stream::repeat_with(|| {
        Ok::<_, std::io::Error>(bytes::Bytes::from(vec![0; 10_000]))
    });
    let upload = Request::post("/").body(Body::from_stream(endless)).unwrap();
    let answer =
        timeout(Duration::from_secs(5), upstream.channel().send(upload)).await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_caller_that_breaks_off_is_no_fault_of_the_instance() {
    let upstream = Upstream::saying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 1_000).await;
    for _ in 0..20 {
        let broken = [Ok(bytes::Bytes::from("begin")), Err(std::io::Error::other("gone"))];
        let body = Body::from_stream(futures::stream::iter(broken));
        let error = upstream.channel().send(Request::post("/").body(body).unwrap()).await;
        assert!(error.is_err() || error.is_ok_and(|a| a.status() == StatusCode::OK));
    }
    let view = upstream.mesh.instances();
    assert!(view.iter().all(|v| v.instances.iter().all(|i| i.healthy)), "{view:?}");
    assert!(upstream.channel().send(get_request()).await.is_ok());
}

#[tokio::test]
async fn whoever_waits_is_not_blamed_for_a_late_answer() {
    let upstream = Upstream::of(|mut stream| async move {
        let mut bytes = [0; 1024];
        while stream.read(&mut bytes).await.is_ok_and(|n| n > 0) {}
    })
    .await;
    let late = |request: Request<Body>| {
        let deadline = Some(Instant::now() + Duration::from_millis(20));
        let context = Context { deadline, ..Context::background() };
        let channel = upstream.channel();
        context.scope(async move { channel.send(request).await })
    };
    let is_well =
        || upstream.mesh.instances().iter().all(|v| v.instances.iter().all(|i| i.healthy));
    for _ in 0..10 {
        // The instance waits for the caller, who never sends the rest.
        let body =
            Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
        let error = late(Request::post("/").body(body).unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Deadline);
    }
    assert!(is_well());
    for _ in 0..5 {
        // The caller has sent all there is, and waits for the instance.
        assert_eq!(late(get_request()).await.unwrap_err().kind(), Kind::Deadline);
    }
    assert!(!is_well());
}

/// Echoes what it reads after the upgrade.
fn echo_service() -> Router {
    let upgrade = |mut request: AxumRequest| async move {
        let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
            return StatusCode::UPGRADE_REQUIRED.into_response();
        };
        tokio::spawn(async move {
            let mut stream = TokioIo::new(upgrade.await.unwrap());
            let (mut read, mut write) = tokio::io::split(&mut stream);
            let _ = tokio::io::copy(&mut read, &mut write).await;
        });
        let headers = [("connection", "upgrade"), ("upgrade", "echo")];
        (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
    };
    Router::new().route("/ws", get(upgrade))
}

#[tokio::test]
async fn an_upgrade_over_the_network_carries_its_stream_in_the_response() {
    let instance = fake::instance("bench", echo_service(), fake::settings());
    let registry = fake::Registry::new();
    registry.list("bench", &[instance.host()]);
    let (registry, tasks) = (registry.start(), Tasks::new());
    let mesh = fake::follower(&registry, fake::settings(), &tasks, "bench", 1).await;
    let request = || {
        let request = Request::get("/ws").header("connection", "Upgrade").header("upgrade", "echo");
        request.body(Body::empty()).unwrap()
    };
    let mut answer = mesh.channel("bench").send(request()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
    let upgrade = answer.extensions_mut().remove::<OnUpgrade>().unwrap();
    let mut stream = TokioIo::new(timeout(Duration::from_secs(5), upgrade).await.unwrap().unwrap());
    for message in ["one", "two"] {
        stream.write_all(message.as_bytes()).await.unwrap();
        let mut echoed = [0; 3];
        timeout(Duration::from_secs(5), stream.read_exact(&mut echoed)).await.unwrap().unwrap();
        assert_eq!(echoed, message.as_bytes());
    }
    // A plain request to the same path is answered plainly.
    let plain = Request::get("/ws").body(Body::empty()).unwrap();
    let answer = mesh.channel("bench").send(plain).await.unwrap();
    assert_eq!(answer.status(), StatusCode::UPGRADE_REQUIRED);
}

#[tokio::test]
async fn an_upgrade_in_the_process_takes_the_callers_own_stream() {
    let mesh = Mesh::new(fake::settings());
    mesh.install("bench", echo_service());
    let channel = mesh.channel("bench");
    let front = Router::new().fallback(move |request: AxumRequest| {
        let channel = channel.clone();
        async move { channel.send(request).await }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, front).await });
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n")
        .await
        .unwrap();
    assert!(read_head(&mut stream).await.unwrap().starts_with("HTTP/1.1 101"));
    stream.write_all(b"hello").await.unwrap();
    let mut echoed = [0; 5];
    timeout(Duration::from_secs(5), stream.read_exact(&mut echoed)).await.unwrap().unwrap();
    assert_eq!(&echoed, b"hello");
}
