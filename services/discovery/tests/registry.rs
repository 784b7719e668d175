//! Section 7 of the contract, through the router: of a registry alone, on simulated time, and of one
//! that shares a bucket in NATS.

#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use broker::Servers;
use discovery::Settings;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tasks::Tasks;
use testkit::{Nats, engine_or_skip};
use tokio::time::{Instant, sleep, timeout};
use tower::ServiceExt;
use uuid::Uuid;

/// Makes of one test two.
macro_rules! on_each_store {
    ($name:ident, $test:expr $(,)?) => {
        mod $name {
            use super::*;

            #[tokio::test(start_paused = true)]
            async fn memory() {
                ($test)(Settings::default()).await;
            }

            #[test]
            fn bucket() {
                testkit::run(async {
                    let nats = engine_or_skip!(Nats::shared().await);
                    ($test)(in_bucket(&nats.url())).await;
                });
            }
        }
    };
}

/// Registries that share a bucket which nobody else has.
fn in_bucket(broker: &str) -> Settings {
    let registry = Some(Servers::parse(broker).unwrap());
    Settings { registry, bucket: Uuid::new_v4().to_string(), ..Settings::default() }
}

/// What a loaded machine may take where time is not simulated.
fn patience(settings: &Settings) -> Duration {
    Duration::from_millis(if settings.registry.is_some() { 300 } else { 0 })
}

struct Registry {
    router: Router,
    tasks: Tasks,
}

impl Registry {
    fn with(settings: &Settings) -> Self {
        let tasks = Tasks::new();
        Self { router: discovery::build(settings, &tasks), tasks }
    }

    async fn ask(&self, request: Request<Body>) -> (StatusCode, Value) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()));
        self.ask(request.unwrap()).await
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.ask(Request::get(path).body(Body::empty()).unwrap()).await
    }

    async fn register(&self, name: &str, host: &str) {
        let body = json!({"serviceName": name, "host": host});
        let (status, answer) = self.send(Method::POST, "/service", body).await;
        assert_eq!((status, answer), (StatusCode::OK, json!({"message": "success", "error": ""})));
    }

    fn hosts(listed: &Value, name: &str) -> Vec<String> {
        let services = listed["services"].as_array().unwrap();
        let found = services.iter().find(|s| s["serviceName"] == name);
        let instances =
            found.map(|s| s["instances"].as_array().unwrap().clone()).unwrap_or_default();
        instances.iter().map(|i| i["host"].as_str().unwrap().to_owned()).collect()
    }
}

on_each_store!(one_is_found_by_any_spelling_in_query_or_body, |settings: Settings| async move {
    let registry = Registry::with(&settings);
    registry.register("USER SERVICE", "10.0.0.7:3799").await;
    for path in ["/service?serviceName=accounts", "/service?serviceName=User%20Service"] {
        let (status, answer) = registry.get(path).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(answer["host"], "10.0.0.7:3799");
        let ticket = answer["connTicket"].clone();
        let (status, answer) =
            registry.send(Method::POST, "/ticket", json!({"connTicket": ticket})).await;
        assert_eq!((status, answer), (StatusCode::OK, json!({"message": "success", "error": ""})));
    }
    let (status, answer) =
        registry.send(Method::GET, "/service", json!({"serviceName": "user-service"})).await;
    assert_eq!((status, &answer["host"]), (StatusCode::OK, &json!("10.0.0.7:3799")));
});

on_each_store!(
    an_unknown_one_is_404_and_one_without_instances_503,
    |settings: Settings| async move {
        let registry = Registry::with(&settings);
        assert_eq!(registry.get("/service?serviceName=bench").await.0, StatusCode::NOT_FOUND);
        registry.register("bench", "10.0.0.7:1").await;
        let body = json!({"serviceName": "Bench", "host": "10.0.0.7:1"});
        assert_eq!(registry.send(Method::DELETE, "/service", body.clone()).await.0, StatusCode::OK);
        assert_eq!(registry.send(Method::DELETE, "/service", body).await.0, StatusCode::NOT_FOUND);
        let (status, problem) = registry.get("/service?serviceName=bench").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(problem["message"], "failure");
    }
);

on_each_store!(the_list_says_everything_about_an_instance, |settings: Settings| async move {
    let registry = Registry::with(&settings);
    let body =
        json!({"serviceName": "tracks", "host": "h:1", "version": "1.2", "weight": 3, "zone": "b"});
    registry.send(Method::POST, "/service", body).await;
    let (_, listed) = registry.get("/services").await;
    let instance = &listed["services"][0]["instances"][0];
    assert_eq!(listed["services"][0]["serviceName"], "tracks");
    for (field, value) in [
        ("host", json!("h:1")),
        ("version", json!("1.2")),
        ("weight", json!(3)),
        ("zone", json!("b")),
        ("health", json!("healthy")),
    ] {
        assert_eq!(instance[field], value, "{field}");
    }
    assert!(instance["last_heartbeat"].as_str().unwrap().ends_with('Z'));
});

on_each_store!(a_watcher_learns_of_a_death_within_100_ms, |settings: Settings| async move {
    let registry = Registry::with(&settings);
    sleep(Duration::from_secs(4)).await;
    registry.register("bench", "h:1").await;
    let (_, listed) = registry.get("/services").await;
    assert_eq!(Registry::hosts(&listed, "bench"), ["h:1"]);
    let (before, path) = (Instant::now(), format!("/services?watch={}", listed["index"]));
    let (_, listed) = registry.get(&path).await;
    assert!(Registry::hosts(&listed, "bench").is_empty());
    let took = before.elapsed();
    let (earliest, latest) = (Duration::from_millis(2_990), Duration::from_millis(3_100));
    let latest = latest + patience(&settings);
    assert!((earliest..latest).contains(&took), "{took:?}");
});

on_each_store!(
    a_watch_ends_with_a_change_at_once_and_without_one_after_30_s,
    |settings: Settings| async move {
        let registry = Registry::with(&settings);
        sleep(Duration::from_secs(4)).await;
        let (_, listed) = registry.get("/services").await;
        let path = format!("/services?watch={}", listed["index"]);
        let before = Instant::now();
        let (_, same) = registry.get(&path).await;
        assert_eq!(same, listed);
        assert_eq!(before.elapsed().as_secs(), 30);
        let before = Instant::now();
        let (watched, ()) = tokio::join!(registry.get(&path), async {
            sleep(Duration::from_millis(10)).await;
            registry.register("bench", "h:1").await;
        });
        assert_eq!(Registry::hosts(&watched.1, "bench"), ["h:1"]);
        assert!(before.elapsed() < Duration::from_millis(50) + patience(&settings));
        // A heartbeat is no change: only the death that follows is one.
        let path = format!("/services?watch={}", watched.1["index"]);
        let watch = timeout(Duration::from_millis(500), registry.get(&path));
        let (watched, ()) = tokio::join!(watch, registry.register("bench", "h:1"));
        assert!(watched.is_err());
    }
);

on_each_store!(a_registry_that_starts_again_says_so, |settings: Settings| async move {
    let old = Registry::with(&settings);
    old.register("bench", "h:1").await;
    sleep(Duration::from_secs(4)).await;
    old.register("bench", "h:1").await;
    let (_, seen) = old.get("/services").await;
    assert_eq!(seen.get("warming"), None);

    let new = Registry::with(&settings);
    let path = format!("/services?watch={}", seen["index"]);
    let listed = timeout(Duration::from_millis(100) + patience(&settings), new.get(&path)).await;
    let (_, listed) = listed.expect("its index is another, so there is nothing to wait for");
    assert_eq!(listed["warming"], true);
    let (before, mut listed) = (Instant::now(), listed);
    while listed.get("warming").is_some() {
        // Others may tell it of instances meanwhile.
        let path = format!("/services?watch={}", listed["index"]);
        listed = timeout(Duration::from_secs(4), new.get(&path)).await.expect("its end is told").1;
    }
    assert!(before.elapsed() <= Duration::from_millis(3_100) + patience(&settings));
});

on_each_store!(requests_go_to_the_fewest_open_tickets, |settings: Settings| async move {
    let registry = Registry::with(&settings);
    for host in ["h:1", "h:2", "h:3"] {
        registry.register("bench", host).await;
    }
    let mut hosts = Vec::new();
    for _ in 0..6 {
        let (_, answer) = registry.get("/service?serviceName=bench").await;
        hosts.push(answer["host"].as_str().unwrap().to_owned());
    }
    hosts.sort();
    assert_eq!(hosts, ["h:1", "h:1", "h:2", "h:2", "h:3", "h:3"]);
});

on_each_store!(bad_requests_get_the_contracts_errors, |settings: Settings| async move {
    let registry = Registry::with(&settings);
    let ok = "{\"serviceName\":\"a\",\"host\":\"h:1\"}";
    for (method, path, kind, body, status) in [
        ("POST", "/service", "application/json", "{", 400),
        ("POST", "/service", "application/json", "[]", 422),
        ("POST", "/service", "text/plain", ok, 415),
        ("POST", "/service", "application/json", "{\"serviceName\":\"a\"}", 422),
        ("POST", "/service", "application/json", "{\"serviceName\":\"a\",\"host\":\"h\"}", 422),
        ("POST", "/service", "application/json", "{\"serviceName\":\"a\",\"host\":7}", 422),
        ("POST", "/service", "application/json", "{\"serviceName\":\"a/b\",\"host\":\"h:1\"}", 422),
        (
            "POST",
            "/service",
            "application/json",
            "{\"serviceName\":\"a\",\"host\":\"h:1\",\"weight\":0}",
            422,
        ),
        (
            "POST",
            "/service",
            "application/json",
            "{\"serviceName\":\"a\",\"host\":\"h:1\",\"weight\":-1}",
            422,
        ),
        ("DELETE", "/service", "application/json", "{}", 422),
        ("GET", "/service", "application/json", "", 422),
        ("GET", "/service", "application/json", "{}", 422),
        ("GET", "/service", "text/plain", ok, 415),
        ("GET", "/service?serviceName=", "application/json", "", 422),
        ("GET", "/service?serviceName=%00", "application/json", "", 422),
        ("POST", "/ticket", "application/json", "{\"connTicket\":\"guessed\"}", 404),
        ("POST", "/ticket", "application/json", "{}", 422),
        ("GET", "/services?watch=abc", "application/json", "", 422),
        ("GET", "/services?watch=-1", "application/json", "", 422),
        ("PATCH", "/service", "application/json", ok, 405),
        ("GET", "/ticket", "application/json", "", 405),
        ("POST", "/services", "application/json", ok, 405),
        ("GET", "/nothing", "application/json", "", 404),
    ] {
        let request = Request::builder().method(method).uri(path).header("content-type", kind);
        let (got, problem) = registry.ask(request.body(Body::from(body)).unwrap()).await;
        assert_eq!(got.as_u16(), status, "{method} {path} {body}: {problem}");
        assert_eq!(problem["message"], "failure", "{method} {path} {body}");
        assert_eq!(problem["error"], problem["detail"]);
    }
    let (_, listed) = registry.get("/services").await;
    assert_eq!(listed["services"], json!([]), "nothing was registered by any of them");
});

on_each_store!(it_is_bounded, |settings: Settings| async move {
    let settings = Settings { max_instances: 2, max_watchers: 1, ..settings };
    let registry = Registry::with(&settings);
    registry.register("a", "h:1").await;
    registry.register("a", "h:2").await;
    let third = json!({"serviceName": "a", "host": "h:3"});
    assert_eq!(
        registry.send(Method::POST, "/service", third).await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    registry.register("a", "h:2").await;

    let (_, listed) = registry.get("/services").await;
    let path = format!("/services?watch={}", listed["index"]);
    let (first, second) = tokio::join!(registry.get(&path), registry.get(&path));
    assert_eq!((first.0, second.0), (StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE));
});

on_each_store!(watchers_are_answered_when_it_stops, |settings: Settings| async move {
    let registry = Registry::with(&settings);
    sleep(Duration::from_secs(4)).await;
    let (_, listed) = registry.get("/services").await;
    let path = format!("/services?watch={}", listed["index"]);
    let before = Instant::now();
    let (watched, ()) = tokio::join!(registry.get(&path), registry.tasks.stop());
    assert_eq!(watched.0, StatusCode::OK);
    assert!(before.elapsed() < Duration::from_secs(1));
});

#[test]
fn every_route_is_documented() {
    let document = discovery::openapi();
    let paths: Vec<_> = document.paths.paths.keys().map(String::as_str).collect();
    assert_eq!(paths, ["/service", "/services", "/ticket"]);
}
