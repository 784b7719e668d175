//! Several registries that share a bucket: they agree, and none of them matters; nor does the broker.

#![allow(clippy::unwrap_used, missing_docs)]

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use broker::Servers;
use discovery::Settings;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tasks::Tasks;
use testkit::{Nats, engine_or_skip, eventually};
use tower::ServiceExt;
use uuid::Uuid;

#[derive(Clone)]
struct Registry {
    router: Router,
    tasks: Tasks,
}

/// `count` registries that share a bucket.
fn registries<const COUNT: usize>(nats: &Nats) -> [Registry; COUNT] {
    let settings = settings(nats);
    [(); COUNT].map(|()| Registry::new(&settings))
}

fn settings(nats: &Nats) -> Settings {
    let registry = Some(Servers::parse(&nats.url()).unwrap());
    Settings { registry, bucket: Uuid::new_v4().to_string(), ..Settings::default() }
}

impl Registry {
    fn new(settings: &Settings) -> Self {
        let tasks = Tasks::new();
        Self { router: discovery::build(settings, &tasks), tasks }
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()));
        let response = self.router.clone().oneshot(request.unwrap()).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    async fn beat(&self, host: &str) {
        self.beat_as(host, "1").await;
    }

    async fn beat_as(&self, host: &str, version: &str) {
        let body = json!({"serviceName": "bench", "host": host, "version": version, "zone": "b"});
        assert_eq!(self.send(Method::POST, "/service", body).await.0, StatusCode::OK);
    }

    /// A heartbeat each second until dropped.
    fn keep(&self, host: &'static str) -> tokio::task::JoinHandle<()> {
        let registry = self.clone();
        tokio::spawn(async move {
            loop {
                registry.beat(host).await;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        })
    }

    async fn hosts(&self) -> Vec<String> {
        let (_, listed) = self.send(Method::GET, "/services", Value::Null).await;
        let services = listed["services"].as_array().unwrap();
        let found = services.iter().find(|s| s["serviceName"] == "bench");
        let instances =
            found.map(|s| s["instances"].as_array().unwrap().clone()).unwrap_or_default();
        instances.iter().map(|i| i["host"].as_str().unwrap().to_owned()).collect()
    }

    async fn until(&self, hosts: &[&str], within: Duration) {
        let began = Instant::now();
        while self.hosts().await != hosts {
            assert!(began.elapsed() < within, "{:?} after {within:?}", self.hosts().await);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

const SOON: Duration = Duration::from_secs(10);
/// A heartbeat's life, what a watcher is promised, and a loaded machine.
const LIFE: Duration = Duration::from_millis(3_000 + 100 + 300);

#[test]
fn what_one_is_told_all_know_for_as_long_as_it_lives() {
    testkit::run(async {
        let nats = engine_or_skip!(Nats::shared().await);
        let [a, b, c] = registries(nats);
        let (one, two) = (a.keep("h:1"), b.keep("h:2"));
        for registry in [&a, &b, &c] {
            registry.until(&["h:1", "h:2"], SOON).await;
        }
        // Beats at one of them keep it alive at all.
        tokio::time::sleep(Duration::from_secs(4)).await;
        let (_, listed) = c.send(Method::GET, "/services", Value::Null).await;
        let instance = &listed["services"][0]["instances"][0];
        assert_eq!((&instance["version"], &instance["zone"]), (&json!("1"), &json!("b")));
        assert_eq!(c.hosts().await, ["h:1", "h:2"]);

        // A death is seen by all in time; and a leave at once, by whichever it is told.
        one.abort();
        drop(one.await);
        let died = Instant::now();
        for registry in [&c, &b, &a] {
            registry.until(&["h:2"], LIFE.saturating_sub(died.elapsed())).await;
        }
        two.abort();
        drop(two.await);
        b.beat_as("h:2", "last").await;
        // Otherwise that heartbeat may come after the leave.
        eventually("its last heartbeat is known", || async {
            let (_, listed) = c.send(Method::GET, "/services", Value::Null).await;
            listed["services"][0]["instances"][0]["version"] == "last"
        })
        .await;
        let leave = json!({"serviceName": "bench", "host": "h:2"});
        assert_eq!(c.send(Method::DELETE, "/service", leave).await.0, StatusCode::OK);
        for registry in [&a, &b] {
            registry.until(&[], Duration::from_millis(1_500)).await;
        }
    });
}

#[test]
fn a_registry_that_starts_knows_at_once_and_one_that_dies_is_not_missed() {
    testkit::run(async {
        let nats = engine_or_skip!(Nats::shared().await);
        let settings = settings(nats);
        let a = Registry::new(&settings);
        let beating = a.keep("h:1");
        a.until(&["h:1"], SOON).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let b = Registry::new(&settings);
        b.until(&["h:1"], Duration::from_millis(900)).await;
        // Its instances go to the other one, as the mesh does.
        beating.abort();
        a.tasks.stop().await;
        let _beating = b.keep("h:1");
        let end = Instant::now() + Duration::from_secs(4);
        while Instant::now() < end {
            assert_eq!(b.hosts().await, ["h:1"]);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}

#[test]
fn a_ticket_counts_at_all_and_is_closed_at_any() {
    testkit::run(async {
        let nats = engine_or_skip!(Nats::shared().await);
        let [a, b] = registries(nats);
        let _beating = [a.keep("h:1"), a.keep("h:2")];
        b.until(&["h:1", "h:2"], SOON).await;
        let ask = async |registry: &Registry| {
            let body = json!({"serviceName": "bench"});
            registry.send(Method::GET, "/service", body).await.1
        };
        let first = ask(&a).await;
        let close = json!({"connTicket": first["connTicket"]});
        // It is counted at the other one: which closes it, once.
        eventually("the ticket is known", || async {
            b.send(Method::POST, "/ticket", close.clone()).await.0 == StatusCode::OK
        })
        .await;
        assert_eq!(b.send(Method::POST, "/ticket", close.clone()).await.0, StatusCode::NOT_FOUND);
        eventually("it is closed at the first", || async {
            a.send(Method::POST, "/ticket", close.clone()).await.0 == StatusCode::NOT_FOUND
        })
        .await;
        // Six at one of them are three each; the other one goes on from there.
        let mut hosts = Vec::new();
        for n in 0..6 {
            let registry = if n % 2 == 0 { &a } else { &b };
            hosts.push(ask(registry).await["host"].as_str().unwrap().to_owned());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        hosts.sort();
        assert_eq!(hosts, ["h:1", "h:1", "h:1", "h:2", "h:2", "h:2"]);
    });
}

#[test]
fn without_the_broker_each_goes_on_from_what_it_knows_and_agrees_afterwards() {
    testkit::run(async {
        let nats = engine_or_skip!(Nats::start().await);
        let [a, b] = registries(&nats);
        let (one, two) = (a.keep("h:1"), b.keep("h:2"));
        for registry in [&a, &b] {
            registry.until(&["h:1", "h:2"], SOON).await;
        }
        nats.kill().await;
        // Longer than a life: nobody is dropped who may be alive.
        let end = Instant::now() + Duration::from_secs(4);
        while Instant::now() < end {
            for registry in [&a, &b] {
                assert_eq!(registry.hosts().await, ["h:1", "h:2"]);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // Those who are heard here still come and die.
        two.abort();
        drop(two.await);
        b.until(&["h:1"], LIFE).await;
        let _three = b.keep("h:3");
        b.until(&["h:1", "h:3"], SOON).await;
        assert_eq!(a.hosts().await, ["h:1", "h:2"]);

        nats.restart().await;
        a.until(&["h:1", "h:2", "h:3"], Duration::from_secs(2)).await;
        // The dead one has had its time to say otherwise.
        a.until(&["h:1", "h:3"], LIFE).await;
        assert_eq!(b.hosts().await, ["h:1", "h:3"]);
        one.abort();
        drop(one.await);
        for registry in [&a, &b] {
            registry.until(&["h:3"], LIFE).await;
        }
    });
}

#[test]
fn a_broker_that_is_paused_costs_nothing() {
    testkit::run(async {
        let nats = engine_or_skip!(Nats::start().await);
        let [a, b] = registries(&nats);
        let _one = a.keep("h:1");
        b.until(&["h:1"], SOON).await;
        nats.pause();
        let end = Instant::now() + Duration::from_secs(6);
        while Instant::now() < end {
            let began = Instant::now();
            assert_eq!(b.hosts().await, ["h:1"]);
            assert!(began.elapsed() < Duration::from_millis(500));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        nats.resume();
        let _two = a.keep("h:2");
        b.until(&["h:1", "h:2"], Duration::from_secs(5)).await;
    });
}
