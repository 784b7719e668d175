//! Hundreds of likes at once, on two instances, dropped in the middle: the counts are exact.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::cells::in_each_cell;
use futures::future::join_all;
use serde_json::json;
use testkit::{Client, cancel_at_random, eventually};

use crate::house::House;

const ITEMS: i64 = 5;
const USERS: i64 = 40;

async fn vote(client: &Client, user: i64, item: i64, like: bool) -> i64 {
    let (client, body) = (client.as_user(user), json!({"palette_id": item}));
    let reply = match like {
        true => client.post("/like", body).await,
        false => client.delete_with("/like", body).await,
    };
    let reply = reply.expect(200).json();
    assert_eq!(reply["liked"], like);
    reply["likes"].as_i64().unwrap()
}

in_each_cell!(every_like_counts_once, |cell: Cell| async move {
    let house = House::open(cell).await;
    let other = house.another().await;
    house.palettes(ITEMS).await;
    let clients = [house.client(), other.client()];
    // Everybody likes everything, through both instances at once.
    let all = (1..=ITEMS).flat_map(|item| (1..=USERS).map(move |user| (item, user)));
    let twice = all.clone().flat_map(|pair| [(pair, &clients[0]), (pair, &clients[1])]);
    let told =
        join_all(twice.map(|((item, user), client)| async move {
            (item, vote(client, user, item, true).await)
        }))
        .await;
    for item in 1..=ITEMS {
        assert_eq!(house.counts(item).await, (USERS, 0));
        let most = told.iter().filter(|(of, _)| *of == item).map(|(_, likes)| *likes).max();
        assert_eq!(most, Some(USERS), "somebody was the last");
    }
    house.assert_exact().await;
});

in_each_cell!(what_each_user_said_last_stands, |cell: Cell| async move {
    let house = House::open(cell).await;
    let other = house.another().await;
    house.palettes(ITEMS).await;
    let clients = [house.client(), other.client()];
    // Each user goes back and forth, one request after the other; users do so at once.
    let last = join_all((1..=USERS).map(|user| {
        let clients = &clients;
        async move {
            let mut last = BTreeMap::new();
            for step in 0..12 {
                let (item, like) = ((user * 7 + step * 3) % ITEMS + 1, (user + step) % 3 != 0);
                vote(&clients[(step % 2) as usize], user, item, like).await;
                last.insert(item, like);
            }
            last
        }
    }))
    .await;
    for item in 1..=ITEMS {
        let likes = last.iter().filter(|last| last.get(&item) == Some(&true)).count();
        assert_eq!(house.counts(item).await.0, i64::try_from(likes).unwrap());
    }
    house.assert_exact().await;
});

in_each_cell!(a_caller_who_goes_away_leaves_a_whole_like_or_none, |cell: Cell| async move {
    let house = House::open(cell).await;
    house.palettes(ITEMS).await;
    let client = house.client();
    let finished = join_all((0..400_u32).map(|seed| {
        let client = &client;
        let (user, item) = (i64::from(seed % 50) + 1, i64::from(seed) % ITEMS + 1);
        cancel_at_random(vote(client, user, item, seed % 4 != 0), u64::from(seed))
    }))
    .await;
    assert!(finished.iter().any(Option::is_none) && finished.iter().any(Option::is_some));
    // What was dropped may still be under way; then nothing moves any more, and all is exact.
    let before = AtomicI64::new(-1);
    eventually("nothing moves any more", async || {
        tokio::time::sleep(Duration::from_millis(30)).await;
        let rows = house.number("SELECT COUNT(*) FROM likes").await;
        before.swap(rows, Ordering::SeqCst) == rows
    })
    .await;
    house.assert_exact().await;
    assert_eq!(vote(&client, 9999, 1, true).await, house.counts(1).await.0);
    house.assert_exact().await;
});
