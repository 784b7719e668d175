//! One like after the other.

use crate::cells::in_each_cell;
use contracts::Kind;
use serde_json::json;
use testkit::eventually;

use crate::house::House;

in_each_cell!(a_second_like_changes_nothing, |cell: Cell| async move {
    let house = House::open(cell).await;
    house.palettes(1).await;
    let liked = |likes| json!({"palette_id": "1", "likes": likes, "liked": true});
    assert_eq!(house.like(7, 1).await, liked(1));
    assert_eq!(house.like(7, 1).await, liked(1));
    assert_eq!(house.like(8, 1).await, liked(2));
    let unliked = |likes| json!({"palette_id": "1", "likes": likes, "liked": false});
    assert_eq!(house.unlike(7, 1).await, unliked(1));
    assert_eq!(house.unlike(7, 1).await, unliked(1));
    assert_eq!(house.counts(1).await, (1, 0));
    house.assert_exact().await;
});

in_each_cell!(every_kind_can_be_liked, |cell: Cell| async move {
    let house = House::open(cell).await;
    for kind in Kind::ALL {
        house.try_register(kind, 5, 1000, None).await.unwrap();
        let body = json!({ format!("{kind}_id"): 5, "user_id": 7 });
        let reply = house.client().as_user(7).post("/like", body).await.expect(200);
        let expected = json!({ format!("{kind}_id"): "5", "likes": 1, "liked": true });
        assert_eq!(reply.json(), expected);
    }
    house.assert_exact().await;
});

in_each_cell!(what_cannot_be_liked_says_why, |cell: Cell| async move {
    let house = House::open(cell).await;
    house.palettes(1).await;
    let one = json!({"palette_id": "1"});
    house.client().post("/like", &one).await.expect(401);
    house.client().delete_with("/like", &one).await.expect(401);
    let caller = house.client().as_user(7);
    let reply = caller.post("/like", json!({"palette_id": 1, "user_id": 8})).await.expect(403);
    assert_eq!(reply.json()["message"], "failure");
    for id in [2, i64::MAX] {
        caller.post("/like", json!({"palette_id": id})).await.expect(404);
        caller.delete_with("/like", json!({"palette_id": id})).await.expect(404);
    }
    caller.post("/like", json!({"track_id": 1})).await.expect(404);
    for bad in [
        json!({}),
        json!({"palette_id": null}),
        json!({"palette_id": 1, "track_id": 1}),
        json!({"palette_id": "one"}),
        json!({"palette_id": 0}),
        json!({"palette_id": "-1"}),
        json!({"palette_id": 1.5}),
        json!({"palette_id": "99999999999999999999"}),
        json!({"palette_id": [1]}),
        json!({"palette_id": "1'; DROP TABLE likes; --"}),
    ] {
        let reply = caller.post("/like", &bad).await.expect(422);
        assert!(reply.json()["errors"][0]["field"].is_string(), "{bad} {}", reply.text());
    }
    let reply = caller.get("/like").await.expect(405);
    assert_eq!(reply.header("allow").unwrap().split(',').count(), 2, "{:?}", reply.headers);
    caller.get("/likes").await.expect(404);
    assert_eq!(house.counts(1).await, (0, 0));
});

in_each_cell!(another_instance_hears_of_a_like, |cell: Cell| async move {
    let house = House::open(cell).await;
    let other = house.another().await;
    house.palettes(2).await;
    let client = other.client();
    let seen = async |id| other.counts_for(&client, &[id], false, false).await[0].likes;
    assert_eq!(seen(1).await, 0, "and remembered there");
    house.like(7, 1).await;
    house.like(8, 1).await;
    eventually("the other instance's memory has it", async || seen(1).await == 2).await;
    other.unlike(7, 1).await;
    assert_eq!(seen(1).await, 1, "at once where it was written");
    let here = async || house.counts_for(&client, &[1], false, false).await[0].likes;
    eventually("the first one's memory has it", async || here().await == 1).await;
});
