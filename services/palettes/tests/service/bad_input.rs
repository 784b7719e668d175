//! What must not be accepted is refused with the contract's errors, and changes nothing.

use axum::body::Body;
use data::DataSettings;
use http::Request;
use serde_json::{Value, json};
use testkit::{Reply, on_each_engine};

use crate::world::World;

/// The error shape of the contract.
#[track_caller]
fn problem(reply: &Reply, status: u16) {
    assert_eq!(reply.status.as_u16(), status, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    let body = reply.json();
    assert_eq!(body["message"], "failure");
    assert_eq!(body["status"], status);
    assert_eq!(body["error"], body["detail"]);
    assert!(body["request_id"].is_string());
}

fn raw(method: &str, path: &str, kind: &str, body: impl Into<Body>) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", kind)
        .body(body.into())
        .unwrap()
}

on_each_engine!(bodies_that_are_wrong, |settings: DataSettings| async move {
    let world = World::new(settings).await;
    let made = world.some().await;
    let path = format!("/palettes/{made}");
    let before = world.anna().get(&path).await;
    let json_type = "application/json";
    let deep = format!(r#"{{"color_codes":{}1{}}}"#, "[".repeat(5000), "]".repeat(5000));
    let huge = format!(r##"{{"color_codes":["#FFF"],"name":"{}"}}"##, "a".repeat(1 << 20));
    for (status, body) in [
        (400, ""),
        (400, "{"),
        (400, "{\"color_codes\":[\"#FFF\"]} x"),
        (400, "nonsense"),
        (422, deep.as_str()),
        (422, "null"),
        (422, "[]"),
        (422, "7"),
        (422, "\"x\""),
        (422, r##"{"color_codes":"#FFF"}"##),
        (422, r#"{"color_codes":[1]}"#),
        (422, r#"{"color_codes":[["FFF"]]}"#),
        (422, r#"{"color_codes":{}}"#),
        (422, r#"{"color_codes":[]}"#),
        (422, r##"{"color_codes":["#GGG"]}"##),
        (422, r##"{"color_codes":["#FFF\u0000"]}"##),
        (422, r##"{"color_codes":["#FFF"],"name":"a\u0000b"}"##),
        (422, r##"{"color_codes":["#FFF"],"name":7}"##),
        (422, r##"{"color_codes":["#FFF"],"category":{}}"##),
        (422, r##"{"color_codes":["#FFF"],"user_id":99999999999999999999}"##),
        (422, r##"{"color_codes":["#FFF"],"user_id":-1}"##),
        (422, r##"{"color_codes":["#FFF"],"user_id":1.5}"##),
        (422, r##"{"color_codes":["#FFF"],"user_id":"1; DROP TABLE palettes"}"##),
        (413, huge.as_str()),
    ] {
        let shown = &body[..body.len().min(60)];
        let created =
            world.anna().request(raw("POST", "/palettes", json_type, body.to_owned())).await;
        assert_eq!(created.status.as_u16(), status, "POST {shown}: {}", created.text());
        problem(&created, status);
        let changed = world.anna().request(raw("PUT", &path, json_type, body.to_owned())).await;
        assert_eq!(changed.status.as_u16(), status, "PUT {shown}: {}", changed.text());
    }
    let bad_utf8 =
        [br##"{"color_codes":["#FFF"],"name":""##.as_slice(), &[0xFF, 0xFE], b"\"}"].concat();
    problem(&world.anna().request(raw("POST", "/palettes", json_type, bad_utf8)).await, 400);
    for kind in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
    {
        problem(
            &world
                .anna()
                .request(raw("POST", "/palettes", kind, r##"{"color_codes":["#FFF"]}"##))
                .await,
            415,
        );
    }
    assert_eq!(world.rows("palettes").await, 1);
    assert_eq!(world.rows("palette_colors").await, 1);
    assert_eq!(world.anna().get(&path).await.bytes, before.bytes);
});

on_each_engine!(everything_that_is_wrong_is_named, |settings: DataSettings| async move {
    let world = World::new(settings).await;
    let body = json!({"color_codes": ["#FFF", "red", "#12345"], "name": "x".repeat(101), "category": "y".repeat(51)});
    let reply = world.anna().post("/palettes", body).await;
    problem(&reply, 422);
    let body = reply.json();
    let fields: Vec<&Value> =
        body["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
    assert_eq!(fields, ["color_codes[1]", "color_codes[2]", "category", "name"]);
    let many = json!({"color_codes": vec!["#FFF"; 65]});
    assert_eq!(
        world.anna().post("/palettes", many).await.expect(422).json()["errors"][0]["field"],
        "color_codes"
    );
    problem(&world.anna().post("/palettes", json!({"name": "no colours"})).await, 422);
});

on_each_engine!(paths_and_queries_that_are_wrong, |settings: DataSettings| async move {
    let world = World::new(settings).await;
    for path in [
        "/palettes/0",
        "/palettes/-1",
        "/palettes/abc",
        "/palettes/1e3",
        "/palettes/99999",
        "/palettes/9223372036854775807",
        "/palettes/9223372036854775808",
        "/palettes/1%00",
        "/palettes/%27%20OR%201=1",
        "/palettes/1/export",
        "/palettes/1/export/css",
        "/palettes/x/export/css",
        "/palettes/1/nothing",
        "/palettes/",
        "/nothing",
    ] {
        problem(&world.anna().get(path).await, 404);
    }
    world.anna().delete("/palettes/99999999999999999999").await.expect(404);
    world.anna().put("/palettes/99999", json!({"name": "x"})).await.expect(404);
    world.anna().put("/palettes/99999", json!({"category": "x"})).await.expect(404);
    let long = format!("q={}", "x".repeat(201));
    for query in [
        "limit=0",
        "limit=101",
        "limit=x",
        "limit=-1",
        "limit=99999999999999999999",
        "cursor=nonsense",
        "cursor=",
        "user_id=x",
        "user_id=0",
        "user_id=9223372036854775808",
        "color=red",
        "color=%2312345",
        "color=%FF",
        "q=%00",
        "category=a%00b",
        long.as_str(),
    ] {
        let reply = world.client.get(&format!("/palettes?{query}")).await;
        assert_eq!(reply.status, 422, "{query}: {}", reply.text());
        problem(&reply, 422);
    }
});

on_each_engine!(methods_a_path_lacks, |settings: DataSettings| async move {
    let world = World::new(settings).await;
    let path = format!("/palettes/{}", world.some().await);
    for (method, path, allow) in [
        ("DELETE", "/palettes", &["GET", "POST"][..]),
        ("PATCH", &path, &["GET", "PUT", "DELETE"]),
        ("POST", &path, &["GET", "PUT", "DELETE"]),
        ("GET", "/palettes/extract", &["POST"]),
        ("POST", &format!("{path}/export/css"), &["GET"]),
    ] {
        let reply = world.anna().request(raw(method, path, "application/json", "{}")).await;
        problem(&reply, 405);
        let allowed = reply.header("allow").unwrap().to_owned();
        for method in allow {
            assert!(allowed.contains(method), "{path}: {allowed}");
        }
    }
});
