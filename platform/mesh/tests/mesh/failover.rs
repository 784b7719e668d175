//! Instances that die, are slow, or were never there.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::{any, get, post};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use mesh::{Channel, Circuit, Kind, Mesh, MeshSettings, Policy};
use tasks::Tasks;
use tokio::time::Instant;

use crate::fake::{self, Killable, eventually};
use crate::grpc;

struct Fleet {
    instances: Vec<Killable>,
    registry: fake::Registry,
    _serving: Killable,
    mesh: Mesh,
    _tasks: Tasks,
}

impl Fleet {
    /// A mesh that knows one instance of `bench` for each router.
    async fn of(routers: Vec<Router>, settings: MeshSettings) -> Self {
        let instances: Vec<_> =
            routers.into_iter().map(|r| fake::instance("bench", r, settings.clone())).collect();
        let registry = fake::Registry::new();
        registry.list("bench", &instances.iter().map(Killable::host).collect::<Vec<_>>());
        let (serving, tasks) = (registry.start(), Tasks::new());
        let mesh = fake::follower(&serving, settings, &tasks, "bench", instances.len()).await;
        Self { instances, registry, _serving: serving, mesh, _tasks: tasks }
    }

    fn channel(&self) -> Channel {
        self.mesh.channel("bench")
    }

    fn circuits(&self) -> Vec<Circuit> {
        let views = self.mesh.instances();
        let bench = views.iter().find(|v| v.service == "bench").unwrap();
        bench.instances.iter().map(|i| i.circuit).collect()
    }
}

fn get_request(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_an_instance_under_load_fails_no_idempotent_request() {
    let router = || {
        let work = || async {
            tokio::time::sleep(Duration::from_millis(2)).await;
            "done"
        };
        let put = |body: Bytes| async move {
            tokio::time::sleep(Duration::from_millis(2)).await;
            body
        };
        let echo = |_, message| async move {
            tokio::time::sleep(Duration::from_millis(2)).await;
            Ok(message)
        };
        Router::new()
            .route("/work", get(work))
            .route("/put", axum::routing::put(put))
            .merge(grpc::method("Echo", echo))
    };
    let mut fleet = Fleet::of(vec![router(), router(), router()], fake::settings()).await;
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..24)
        .map(|caller| {
            let (channel, stop, done) = (fleet.channel(), stop.clone(), done.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    match caller % 3 {
                        0 => {
                            let answer = channel.send(get_request("/work")).await.unwrap();
                            assert_eq!(
                                answer.into_body().collect().await.unwrap().to_bytes(),
                                "done"
                            );
                        }
                        1 => {
                            let put = Request::put("/put").body(Body::from("kept")).unwrap();
                            let answer = channel.send(put).await.unwrap();
                            assert_eq!(
                                answer.into_body().collect().await.unwrap().to_bytes(),
                                "kept"
                            );
                        }
                        _ => {
                            let message =
                                mesh::idempotent(tonic::Request::new(Bytes::from("said")));
                            let got = grpc::call(channel.clone(), "Echo", message).await;
                            assert_eq!(got.unwrap(), "said");
                        }
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let more = |n: usize| {
        let (done, from) = (done.clone(), done.load(Ordering::Relaxed));
        move || done.load(Ordering::Relaxed) >= from + n
    };
    eventually("load", more(500)).await;
    fleet.instances.remove(0).kill().await;
    eventually("load goes on", more(1_000)).await;
    fleet.instances.remove(0).kill().await;
    eventually("load goes on with one", more(1_000)).await;
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_must_not_be_repeated_is_not() {
    let book: Arc<Mutex<HashMap<String, u32>>> = Arc::default();
    let router = || {
        let book = book.clone();
        let write = move |key: String| async move {
            *book.lock().unwrap().entry(key).or_default() += 1;
            tokio::time::sleep(Duration::from_millis(3)).await;
        };
        Router::new().route("/order", post(write))
    };
    let mut fleet = Fleet::of(vec![router(), router()], fake::settings()).await;
    let callers: Vec<_> = (0..16)
        .map(|caller| {
            let channel = fleet.channel();
            tokio::spawn(async move {
                let mut failed = 0;
                for order in 0..150 {
                    let order = Request::post("/order")
                        .body(Body::from(format!("{caller}/{order}")))
                        .unwrap();
                    failed += usize::from(channel.send(order).await.is_err());
                }
                failed
            })
        })
        .collect();
    let orders = || book.lock().unwrap().len();
    eventually("orders", || orders() > 500).await;
    fleet.instances.remove(0).kill().await;
    let mut failed = 0;
    for caller in callers {
        failed += caller.await.unwrap();
    }
    let book = book.lock().unwrap();
    assert!(book.values().all(|times| *times == 1), "an order was placed twice");
    assert!(failed <= 16, "only those under way may fail, one for each caller: {failed}");
    assert!(book.len() + failed >= 16 * 150);
}

#[tokio::test]
async fn where_nobody_listens_anything_goes_on_to_the_next() {
    let router = || Router::new().route("/order", post(|| async { "placed" }));
    let mut fleet = Fleet::of(vec![router(), router(), router(), router()], fake::settings()).await;
    for _ in 0..3 {
        fleet.instances.remove(0).kill().await;
    }
    for _ in 0..50 {
        let order = Request::post("/order").body(Body::from("one")).unwrap();
        assert_eq!(fleet.channel().send(order).await.unwrap().status(), StatusCode::OK);
    }
    let open = fleet.circuits().iter().filter(|c| **c == Circuit::Open).count();
    assert!(open <= 3, "{:?}", fleet.circuits());
}

#[tokio::test]
async fn when_nobody_is_left_it_fails_fast_and_says_when_to_come_back() {
    let settings = MeshSettings { breaker_open_ms: 5_000, ..fake::settings() };
    let mut fleet = Fleet::of(vec![Router::new()], settings).await;
    fleet.instances.remove(0).kill().await;
    for _ in 0..5 {
        assert_eq!(
            fleet.channel().send(get_request("/")).await.unwrap_err().kind(),
            Kind::Unavailable
        );
    }
    assert_eq!(fleet.circuits(), [Circuit::Open]);
    let before = Instant::now();
    for _ in 0..100 {
        let error = fleet.channel().send(get_request("/")).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable);
        assert!((1..=5).contains(&error.retry_after()), "{}", error.retry_after());
    }
    assert!(before.elapsed() < Duration::from_secs(1));
    let unknown = fleet.mesh.channel("unknown").send(get_request("/")).await.unwrap_err();
    assert_eq!((unknown.kind(), unknown.retry_after()), (Kind::Unavailable, 1));
}

#[tokio::test]
async fn a_circuit_closes_when_the_probe_succeeds() {
    let well = Arc::new(AtomicBool::new(false));
    let seen = well.clone();
    let flaky = Router::new().route(
        "/",
        get(move || {
            let well = seen.load(Ordering::SeqCst);
            async move { if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE } }
        }),
    );
    let settings = MeshSettings { breaker_open_ms: 50, ..fake::settings() };
    let fleet = Fleet::of(vec![flaky], settings).await;
    let channel = fleet.channel();
    for _ in 0..5 {
        assert_eq!(
            channel.send(get_request("/")).await.unwrap().status(),
            StatusCode::SERVICE_UNAVAILABLE
        );
    }
    assert_eq!(fleet.circuits(), [Circuit::Open]);
    assert_eq!(channel.send(get_request("/")).await.unwrap_err().kind(), Kind::Unavailable);
    well.store(true, Ordering::SeqCst);
    let began = Instant::now();
    while channel.send(get_request("/")).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(fleet.circuits(), [Circuit::Closed]);
}

#[tokio::test]
async fn a_failing_instance_is_covered_by_the_other() {
    let bad = Router::new()
        .route("/", get(|| async { StatusCode::BAD_GATEWAY }))
        .merge(grpc::method("Echo", |_, _| async { Err(tonic::Status::unavailable("not now")) }));
    let good = Router::new()
        .route("/", get(|| async { StatusCode::OK }))
        .merge(grpc::method("Echo", |_, message| async { Ok(message) }));
    let fleet = Fleet::of(vec![bad, good], fake::settings()).await;
    let channel = fleet.channel().with_policy(Policy::RoundRobin);
    for _ in 0..40 {
        assert_eq!(channel.send(get_request("/")).await.unwrap().status(), StatusCode::OK);
    }
    for _ in 0..40 {
        let message = mesh::idempotent(tonic::Request::new(Bytes::from("x")));
        grpc::call(channel.clone(), "Echo", message).await.unwrap();
    }
    assert!(fleet.circuits().contains(&Circuit::Open));
}

#[tokio::test]
async fn retries_stop_when_the_budget_is_spent() {
    let calls = Arc::new(AtomicUsize::new(0));
    let bad = || {
        let calls = calls.clone();
        Router::new().route(
            "/",
            get(move || {
                calls.fetch_add(1, Ordering::SeqCst);
                async { StatusCode::SERVICE_UNAVAILABLE }
            }),
        )
    };
    // No breaker, so that only the budget holds the retries back.
    let settings = MeshSettings {
        breaker_failures: u32::MAX,
        outlier_percent: 100,
        retry_percent: 20,
        retry_per_second: 0,
        ..fake::settings()
    };
    let fleet = Fleet::of(vec![bad(), bad(), bad()], settings).await;
    for _ in 0..200 {
        let _ = fleet.channel().send(get_request("/")).await;
    }
    let calls = calls.load(Ordering::SeqCst);
    assert!((200..=240).contains(&calls), "{calls} calls for 200 requests");
}

#[tokio::test]
async fn the_slow_one_of_eight_gets_few_requests() {
    let counts: Vec<_> = (0..8).map(|_| Arc::new(AtomicUsize::new(0))).collect();
    let router = |i: usize| {
        let count = counts[i].clone();
        let pause = Duration::from_millis(if i == 0 { 100 } else { 1 });
        Router::new().route(
            "/",
            get(move || {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(pause)
            }),
        )
    };
    let fleet = Fleet::of((0..8).map(router).collect(), fake::settings()).await;
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let channel = fleet.channel();
            tokio::spawn(async move {
                for _ in 0..200 {
                    channel.send(get_request("/")).await.unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let counts: Vec<_> = counts.iter().map(|c| c.load(Ordering::Relaxed)).collect();
    assert!(counts[0] < 80, "5 % of 1600: {counts:?}");
}

#[tokio::test]
async fn an_outlier_is_ejected_and_others_serve() {
    let sick = Arc::new(AtomicUsize::new(0));
    let count = sick.clone();
    // Never five failures in a row, but every second one.
    let flaky = Router::new().route(
        "/",
        get(move || {
            let n = count.fetch_add(1, Ordering::SeqCst);
            async move { if n.is_multiple_of(2) { StatusCode::BAD_GATEWAY } else { StatusCode::OK } }
        }),
    );
    let good = || Router::new().route("/", get(|| async {}));
    let fleet = Fleet::of(vec![flaky, good(), good()], fake::settings()).await;
    let channel = fleet.channel().with_policy(Policy::RoundRobin);
    let began = Instant::now();
    while !fleet.circuits().contains(&Circuit::Ejected) {
        assert_eq!(channel.send(get_request("/")).await.unwrap().status(), StatusCode::OK);
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", fleet.circuits());
    }
    let before = sick.load(Ordering::SeqCst);
    for _ in 0..100 {
        channel.send(get_request("/")).await.unwrap();
    }
    assert_eq!(sick.load(Ordering::SeqCst), before, "nothing goes there any more");
}

#[tokio::test]
async fn a_header_names_the_instance_under_consistent_hashing() {
    let router = |i: usize| Router::new().route("/", any(move || async move { i.to_string() }));
    let fleet = Fleet::of((0..4).map(router).collect(), fake::settings()).await;
    let channel = fleet.channel().with_policy(Policy::ConsistentHash("x-user".parse().unwrap()));
    let mut homes = HashMap::new();
    for round in 0..3 {
        for user in 0..40 {
            let request = Request::get("/").header("x-user", user).body(Body::empty()).unwrap();
            let home = channel
                .send(request)
                .await
                .unwrap()
                .into_body()
                .collect()
                .await
                .unwrap()
                .to_bytes();
            let before = homes.insert(user, home.clone());
            assert!(before.is_none_or(|b| b == home), "user {user} moved in round {round}");
        }
    }
    let used: std::collections::HashSet<_> = homes.values().collect();
    assert_eq!(used.len(), 4);
}

#[tokio::test]
async fn a_new_instance_is_used_and_a_removed_one_is_not() {
    let router = |name: &'static str| Router::new().route("/", get(move || async move { name }));
    let fleet = Fleet::of(vec![router("old")], fake::settings()).await;
    let new = fake::instance("bench", router("new"), fake::settings());
    fleet.registry.list("bench", &[new.host()]);
    let channel = fleet.channel();
    let began = Instant::now();
    loop {
        let answer =
            channel.send(get_request("/")).await.unwrap().into_body().collect().await.unwrap();
        if answer.to_bytes() == "new" {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(10));
    }
    for _ in 0..20 {
        let answer =
            channel.send(get_request("/")).await.unwrap().into_body().collect().await.unwrap();
        assert_eq!(answer.to_bytes(), "new");
    }
}

#[tokio::test]
async fn the_second_instance_gets_the_whole_body() {
    let down = || Router::new().route("/put", any(|| async { StatusCode::SERVICE_UNAVAILABLE }));
    let echo = || Router::new().route("/put", any(|body: Bytes| async move { body }));
    let fleet = Fleet::of(vec![down(), echo()], fake::settings()).await;
    let channel = fleet.channel().with_policy(Policy::RoundRobin);
    for _ in 0..4 {
        let put = Request::put("/put").body(Body::from("the whole body")).unwrap();
        let answer = channel.send(put).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "the whole body");
    }
}
