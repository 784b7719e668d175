//! Likes and views come from popularity, and nobody waits for them in vain.

use data::DataSettings;
use http::Request;
use serde_json::json;
use testkit::{Client, on_each_engine};

use crate::popularity::Answer;
use crate::world::World;

on_each_engine!(
    a_view_is_a_get_by_someone_other_than_the_owner,
    |settings: DataSettings| async move {
        let world = World::new(settings).await;
        let made = world.some().await;
        let path = format!("/palettes/{made}");
        world.anna().get(&path).await.expect(200);
        assert_eq!(world.popularity.item(made).unwrap().views, 0);
        world.ben().get(&path).await.expect(200);
        world.client.get(&path).await.expect(200);
        let head = Request::head(&path).body(axum::body::Body::empty()).unwrap();
        let head = world.client.request(head).await.expect(200);
        assert!(head.bytes.is_empty());
        world.client.get("/palettes").await.expect(200);
        world.client.get(&format!("{path}/export/css")).await.expect(200);
        assert_eq!(world.popularity.item(made).unwrap().views, 2);
        world.popularity.get().items.get_mut(&made).unwrap().likes = 4;
        let read = world.anna().get(&path).await.json();
        assert_eq!((&read["likes"], &read["views"]), (&json!(4), &json!(2)));
        let listed = &world.client.get("/palettes").await.json()[0];
        assert_eq!((&listed["likes"], &listed["views"]), (&json!(4), &json!(2)));
    }
);

on_each_engine!(who_has_it_gets_304_until_something_changes, |settings: DataSettings| async move {
    let world = World::new(settings).await;
    let made = world.some().await;
    let path = format!("/palettes/{made}");
    let first = world.anna().get(&path).await.expect(200);
    let tag = first.header("etag").unwrap().to_owned();
    let again = || {
        let request = Request::get(&path)
            .header("if-none-match", &tag)
            .body(axum::body::Body::empty())
            .unwrap();
        let anna = world.anna();
        async move { anna.request(request).await }
    };
    let unchanged = again().await.expect(304);
    assert!(unchanged.bytes.is_empty());
    assert_eq!(unchanged.header("etag"), Some(tag.as_str()));
    world.popularity.get().items.get_mut(&made).unwrap().likes += 1;
    assert_eq!(again().await.expect(200).json()["likes"], 1);
    world.popularity.get().items.get_mut(&made).unwrap().likes -= 1;
    again().await.expect(304);
    world.anna().put(&path, json!({"name": "x"})).await.expect(200);
    again().await.expect(200);
});

on_each_engine!(
    without_popularity_palettes_are_read_with_the_counts_last_known,
    |settings: DataSettings| async move {
        let world = World::new(settings).await;
        let (made, other) = (world.some().await, world.some().await);
        let path = format!("/palettes/{made}");
        world.popularity.get().items.get_mut(&made).unwrap().likes = 5;
        world.popularity.get().items.get_mut(&other).unwrap().likes = 7;
        assert_eq!(world.anna().get(&path).await.json()["likes"], 5);
        for answer in [Answer::Down, Answer::Refused, Answer::Silent] {
            world.popularity.get().counts = answer;
            assert_eq!(world.anna().get(&path).await.expect(200).json()["likes"], 5, "{answer:?}");
            let listed = world.client.get("/palettes").await.expect(200).json();
            assert_eq!(
                (&listed[0]["likes"], &listed[1]["likes"]),
                (&json!(0), &json!(5)),
                "{answer:?}"
            );
            let stranger = Client::new(world.another().await);
            assert_eq!(stranger.get(&path).await.expect(200).json()["likes"], 0, "{answer:?}");
            world.anna().put(&path, json!({"name": "x"})).await.expect(200);
            world.popularity.get().counts = Answer::Well;
            assert_eq!(world.anna().get(&path).await.json()["likes"], 5);
        }
    }
);

on_each_engine!(one_call_for_a_whole_page, |settings: DataSettings| async move {
    let world = World::new(settings).await;
    for _ in 0..10 {
        world.some().await;
    }
    let before = world.popularity.get().asked;
    assert_eq!(world.client.get("/palettes").await.json().as_array().unwrap().len(), 10);
    world.client.get("/palettes?user_id=99").await.expect(200);
    assert_eq!(world.popularity.get().asked, before + 1);
});
