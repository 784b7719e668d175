//! Whatever is sent, the answer is one of the contract's and nothing is changed.

use axum::body::Body;
use data::DataSettings;
use http::{Method, Request};
use serde_json::json;
use testkit::on_each_engine;

use crate::house::House;

const POSTS: [&str; 8] = [
    "/users/register",
    "/register",
    "/signup",
    "/api/user",
    "/users/login",
    "/login",
    "/refresh",
    "/logout",
];

fn raw(method: &str, path: &str, kind: &str, body: impl Into<Body>) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", kind)
        .body(body.into())
        .unwrap()
}

on_each_engine!(what_cannot_be_read_is_refused, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    let (owner, id) = house.signed_up("Mario", "swordfish").await;
    let profile = format!("/users/{id}");
    let routes = POSTS.iter().map(|path| ("POST", *path)).chain([("PATCH", profile.as_str())]);
    for (method, path) in routes {
        let send = |kind: &'static str, body: Vec<u8>| owner.request(raw(method, path, kind, body));
        let json = "application/json";
        for broken in ["{", "{\"name\":", "\u{1}", "{\"name\":\"\u{1}\"}", "{\"a\":1} x", "nul"] {
            send(json, broken.into()).await.problem(400);
        }
        send(json, b"{\"name\":\"\xff\"}".to_vec()).await.problem(400);
        send(json, vec![b'['; 200_000]).await.problem(400);
        for wrong in ["[]", "7", "\"text\"", "null", "{\"name\":\"a\\u0000bc\"}"] {
            send(json, wrong.into()).await.problem(422);
        }
        for kind in
            ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a"]
        {
            send(kind, b"{\"name\":\"a\"}".to_vec()).await.problem(415);
        }
        let huge = format!("{{\"name\":\"{}\"}}", "a".repeat(1024 * 1024));
        send(json, huge.into_bytes()).await.problem(413);
    }
    assert_eq!(house.count("users").await, 1);
    assert_eq!(house.count("sessions WHERE ended_at IS NULL").await, 1);
});

on_each_engine!(
    values_past_their_range_and_odd_texts_are_refused,
    |settings: DataSettings| async move {
        let house = House::new(&settings).await;
        let odd = [
            json!(1e308),
            json!(-1),
            json!(u64::MAX),
            json!(true),
            json!([]),
            json!({"$ne": null}),
            json!(""),
            json!("'; DROP TABLE users; --"),
            json!("<script>alert(1)</script>"),
            json!("../../etc/passwd"),
            json!("${jndi:ldap://x}"),
            json!("\u{feff}\u{200b}"),
            json!("\u{d7ff}\u{e000}"),
            json!("%00"),
        ];
        for path in POSTS {
            for value in &odd {
                let body = json!({
                    "username": value, "name": value, "password": value, "email": value,
                    "refreshToken": value, "refresh_token": value,
                });
                let reply = house.browser().post(path, body).await;
                let status = reply.status.as_u16();
                assert!(matches!(status, 401 | 422), "{path} {value}: {status}");
                reply.problem(status);
            }
        }
        assert_eq!(house.count("users").await, 0);
        assert_eq!(house.count("sessions").await, 0);
    }
);

on_each_engine!(paths_and_methods_that_are_not_there, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    let browser = house.browser();
    for (method, path, allow) in [
        (Method::GET, "/users/register", "POST"),
        (Method::GET, "/login", "POST"),
        (Method::PUT, "/signup", "POST"),
        (Method::DELETE, "/refresh", "POST"),
        (Method::GET, "/api/user", "POST"),
        (Method::POST, "/users/7", "GET"),
        (Method::POST, "/.well-known/jwks.json", "GET"),
    ] {
        let reply = browser.send(method.clone(), path, None, &[]).await;
        assert!(reply.header("allow").contains(allow), "{method} {path}: {reply:?}");
        reply.problem(405);
    }
    for path in ["/users", "/users/", "/users/7/x", "/nothing"] {
        browser.get(path).await.problem(404);
    }
});
