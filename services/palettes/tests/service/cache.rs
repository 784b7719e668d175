//! What is in memory never hides a change: not from who made it, and from others for a moment
//! at most, on whichever instance.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use data::{DataSettings, Sql, Tx, values};
use serde_json::json;
use testkit::{Client, eventually, on_each_engine};

use crate::world::{ANNA, World};

on_each_engine!(it_is_read_from_memory, |settings: DataSettings| async move {
    let world = World::new(settings).await;
    let made = world.some().await;
    let path = format!("/palettes/{made}");
    world.client.get(&path).await.expect(200);
    // Behind the service's back: who sees it now reads the table.
    let sql = "UPDATE palettes SET name = 'new' WHERE id = $1";
    world
        .db
        .write(move |tx: &Tx| Box::pin(async move { tx.run(sql, values![made]).await }))
        .await
        .unwrap();
    assert_eq!(world.client.get(&path).await.json()["name"], json!(null));
    assert_eq!(world.client.fresh().get(&path).await.json()["name"], "new");
});

on_each_engine!(other_instances_forget_what_has_changed, |settings: DataSettings| async move {
    let world = World::new(settings).await;
    let other = Client::new(world.another().await);
    let path = format!("/palettes/{}", world.some().await);
    for round in 0..5 {
        let name = format!("n{round}");
        other.get(&path).await.expect(200);
        world.anna().put(&path, json!({"name": name})).await.expect(200);
        // The one who wrote sees it everywhere and at once; the others soon.
        assert_eq!(other.as_user(ANNA).fresh().get(&path).await.json()["name"], name.as_str());
        assert_eq!(world.client.get(&path).await.json()["name"], name.as_str());
        eventually("the other instance shows it", || async {
            other.get(&path).await.json()["name"] == name.as_str()
        })
        .await;
    }
    world.anna().delete(&path).await.expect(204);
    other.fresh().get(&path).await.expect(404);
    eventually("the other instance has lost it", || async { other.get(&path).await.status == 404 })
        .await;
});

on_each_engine!(
    no_reader_ever_sees_less_than_was_acknowledged,
    |settings: DataSettings| async move {
        let world = World::new(settings).await;
        let path = format!("/palettes/{}", world.some().await);
        world.anna().put(&path, json!({"name": "0"})).await.expect(200);
        let (acknowledged, done) = (AtomicI64::new(0), AtomicBool::new(false));
        let write = async {
            for round in 1..=60 {
                world.anna().put(&path, json!({"name": round.to_string()})).await.expect(200);
                acknowledged.store(round, Ordering::SeqCst);
            }
            done.store(true, Ordering::SeqCst);
        };
        let read = || async {
            let mut reads = 0;
            while !done.load(Ordering::SeqCst) {
                let least = acknowledged.load(Ordering::SeqCst);
                let name = world.client.get(&path).await.expect(200).json()["name"]
                    .as_str()
                    .unwrap()
                    .to_owned();
                assert!(name.parse::<i64>().unwrap() >= least, "{name} after {least}");
                reads += 1;
                tokio::task::yield_now().await;
            }
            reads
        };
        let ((), a, b, c) = tokio::join!(write, read(), read(), read());
        assert!(a + b + c > 60);
    }
);
