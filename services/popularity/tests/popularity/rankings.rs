//! Rankings: windows, orders, headings, pages.

use crate::cells::in_each_cell;
use contracts::Kind;
use serde_json::json;
use std::sync::atomic::Ordering;
use testkit::eventually;

use crate::house::{House, ids};

async fn likes(house: &House, id: i64, from: i64, count: i64) {
    for user in from..from + count {
        house.like(user, id).await;
    }
}

in_each_cell!(the_most_liked_come_first, |cell: Cell| async move {
    let house = House::open(cell).await;
    house.palettes(4).await;
    likes(&house, 2, 1, 3).await;
    likes(&house, 4, 1, 1).await;
    house.view(None, 1).await;
    eventually("the view is written", async || house.counts(1).await.1 == 1).await;
    assert_eq!(house.ids("/popular").await, [2, 4, 3, 1], "the newer of equals first");
    assert_eq!(house.ids("/popular?by=views").await, [1, 4, 3, 2]);
    let list = house.client().get("/popular?limit=1").await.expect(200);
    assert_eq!(
        list.json(),
        json!([{
            "palette_id": "2", "user_id": "1000", "color_codes": ["#AABBCC"], "category": "warm",
            "name": null, "created_at": "2026-10-01T00:00:00Z",
            "updated_at": "2026-10-01T00:00:00Z", "likes": 3, "views": 0, "rank": 1,
        }])
    );
});

in_each_cell!(windows_move_on, |cell: Cell| async move {
    let house = House::open(cell).await;
    house.palettes(4).await;
    likes(&house, 1, 1, 4).await; // 40 days before the end
    house.pass(24 * 20);
    likes(&house, 2, 1, 3).await; // 20 days
    house.pass(24 * 15);
    likes(&house, 3, 1, 2).await; // 5 days
    house.pass(24 * 5);
    likes(&house, 4, 1, 1).await; // now
    assert_eq!(house.ids("/popular?window=all").await, [1, 2, 3, 4]);
    assert_eq!(house.ids("/popular?window=month").await, [2, 3, 4]);
    assert_eq!(house.ids("/popular?window=week").await, [3, 4]);
    assert_eq!(house.ids("/popular?window=day").await, [4]);
    assert_eq!(house.ids("/popular?window=day&by=views").await, [0; 0]);
    assert_eq!(house.ids("/popular?by=trending").await, [4, 3, 2, 1]);
    assert_eq!(house.ids("/popular?by=trending&window=week").await, [4, 3]);
    // What is taken back goes from the window in which it was given.
    house.unlike(1, 3).await;
    house.unlike(2, 3).await;
    assert_eq!(house.ids("/popular?window=week").await, [4]);
});

in_each_cell!(what_trends_fades, |cell: Cell| async move {
    let house = House::open(cell).await;
    house.palettes(2).await;
    likes(&house, 1, 1, 5).await;
    house.pass(48);
    likes(&house, 2, 1, 1).await;
    // Five of two days ago count 1.25, one of now 1.
    assert_eq!(house.ids("/popular?by=trending").await, [1, 2]);
    house.like(2, 2).await;
    assert_eq!(house.ids("/popular?by=trending").await, [2, 1]);
    house.pass(1000);
    assert_eq!(house.ids("/popular?by=trending").await, [2, 1], "the order needs no rewriting");
    house.unlike(2, 2).await;
    assert_eq!(house.ids("/popular?by=trending").await, [1, 2]);
});

in_each_cell!(headings_have_their_own_rankings, |cell: Cell| async move {
    let house = House::open(cell).await;
    for (id, category) in [(1, Some("warm")), (2, Some("cold")), (3, Some(" WARM")), (4, None)] {
        house.try_register(Kind::Palette, id, 1000, category).await.unwrap();
    }
    likes(&house, 2, 1, 3).await;
    likes(&house, 1, 1, 2).await;
    likes(&house, 3, 1, 1).await;
    assert_eq!(house.ids("/popular/warm").await, [1, 3]);
    assert_eq!(house.ids("/popular/Warm%20").await, [1, 3]);
    assert_eq!(house.ids("/popular/warm?window=day&by=trending").await, [1, 3]);
    assert_eq!(house.ids("/popular/nothing%20here").await, [0; 0]);
    assert_eq!(house.ids("/popular/a%00b").await, [0; 0]);
    assert_eq!(house.ids("/popular/%27%3B%20DROP%20TABLE%20items%3B--").await, [0; 0]);
    house.try_register(Kind::Palette, 3, 1000, Some("cold")).await.unwrap();
    assert_eq!(house.ids("/popular/cold").await, [2, 3], "a palette can change its heading");
    assert_eq!(house.ids("/popular/warm").await, [1]);
});

in_each_cell!(pages_fit_together, |cell: Cell| async move {
    let house = House::open(cell).await;
    house.palettes(23).await;
    for id in 1..=23 {
        likes(&house, id, 1, id % 4 + 1).await;
    }
    for query in ["", "by=trending", "window=day", "window=week&by=trending"] {
        let whole = house.ids(&format!("/popular?limit=100&{query}")).await;
        assert_eq!(whole.len(), 23);
        let (mut path, mut pages, mut ranks) =
            (format!("/popular?limit=5&{query}"), vec![], vec![]);
        loop {
            let reply = house.client().get(&path).await.expect(200);
            pages.extend(ids(&reply.json()));
            ranks.extend(reply.json().as_array().unwrap().iter().map(|e| e["rank"].clone()));
            house.pass(2); // pages stay as they were when the first was turned
            let Some(link) = reply.header("link") else { break };
            path = link.trim_start_matches('<').split('>').next().unwrap().to_owned();
        }
        house.pass(-10);
        assert_eq!(pages, whole, "{query}");
        assert_eq!(ranks, (1..=23).map(|n| json!(n)).collect::<Vec<_>>());
    }
});

in_each_cell!(what_is_asked_wrongly_is_refused, |cell: Cell| async move {
    let house = House::open(cell).await;
    for query in [
        "window=year",
        "by=fame",
        "kind=person",
        "limit=0",
        "limit=101",
        "limit=x",
        "cursor=x",
        "cursor=WzEsMiwzXQ",
        "q=%00",
    ] {
        house.client().get(&format!("/popular?{query}")).await.expect(422);
        house.client().get(&format!("/popular/warm?{query}")).await.expect(422);
    }
    house.client().post("/popular", json!({})).await.expect(405);
});

in_each_cell!(other_kinds_have_their_ids, |cell: Cell| async move {
    let house = House::open(cell).await;
    house.try_register(Kind::Image, 5, 1000, Some("sky")).await.unwrap();
    house.palettes(1).await;
    house.client().as_user(7).post("/like", json!({"image_id": 5})).await.expect(200);
    let list = house.client().get("/popular?kind=image").await.expect(200).json();
    let entry = json!({"image_id": "5", "category": "sky", "likes": 1, "views": 0, "rank": 1});
    assert_eq!(list, json!([entry]));
    assert_eq!(house.client().get("/popular/sky?kind=image").await.expect(200).json(), list);
    assert_eq!(house.client().get("/popular?kind=track").await.expect(200).json(), json!([]));
});

in_each_cell!(palettes_that_are_gone_or_away_are_told_apart, |cell: Cell| async move {
    let house = House::open(cell).await;
    house.palettes(3).await;
    house.palettes.missing.lock().unwrap().insert(2);
    assert_eq!(house.ids("/popular").await, [3, 1]);
    house.palettes.down.store(true, Ordering::SeqCst);
    let reply = house.client().get("/popular").await.expect(503);
    assert!(reply.header("retry-after").is_some());
    house.client().as_user(7).get("/recommendations").await.expect(503);
    house.like(7, 1).await;
});

in_each_cell!(a_reader_without_writes_is_served_from_memory, |cell: Cell| async move {
    let house = House::open(cell).await;
    let other = house.another().await;
    house.palettes(2).await;
    let reader = testkit::Client::new(other.router.clone());
    let seen = async || ids(&reader.get("/popular").await.expect(200).json());
    eventually("it is there", async || seen().await == [2, 1]).await;
    house.like(7, 1).await;
    eventually("a like moves it, everywhere", async || seen().await == [1, 2]).await;
    let first = reader.get("/popular").await.expect(200);
    assert!(first.header("cache-control").unwrap().starts_with("public"));
    let request = http::Request::get("/popular")
        .header("if-none-match", first.header("etag").unwrap())
        .body(axum::body::Body::empty())
        .unwrap();
    reader.request(request).await.expect(304);
});
