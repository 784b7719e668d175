//! What people with similar likes like.

use crate::cells::in_each_cell;
use contracts::Kind;
use serde_json::json;

use crate::house::{House, ids};

async fn recommended(house: &House, user: i64) -> Vec<i64> {
    ids(&house.client().as_user(user).get("/recommendations").await.expect(200).json())
}

in_each_cell!(similar_tastes_come_before_what_trends, |cell: Cell| async move {
    let house = House::open(cell).await;
    house.palettes(8).await;
    house.try_register(Kind::Palette, 9, 7, None).await.unwrap(); // one's own
    for user in 20..24 {
        for id in [1, 2, 3, 9] {
            house.like(user, id).await;
        }
    }
    for user in 30..45 {
        house.like(user, 8).await; // what everybody likes
    }
    house.like(20, 8).await;
    house.like(7, 1).await;
    let list = recommended(&house, 7).await;
    // 3 and 2 have the same fans as 1; 8 shares one of many; the rest trends, the newest first.
    assert_eq!(list, [3, 2, 8, 7, 6, 5, 4]);
    house.like(7, 3).await;
    assert!(!recommended(&house, 7).await.contains(&3), "not what one likes already");
});

in_each_cell!(a_stranger_is_told_what_trends, |cell: Cell| async move {
    let house = House::open(cell).await;
    house.palettes(3).await;
    house.like(20, 2).await;
    assert_eq!(recommended(&house, 99).await, [2, 3, 1]);
    house.client().get("/recommendations").await.expect(401);
    let stranger = house.client().as_user(99);
    stranger.get("/recommendations?kind=person").await.expect(422);
    let reply = stranger.get("/recommendations?kind=track").await.expect(200);
    assert_eq!(reply.json(), json!([]));
    assert!(reply.header("cache-control").unwrap().starts_with("private"));
});

in_each_cell!(recommendations_come_in_pages, |cell: Cell| async move {
    let house = House::open(cell).await;
    house.palettes(7).await;
    let (mut path, mut pages) = ("/recommendations?limit=3".to_owned(), vec![]);
    loop {
        let reply = house.client().as_user(5).get(&path).await.expect(200);
        assert!(reply.json()[0].get("rank").is_none());
        pages.push(ids(&reply.json()));
        let Some(link) = reply.header("link") else { break };
        path = link.trim_start_matches('<').split('>').next().unwrap().to_owned();
    }
    assert_eq!(pages, [vec![7, 6, 5], vec![4, 3, 2], vec![1]]);
    let last = rest::page::cursor(&usize::MAX);
    let path = format!("/recommendations?cursor={last}");
    assert_eq!(house.client().as_user(5).get(&path).await.expect(200).json(), json!([]));
});
