//! Services in another process: the same through a connection as without one.

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::Query;
use axum::routing::get;
use axum::{Json, Router};
use gateway::Limits;
use mesh::{Mesh, MeshSettings};
use serde_json::json;
use tasks::Tasks;
use tokio::net::TcpListener;

use crate::house::{Fakes, House, problem};
use crate::sockets::{closed_with, connect, hears};

/// A registry that lists one address for every service, and `bench` at another.
async fn registry(services: SocketAddr, bench: SocketAddr) -> SocketAddr {
    #[derive(serde::Deserialize)]
    struct Watch {
        watch: Option<u64>,
    }
    let list = move |Query(asked): Query<Watch>| async move {
        if asked.watch == Some(1) {
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
        let one = |name: &str, host: SocketAddr| json!({"serviceName": name, "instances": [{"host": host.to_string(), "version": "1", "weight": 1, "zone": "", "health": "healthy"}]});
        let all = [
            one("accounts", services),
            one("palettes", services),
            one("popularity", services),
            one("chat", services),
            one("bench", bench),
        ];
        Json(json!({"index": 1, "services": all}))
    };
    serve(Router::new().route("/services", get(list))).await
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// The gateway here, the services at a private address, a stranger at another.
async fn apart() -> House {
    let fakes = Fakes::new();
    let there = Mesh::new(MeshSettings { secret: "s3cret".into(), ..MeshSettings::default() });
    fakes.install(&there);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let services = listener.local_addr().unwrap();
    let tasks = Tasks::new();
    mesh::serve(listener, there, &tasks);
    let echo = |headers: http::HeaderMap| async move {
        let headers: Vec<_> =
            headers.iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap_or("?"))).collect();
        Json(headers)
    };
    let bench = serve(Router::new().route("/bench/{*rest}", get(echo))).await;

    let here = Mesh::new(MeshSettings { secret: "s3cret".into(), ..MeshSettings::default() });
    here.follow(vec![registry(services, bench).await.to_string()], &tasks);
    let route = "[[route]]\npath = '/bench/{*rest}'\nservice = 'bench'\nexternal = true";
    let house = House::over(route, Limits::default(), here, fakes).await;
    house.until_ready().await;
    house
}

#[tokio::test]
async fn a_request_crosses_to_another_process() {
    let house = apart().await;
    let token = house.token(7, "s1");
    let sent = house
        .request("GET", "/palettes/7")
        .bearer_auth(&token)
        .header("x-request-id", "mine-2")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (sent.status().as_u16(), sent.headers()["x-request-id"].to_str().unwrap()),
        (200, "mine-2")
    );
    let seen = house.fakes.last();
    assert_eq!(seen.context.caller.as_ref().unwrap(), "7;s=s1");
    assert_eq!(
        (&*seen.context.request_id, seen.context.client),
        ("mine-2", Some([127, 0, 0, 1].into()))
    );
    assert_eq!(house.post("/palettes").send().await.unwrap().status(), 201);
    let body = problem(house.get("/palettes/broken").await, 500).await.to_string();
    assert!(!body.contains("SELECT"), "{body}");
    let large = house
        .request("GET", "/palettes/large")
        .header("accept-encoding", "gzip")
        .send()
        .await
        .unwrap();
    assert_eq!(large.headers()["content-encoding"], "gzip");
}

#[tokio::test]
async fn a_stranger_is_told_no_secrets() {
    let house = apart().await;
    let sent = house.request("GET", "/bench/a?b=c").bearer_auth(house.token(7, "s1"));
    let sent = sent
        .header("cookie", "theirs=1; refreshToken=r; fresh=1")
        .header("x-request-id", "mine-3")
        .send()
        .await
        .unwrap();
    let got: Vec<String> = sent.json().await.unwrap();
    for line in [
        "x-request-id: mine-3",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: http",
        "cookie: theirs=1",
    ] {
        assert!(got.iter().any(|g| g == line), "{line} in {got:?}");
    }
    let all = got.join("\n");
    assert!(
        !all.contains("x-atelier")
            && !all.contains("s3cret")
            && !all.contains("authorization")
            && !all.contains("refreshToken"),
        "{all}"
    );
}

#[tokio::test]
async fn a_socket_is_relayed() {
    let house = apart().await;
    let bearer = ("authorization", format!("Bearer {}", house.token(7, "s1")));
    let mut one = connect(&house, &[bearer]).await.unwrap();
    let mut two = connect(&house, &[]).await.unwrap();
    for socket in [&mut one, &mut two] {
        hears(&house, socket, "hello").await;
    }
    let ended = contracts::events::SessionRevoked {
        user_id: ids::UserId::new(7),
        session: "s1".into(),
        until: i64::MAX,
    };
    house.emit(&ended).await;
    assert_eq!(closed_with(&mut one).await, 4401);
    hears(&house, &mut two, "hello").await;
    house.stop.cancel();
    assert_eq!(closed_with(&mut two).await, 1012);
}
