//! Items and users go, and nothing of them stays.

use contracts::Kind;
use contracts::erasure::EraseRequest;
use contracts::erasure::erasure_client::ErasureClient;
use contracts::events::{Event, PaletteDeleted};
use serde_json::json;
use testkit::eventually;

use crate::cells::in_each_cell;
use crate::house::{HOUR, House};

async fn erase(house: &House, user_id: i64) {
    let mut rpc = ErasureClient::new(house.router.clone());
    rpc.erase(EraseRequest { user_id }).await.unwrap();
}

in_each_cell!(an_erased_user_s_likes_are_gone, |cell: Cell| async move {
    let house = House::open(cell).await;
    house.palettes(60).await;
    for id in 1..=60 {
        house.like(7, id).await;
    }
    house.like(8, 1).await;
    for _ in 0..2 {
        erase(&house, 7).await;
        assert_eq!(house.counts(1).await, (1, 0));
        assert_eq!(house.counts(60).await, (0, 0));
    }
    house.assert_exact().await;
    let late = house.client().as_user(7).post("/like", json!({"palette_id": 1})).await;
    late.expect(401);
    assert_eq!(house.number("SELECT COUNT(*) FROM likes").await, 1);
    assert_eq!(house.ids("/popular?window=day").await, [1]);
});

in_each_cell!(a_withdrawn_item_takes_its_likes_along, |cell: Cell| async move {
    let house = House::open(cell).await;
    let other = house.another().await;
    house.palettes(2).await;
    for user in 1..30 {
        house.like(user, 1).await;
        house.like(user, 2).await;
    }
    for _ in 0..2 {
        house.withdraw(Kind::Palette, 1).await;
    }
    house.withdraw(Kind::Palette, 99).await;
    house.client().as_user(50).post("/like", json!({"palette_id": 1})).await.expect(404);
    other.client().as_user(50).post("/like", json!({"palette_id": 1})).await.expect(404);
    assert_eq!(house.ids("/popular").await, [2]);
    assert_eq!(house.counts(1).await, (0, 0));
    assert_eq!(house.number("SELECT COUNT(*) FROM likes").await, 29);
    assert_eq!(house.number("SELECT COUNT(*) FROM activity").await, 1);
    house.assert_exact().await;
    // A registration that comes late does not bring it back; repeating another's changes nothing.
    house.try_register(Kind::Palette, 1, 1000, None).await.unwrap();
    house.client().as_user(50).post("/like", json!({"palette_id": 1})).await.expect(404);
    house.try_register(Kind::Palette, 2, 1000, None).await.unwrap();
    assert_eq!(house.counts(2).await, (29, 0));
});

in_each_cell!(a_deleted_palette_is_withdrawn_by_its_event, |cell: Cell| async move {
    let house = House::open(cell).await;
    let other = house.another().await;
    house.palettes(2).await;
    house.like(7, 1).await;
    let seen = async || other.counts_for(&other.client(), &[1], false, false).await[0].likes;
    assert_eq!(seen().await, 1, "and remembered there");
    let deleted = PaletteDeleted { palette_id: 1.into(), user_id: 1000.into() };
    let entry = events::Entry::new(PaletteDeleted::NAME, &deleted.key(), &deleted).unwrap();
    house.log.append(vec![entry]).await.unwrap();
    eventually("it is withdrawn", async || {
        house.number("SELECT COUNT(*) FROM items WHERE item_id = 1").await == 0
    })
    .await;
    eventually("the other instance forgot it", async || seen().await == 0).await;
    house.client().as_user(8).post("/like", json!({"palette_id": 1})).await.expect(404);
});

in_each_cell!(what_a_killed_process_left_is_tidied_up, |cell: Cell| async move {
    let house = House::open(cell).await;
    house.palettes(3).await;
    for id in 1..=3 {
        house.like(7, id).await;
        house.like(8, id).await;
    }
    house.pass(33 * 24);
    house.like(9, 3).await;
    // Died between the first piece and the second.
    let now = house.clock.load(std::sync::atomic::Ordering::SeqCst);
    house.execute(&format!("INSERT INTO erased VALUES (8, {now})")).await;
    house.execute("DELETE FROM items WHERE item_id = 1").await;
    let sql = format!("INSERT INTO withdrawn (kind, item_id, at) VALUES (1, 1, {now})");
    house.execute(&sql).await;
    let next = house.another().await; // tidies up when it starts
    eventually("nothing is left", async || {
        next.number("SELECT COUNT(*) FROM likes WHERE item_id = 1 OR user_id = 8").await == 0
    })
    .await;
    assert_eq!(next.counts(2).await, (1, 0));
    assert_eq!(next.counts(3).await, (2, 0));
    let oldest = format!("SELECT COUNT(*) FROM activity WHERE hour < {}", now / HOUR - 32 * 24);
    eventually("old hours are forgotten", async || next.number(&oldest).await == 0).await;
    assert_eq!(next.ids("/popular?window=month").await, [3]);
});
