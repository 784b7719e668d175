//! Following a registry that comes and goes, and being listed by it.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Request, StatusCode};
use mesh::{Channel, Mesh};
use tasks::Tasks;
use tokio::time::{Instant, sleep};

use crate::fake::{self, eventually};

fn router() -> Router {
    Router::new().route("/", get(|| async {}))
}

async fn works(channel: &Channel) -> bool {
    let answer = channel.send(Request::get("/").body(Body::empty()).unwrap()).await;
    answer.is_ok_and(|a| a.status() == StatusCode::OK)
}

#[tokio::test]
async fn traffic_goes_on_while_the_registry_is_away_and_after_it_lost_everything() {
    let instance = fake::instance("bench", router(), fake::settings());
    let registry = fake::Registry::new();
    registry.list("bench", &[instance.host()]);
    let (serving, tasks) = (registry.start(), Tasks::new());
    let address = serving.address;
    let mesh = fake::follower(&serving, fake::settings(), &tasks, "bench", 1).await;
    let channel = mesh.channel("bench");
    serving.kill().await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(500) {
        assert!(works(&channel).await);
    }
    // It comes back and knows nobody, and says so.
    registry.restart_empty(true);
    let serving = registry.start_at(address);
    registry.list("other", &["127.0.0.1:9".into()]);
    eventually("the mesh has heard of it", || {
        mesh.instances().iter().any(|v| v.service == "other")
    })
    .await;
    assert!(works(&channel).await);
    // It lists a service and none of its instances: the last ones known stay.
    registry.list("bench", &[]);
    registry.list("third", &["127.0.0.1:9".into()]);
    eventually("the mesh has heard of it", || {
        mesh.instances().iter().any(|v| v.service == "third")
    })
    .await;
    assert!(works(&channel).await);
    drop(serving);
}

#[tokio::test]
async fn the_next_registry_is_asked_when_one_is_dead() {
    let instance = fake::instance("bench", router(), fake::settings());
    let registry = fake::Registry::new();
    registry.list("bench", &[instance.host()]);
    let (dead, alive, tasks) = (registry.start(), registry.start(), Tasks::new());
    let gone = dead.host();
    dead.kill().await;
    let mesh = Mesh::new(fake::settings());
    mesh.follow(vec!["no address".into(), gone, alive.host()], &tasks);
    let channel = mesh.channel("bench");
    eventually("the second is asked", || {
        mesh.instances().iter().any(|v| v.service == "bench" && !v.instances.is_empty())
    })
    .await;
    assert!(works(&channel).await);
}

#[tokio::test]
async fn a_process_is_listed_while_it_lives_and_leaves_when_it_drains() {
    let registry = fake::Registry::new();
    let address: SocketAddr = "127.0.0.1:3799".parse().unwrap();
    let (serving, tasks) = (registry.start(), Tasks::new());
    let mesh = Mesh::new(fake::settings());
    mesh.install("palettes", router());
    mesh.follow(vec![serving.host()], &tasks);
    mesh.register(address, "1.2.3", ["gateway"], &tasks);
    let told = |method: &str, name: &str| {
        let wanted = (method.to_owned(), name.to_owned());
        registry.told().iter().filter(|t| **t == wanted).count()
    };
    eventually("both are announced", || {
        told("POST", "palettes") > 0 && told("POST", "gateway") > 0
    })
    .await;
    mesh.install("popularity", router());
    eventually("a later one at once", || told("POST", "popularity") > 0).await;
    eventually("and again every second", || told("POST", "palettes") > 2).await;
    let view = mesh.instances();
    assert_eq!(
        view.iter().find(|v| v.service == "palettes").unwrap().instances[0].host,
        "127.0.0.1:3799"
    );
    mesh.drain().await;
    for name in ["palettes", "popularity", "gateway"] {
        assert_eq!(told("DELETE", name), 1, "{name}");
    }
    let after = registry.told().len();
    sleep(Duration::from_millis(1_300)).await;
    assert_eq!(registry.told().len(), after, "no heartbeat after the leave");
}

#[tokio::test]
async fn each_instance_in_another_process_can_be_told_alone() {
    let names = ["a", "b"];
    let instances = names.map(|name| {
        let router = Router::new().route("/", get(move || async move { name }));
        fake::instance("bench", router, fake::settings())
    });
    let here: SocketAddr = "127.0.0.1:3799".parse().unwrap();
    let registry = fake::Registry::new();
    registry.list("bench", &[instances[0].host(), here.to_string(), instances[1].host()]);
    let (serving, tasks) = (registry.start(), Tasks::new());
    let mesh = Mesh::new(fake::settings());
    mesh.install("bench", Router::new().route("/", get(|| async { "here" })));
    mesh.register(here, "1", [""; 0], &tasks);
    assert!(mesh.others("bench").is_empty(), "nobody is known yet");
    mesh.follow(vec![serving.host()], &tasks);
    eventually("both are known", || mesh.others("bench").len() == 2).await;
    for ((_, channel), name) in mesh.others("bench").iter().zip(names) {
        for _ in 0..3 {
            let request = Request::get("/").body(Body::empty()).unwrap();
            let answer = channel.send(request).await.unwrap().into_body();
            assert_eq!(axum::body::to_bytes(answer, 9).await.unwrap(), name);
        }
    }
    assert!(mesh.others("unknown").is_empty());
}

#[tokio::test]
async fn a_registry_that_comes_later_is_told_soon() {
    let registry = fake::Registry::new();
    let address = {
        let taken = registry.start();
        let address = taken.address;
        taken.kill().await;
        address
    };
    let (mesh, tasks) = (Mesh::new(fake::settings()), Tasks::new());
    mesh.install("palettes", router());
    mesh.follow(vec![address.to_string()], &tasks);
    mesh.register("127.0.0.1:3799".parse().unwrap(), "1", [""; 0], &tasks);
    sleep(Duration::from_millis(300)).await;
    let serving = registry.start_at(address);
    let before = Instant::now();
    eventually("it is told", || !registry.told().is_empty()).await;
    assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
    drop(serving);
}
