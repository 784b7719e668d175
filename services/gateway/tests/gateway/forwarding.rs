//! What reaches a service, and what comes back.

use std::sync::atomic::Ordering;

use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::house::{House, problem};

#[tokio::test]
async fn a_request_reaches_its_service_with_its_ids() {
    let house = House::new().await;
    let response = house
        .request("GET", "/palettes/7?a=b")
        .header("x-request-id", "mine-1")
        .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["x-request-id"], "mine-1");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    let trace = response.headers()["traceparent"].to_str().unwrap().to_owned();
    assert!(trace.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"), "{trace}");
    assert_eq!(response.json::<Value>().await.unwrap()["palette_id"], "7");

    let seen = house.fakes.last();
    assert_eq!((seen.method.as_str(), &*seen.target), ("GET", "/palettes/7?a=b"));
    assert_eq!(&*seen.context.request_id, "mine-1");
    assert!(seen.context.trace.to_string().starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
    assert_eq!(seen.context.client, Some([127, 0, 0, 1].into()));
    assert!(seen.context.deadline.is_some() && seen.context.caller.is_none());

    let made = house.get("/palettes/7").await;
    assert!(made.headers()["x-request-id"].len() > 10);
    assert!(made.headers()["traceparent"].len() == 55);
}

#[tokio::test]
async fn nothing_a_client_says_is_taken_for_a_word_between_services() {
    let house = House::new().await;
    let sent = house
        .request("GET", "/palettes/7")
        .header("x-atelier-caller", "1;s=a;staff")
        .header("x-atelier-client", "9.9.9.9")
        .header("x-atelier-fresh", "1")
        .header("x-atelier-mesh-secret", "guess")
        .header("x-atelier-service", "accounts")
        .header("x-atelier-idempotent", "1")
        .header("x-forwarded-for", "9.9.9.9")
        .header("grpc-timeout", "1n")
        .send();
    assert_eq!(sent.await.unwrap().status(), 200);
    let seen = house.fakes.last();
    assert_eq!(seen.context.caller, None);
    assert_eq!(seen.context.client, Some([127, 0, 0, 1].into()));
    assert!(!seen.context.fresh);
    for name in seen.headers.keys() {
        assert!(!name.as_str().starts_with("x-atelier") && name != "x-forwarded-for", "{name}");
    }
    let answer = house.get("/palettes/internal").await;
    assert!(
        answer.headers().contains_key("x-outside")
            && !answer.headers().contains_key("x-atelier-inside")
    );
}

#[tokio::test]
async fn a_trusted_proxy_is_believed_about_its_clients() {
    let house = House::with("trusted_proxies = ['127.0.0.0/8']").await;
    house
        .request("GET", "/palettes/7")
        .header("x-forwarded-for", "6.6.6.6, 9.9.9.9")
        .send()
        .await
        .unwrap();
    assert_eq!(house.fakes.last().context.client, Some([9, 9, 9, 9].into()));
}

#[tokio::test]
async fn what_is_not_there_is_a_problem() {
    let house = House::new().await;
    for path in ["/", "/nothing", "/palettes/7/", "/service", "/services", "/ticket", "/metrics"] {
        problem(house.get(path).await, 404).await;
    }
    assert_eq!(house.fakes.calls(), 0);
}

#[tokio::test]
async fn a_method_that_is_not_there_says_which_are() {
    let house = House::new().await;
    for (method, path, allow) in [
        ("PATCH", "/palettes/7", "GET, HEAD, PUT, DELETE, OPTIONS"),
        ("GET", "/like", "POST, DELETE, OPTIONS"),
        ("TRACE", "/popular", "GET, HEAD, OPTIONS"),
        ("BREW", "/popular", "GET, HEAD, OPTIONS"),
        ("POST", "/status", "GET, HEAD, OPTIONS"),
    ] {
        let response = house.request(method, path).send().await.unwrap();
        assert_eq!(response.headers()["allow"], allow, "{method} {path}");
        problem(response, 405).await;
    }
    let options = house.request("OPTIONS", "/palettes/7").send().await.unwrap();
    assert_eq!(
        (options.status().as_u16(), options.headers()["allow"].to_str().unwrap()),
        (204, "GET, HEAD, PUT, DELETE, OPTIONS")
    );
    assert_eq!(house.fakes.calls(), 0);
}

#[tokio::test]
async fn failures_show_nothing_of_the_inside() {
    let house = House::with("[[route]]\npath = '/slow/{id}'\nservice = 'palettes'\ntimeout_ms = 50\n[[route]]\npath = '/gone'\nservice = 'gone'\nexternal = true").await;
    for path in ["/palettes/broken", "/palettes/panic"] {
        let body = problem(house.get(path).await, 500).await.to_string();
        assert!(
            !body.contains("SELECT") && !body.contains("10.0.0.7") && !body.contains("purpose"),
            "{body}"
        );
    }
    let gone = house.get("/gone").await;
    assert!(gone.headers()["retry-after"].to_str().unwrap().parse::<u32>().unwrap() >= 1);
    problem(gone, 503).await;
}

#[tokio::test]
async fn a_service_that_does_not_answer_in_time_is_a_504() {
    let house = House::with("request_timeout_ms = 50").await;
    problem(house.get("/palettes/held").await, 504).await;
}

#[tokio::test]
async fn large_answers_are_compressed_for_those_who_take_it() {
    let house = House::new().await;
    let ask = |encoding: &'static str| {
        house.request("GET", "/palettes/large").header("accept-encoding", encoding).send()
    };
    let plain = house.get("/palettes/large").await;
    assert!(!plain.headers().contains_key("content-encoding"));
    let plain = plain.bytes().await.unwrap();
    for (accepts, gets) in [("gzip, br", "br"), ("gzip", "gzip")] {
        let response = ask(accepts).await.unwrap();
        assert_eq!(response.headers()["content-encoding"], gets);
        assert!(response.headers()["vary"].to_str().unwrap().contains("accept-encoding"));
        assert!(response.bytes().await.unwrap().len() * 4 < plain.len());
    }
    let small =
        house.request("GET", "/palettes/7").header("accept-encoding", "gzip").send().await.unwrap();
    assert!(!small.headers().contains_key("content-encoding"));
}

#[tokio::test]
async fn bodies_go_through_and_are_limited() {
    let house = House::new().await;
    let post = |size: usize| {
        house
            .request("POST", "/palettes")
            .header("content-type", "application/json")
            .body(vec![b' '; size])
            .send()
    };
    assert_eq!(post(1024 * 1024).await.unwrap().status(), 201);
    assert_eq!(house.fakes.last().body, 1024 * 1024);
    problem(post(1024 * 1024 + 1).await.unwrap(), 413).await;
    let calls = house.fakes.calls();

    // Without a declared length the limit holds while it is read.
    let chunks =
        futures::stream::iter((0..20).map(|_| Ok::<_, std::io::Error>(vec![b' '; 100_000])));
    let streamed = house
        .request("POST", "/palettes")
        .header("content-type", "application/json")
        .body(reqwest::Body::wrap_stream(chunks))
        .send();
    problem(streamed.await.unwrap(), 413).await;
    assert_eq!(house.fakes.calls(), calls, "the handler never had the whole body");

    let picture = house
        .request("POST", "/palettes/extract")
        .header("content-type", "multipart/form-data; boundary=x")
        .body(vec![0; 2 << 20])
        .send();
    assert_ne!(picture.await.unwrap().status(), 413);
}

#[tokio::test]
async fn a_body_of_another_type_is_refused() {
    let house = House::new().await;
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
    ] {
        let sent = house
            .request("POST", "/palettes")
            .header("content-type", kind)
            .body("{}")
            .send()
            .await
            .unwrap();
        problem(sent, 415).await;
    }
    problem(house.request("POST", "/palettes").body("{}").send().await.unwrap(), 415).await;
    assert_eq!(house.fakes.calls(), 0);
    let json = house
        .request("POST", "/palettes")
        .header("content-type", "Application/JSON; charset=utf-8")
        .body("{}")
        .send()
        .await
        .unwrap();
    assert_eq!(json.status(), 201);
    assert_eq!(
        house.request("POST", "/palettes").send().await.unwrap().status(),
        201,
        "no body has no type"
    );
}

#[tokio::test]
async fn other_origins_are_let_in_by_configuration() {
    let house = House::with(
        "[cors]\norigins = ['https://friend.example']\ncredentials = true\nmax_age_seconds = 60",
    )
    .await;
    let preflight = |origin: &'static str| {
        let asked = house.request("OPTIONS", "/palettes").header("origin", origin);
        asked.header("access-control-request-method", "POST").send()
    };
    let friend = preflight("https://friend.example").await.unwrap();
    assert_eq!(friend.status(), 204);
    assert_eq!(friend.headers()["access-control-allow-origin"], "https://friend.example");
    assert_eq!(friend.headers()["access-control-allow-credentials"], "true");
    assert!(friend.headers()["access-control-allow-methods"].to_str().unwrap().contains("POST"));
    assert_eq!(friend.headers()["access-control-max-age"], "60");
    let evil = preflight("https://evil.example").await.unwrap();
    assert!(!evil.headers().contains_key("access-control-allow-origin"));
    let read = house
        .request("GET", "/palettes/7")
        .header("origin", "https://friend.example")
        .send()
        .await
        .unwrap();
    assert_eq!(read.headers()["access-control-allow-origin"], "https://friend.example");
    assert!(read.headers()["vary"].to_str().unwrap().contains("origin"));
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_with_it() {
    let house = House::new().await;
    let mut leaving = house.connect().await;
    leaving.write_all(b"GET /palettes/held HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    house.until("the request runs", async || house.fakes.calls() == 1).await;
    assert_eq!(house.fakes.given_up.load(Ordering::SeqCst), 0);
    drop(leaving);
    house
        .until("the request is given up", async || house.fakes.given_up.load(Ordering::SeqCst) == 1)
        .await;
}
