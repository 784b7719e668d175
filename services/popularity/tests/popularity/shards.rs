//! Several databases: where items begin, who may be where, and one that is away.

use std::time::{Duration, Instant};

use contracts::Kind;
use data::{DataSettings, Sql};
use popularity::{Operator, Slot};
use serde_json::json;
use testkit::{Link, eventually, run_on_postgres, run_on_sqlite};

use crate::cells::Cell;
use crate::house::{BEGIN, Databases, House, ids};

/// The shard on which a palette begins.
pub(crate) fn begins_on(id: i64) -> usize {
    let slot = slot(id);
    let on =
        BEGIN.iter().position(|slots| slots.parse::<popularity::SlotSet>().unwrap().contains(slot));
    on.map_or(0, |place| place + 1)
}

/// The slot of a palette: as the databases reckon it.
pub(crate) fn slot(id: i64) -> Slot {
    let key = id % (1 << 29) * 4 + i64::from(Kind::Palette.number());
    Slot::from(u8::try_from((key * 2_654_435_761 % (1 << 32)) >> 24).unwrap())
}

/// Whether a shard's database has a palette.
async fn is_on(house: &House, shard: usize, id: i64) -> bool {
    let sql = format!("SELECT item_id FROM items WHERE item_id = {id}");
    house.dbs[shard].read_primary().row::<(i64,)>(&sql, []).await.unwrap().is_some()
}

async fn items_begin_where_the_settings_say(settings: DataSettings) {
    let house = House::open(Cell { settings, shards: 3 }).await;
    house.palettes(30).await;
    for id in 1..=30 {
        for shard in 0..3 {
            assert_eq!(is_on(&house, shard, id).await, shard == begins_on(id), "{id} {shard}");
        }
    }
    let status = house.operator().await.status().await;
    let held = status.iter().map(|shard| shard.slots.as_ref().unwrap().held.to_string());
    assert_eq!(held.collect::<Vec<_>>(), ["0-84", "85-169", "170-255"]);
    // The same with the settings of tomorrow: they move nothing.
    let mut later = house.databases.settings();
    later.shards[0].slots = "0-255".into();
    later.shards[1].slots = String::new();
    let other = house.another_with(later).await;
    other.like(7, 1).await;
    assert!(is_on(&house, begins_on(1), 1).await);
    house.assert_exact().await;
}

#[test]
fn items_begin_where_the_settings_say_on_sqlite() {
    run_on_sqlite(items_begin_where_the_settings_say);
}

#[test]
fn items_begin_where_the_settings_say_on_postgres() {
    run_on_postgres("items_begin_where_the_settings_say", items_begin_where_the_settings_say);
}

#[test]
fn shards_that_were_exchanged_are_refused() {
    run_on_sqlite(|settings| async move {
        let house = House::open(Cell { settings, shards: 3 }).await;
        let mut exchanged = house.databases.settings();
        exchanged.shards.swap(0, 1);
        for shard in &mut exchanged.shards {
            shard.slots.clear();
        }
        let operator = Operator::open(house.db.clone(), &exchanged).await.unwrap();
        let status = operator.status().await;
        let reached: Vec<bool> = status.iter().map(|shard| shard.slots.is_some()).collect();
        assert_eq!(reached, [true, false, false]);
    });
}

#[test]
fn a_single_database_becomes_one_of_several() {
    run_on_sqlite(|settings| async move {
        let databases = Databases::of(Cell { settings, shards: 3 }).await;
        let alone = Databases { shards: Vec::new(), ..databases.clone() };
        let house = House::open_with(alone, popularity::Settings::default()).await;
        house.palettes(20).await;
        for id in 1..=20 {
            house.like(7, id).await;
        }
        drop(house);
        // It had items before it had siblings: they stay until they are moved.
        let settings = databases.settings();
        let house = House::open_with(databases, settings).await;
        let operator = house.operator().await;
        let held = |status: &[popularity::ShardStatus]| -> Vec<usize> {
            status.iter().map(|shard| shard.slots.as_ref().unwrap().held.len()).collect()
        };
        assert_eq!(held(&operator.status().await), [256, 0, 0]);
        for id in 1..=20 {
            house.like(8, id).await;
            operator.move_slot(slot(id), begins_on(id)).await.unwrap();
        }
        for id in 1..=20 {
            assert!(is_on(&house, begins_on(id), id).await);
            assert_eq!(house.counts(id).await.0, 2);
        }
        house.assert_exact().await;
    });
}

#[test]
fn a_dead_shard_costs_only_its_own_items() {
    let name = "a_dead_shard_costs_only_its_own_items";
    run_on_postgres(name, |settings| async move {
        let mut databases = Databases::of(Cell { settings, shards: 3 }).await;
        let link = Link::to(&databases.shards[0]).await;
        databases.shards[0] = link.settings();
        let settings = databases.settings();
        let house = House::open_with(databases, settings).await;
        house.palettes(12).await;
        for id in 1..=12 {
            house.like(7, id).await;
        }
        let (dead, alive): (Vec<i64>, Vec<i64>) = (1..=12).partition(|id| begins_on(*id) == 1);
        assert!(!dead.is_empty() && !alive.is_empty());
        let newest_first = |ids: &[i64]| ids.iter().rev().copied().collect::<Vec<_>>();

        link.cut().await;
        let began = Instant::now();
        let client = house.client().as_user(8);
        for id in &alive {
            client.post("/like", json!({"palette_id": id})).await.expect(200);
            assert_eq!(house.counts(*id).await.0, 2);
        }
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        let began = Instant::now();
        client.post("/like", json!({"palette_id": dead[0]})).await.expect(503);
        assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
        let began = Instant::now();
        for list in ["/popular", "/popular?window=day", "/popular?by=trending"] {
            let shown = ids(&house.client().get(list).await.expect(200).json());
            let mut shown_sorted = shown.clone();
            shown_sorted.sort_unstable();
            assert_eq!(shown_sorted, alive, "{list}");
        }
        assert_eq!(house.ids("/popular").await, newest_first(&alive));
        house.client().as_user(9).get("/recommendations").await.expect(200);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        // An instance that starts now serves the rest as well.
        let other = house.another().await;
        let liker = other.client().as_user(9);
        liker.post("/like", json!({"palette_id": alive[0]})).await.expect(200);
        liker.post("/like", json!({"palette_id": dead[0]})).await.expect(503);

        link.mend().await;
        house.is_reached().await;
        let like = json!({"palette_id": dead[0]});
        for client in [client, liker] {
            eventually("its items are there again", async || {
                client.post("/like", like.clone()).await.status.as_u16() == 200
            })
            .await;
        }
        eventually("and in the lists", async || house.ids("/popular").await.len() == 12).await;
        house.assert_exact().await;
        assert_eq!(house.counts(dead[0]).await.0, 3);
    });
}
