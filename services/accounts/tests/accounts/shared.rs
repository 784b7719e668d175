//! Two instances with one cache of profiles.

use cache::{CacheSettings, Store};
use data::{DataSettings, Sql, values};
use serde_json::json;
use tasks::Tasks;
use testkit::{Redis, engine_or_skip, on_each_engine};

use crate::house::{House, quick};

on_each_engine!(what_one_instance_changes_all_show, |settings: DataSettings| async move {
    let nodes = [
        engine_or_skip!(Redis::start().await),
        engine_or_skip!(Redis::start().await),
        engine_or_skip!(Redis::start().await),
    ];
    let ring =
        CacheSettings { timeout_ms: 400, ..CacheSettings::ring(nodes.iter().map(Redis::url)) };
    let tasks = Tasks::new();
    let stores =
        [Store::open(&ring, &tasks).await.unwrap(), Store::open(&ring, &tasks).await.unwrap()];
    let first = House::new(&settings).await;
    let (db, log) = (first.db.clone(), first.log.clone());
    let one = House::sharing(db.clone(), log.clone(), &stores[0], quick()).await;
    let two = House::sharing(db.clone(), log, &stores[1], quick()).await;
    let (owner, id) = one.signed_up("Mario", "swordfish").await;
    let path = format!("/users/{id}");
    let bio =
        async |house: &House| house.browser().get(&path).await.expect(200).json()["bio"].clone();
    let change = async |text: &str| owner.patch(&path, json!({"bio": text})).await.expect(200);

    for round in 0..5 {
        let text = format!("round {round}");
        change(&text).await;
        assert_eq!(bio(&two).await, json!(text));
        assert_eq!(bio(&one).await, json!(text));
    }
    // It does come from the ring: what changes behind its back is not seen, but by its owner.
    let sql = "UPDATE users SET bio = 'unseen' WHERE id = $1";
    let user = id.get();
    db.write(move |tx| Box::pin(async move { tx.run(sql, values![user]).await })).await.unwrap();
    assert_eq!(bio(&two).await, json!("round 4"));
    assert_eq!(owner.get(&path).await.expect(200).json()["bio"], "unseen");
    // With all nodes but one dead, and then with none.
    nodes[0].kill().await;
    nodes[1].kill().await;
    change("few").await;
    assert_eq!(bio(&two).await, json!("few"));
    nodes[2].kill().await;
    change("none").await;
    assert_eq!(bio(&two).await, json!("none"));
    owner.delete(&path).await.expect(200);
    two.browser().get(&path).await.problem(404);
    tasks.stop().await;
});
