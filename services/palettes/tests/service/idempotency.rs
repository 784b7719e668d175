//! Repeats of a creation.

use axum::body::Body;
use data::DataSettings;
use http::Request;
use serde_json::{Value, json};
use testkit::on_each_engine;

use crate::popularity::Answer;
use crate::world::{World, id};

fn keyed(key: &str, body: &Value) -> Request<Body> {
    let request = Request::post("/palettes")
        .header("content-type", "application/json")
        .header("idempotency-key", key);
    request.body(body.to_string().into()).unwrap()
}

on_each_engine!(the_same_key_is_the_same_palette, |settings: DataSettings| async move {
    let world = World::new(settings).await;
    let body = json!({"color_codes": ["#123456"], "name": "once"});
    let first = world.anna().request(keyed("k1", &body)).await.expect(201);
    let again = world.anna().request(keyed("k1", &body)).await.expect(201);
    assert_eq!(first.bytes, again.bytes);
    assert_eq!(first.header("location"), again.header("location"));
    let other = json!({"color_codes": ["#654321"]});
    world.anna().request(keyed("k1", &other)).await.expect(422);
    assert_eq!(world.rows("palettes").await, 1);
    // Another key, or another caller's, is another palette.
    world.anna().request(keyed("k2", &body)).await.expect(201);
    world.ben().request(keyed("k1", &body)).await.expect(201);
    assert_eq!(world.rows("palettes").await, 3);
});

on_each_engine!(at_once_they_are_one_as_well, |settings: DataSettings| async move {
    let world = World::new(settings).await;
    let body = json!({"color_codes": ["#123456"]});
    let requests = (0..8).map(|_| {
        let (anna, request) = (world.anna(), keyed("k", &body));
        async move { id(&anna.request(request).await.expect(201).json()) }
    });
    let made = futures::future::join_all(requests).await;
    assert!(made.iter().all(|one| *one == made[0]), "{made:?}");
    assert_eq!(world.rows("palettes").await, 1);
});

on_each_engine!(what_failed_leaves_the_key_free, |settings: DataSettings| async move {
    let how = palettes::Settings { create_within_seconds: 1, ..palettes::Settings::default() };
    let world = World::with(settings, how).await;
    world.anna().request(keyed("k", &json!({"color_codes": ["nope"]}))).await.expect(422);
    let body = json!({"color_codes": ["#123456"]});
    world.popularity.get().changes = Answer::Down;
    world.anna().request(keyed("k", &body)).await.expect(503);
    world.popularity.get().changes = Answer::Well;
    // Being undone may still be under way: then it is told to come back.
    let mut reply = world.anna().request(keyed("k", &body)).await;
    for _ in 0..200 {
        if reply.status != 503 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        reply = world.anna().request(keyed("k", &body)).await;
    }
    let made = id(&reply.expect(201).json());
    assert_eq!(world.rows("palettes").await, 1);
    assert_eq!(world.popularity.known(), [made]);
});
