//! Views: counted in memory, written soon, not for the owner.

use crate::cells::in_each_cell;
use contracts::Kind;
use futures::future::join_all;
use testkit::eventually;

use crate::house::{HOUR, House, START};

in_each_cell!(views_of_others_are_written_soon, |cell: Cell| async move {
    let house = House::open(cell).await;
    house.palettes(2).await;
    join_all((0..50).map(|user| house.view((user % 2 == 0).then_some(user), 1))).await;
    for _ in 0..5 {
        house.view(Some(1000), 1).await;
        house.view(Some(1000), 2).await;
    }
    house.view(Some(3), 77).await;
    eventually("the views are written", async || house.counts(1).await == (0, 50)).await;
    assert_eq!(house.counts(2).await, (0, 0), "its owner's views do not count");
    assert_eq!(house.counts(77).await, (0, 0), "there is no such palette");
    let hour = START / HOUR;
    let sql = format!("SELECT views FROM activity WHERE item_id = 1 AND hour = {hour}");
    assert_eq!(house.number(&sql).await, 50);
});

in_each_cell!(two_instances_add_their_views, |cell: Cell| async move {
    let house = House::open(cell).await;
    let other = house.another().await;
    house.palettes(1).await;
    for n in 0..40 {
        house.view(None, 1).await;
        other.view(Some(n), 1).await;
    }
    let client = house.client();
    let seen = async |of: &House| of.counts_for(&client, &[1], false, false).await[0].views;
    eventually("both show all", async || seen(&house).await == 80 && seen(&other).await == 80)
        .await;
});

in_each_cell!(the_last_views_are_written_on_the_way_out, |cell: Cell| async move {
    let house = House::open(cell).await;
    house.palettes(1).await;
    for _ in 0..3 {
        house.view(None, 1).await;
    }
    house.tasks.stop().await;
    assert_eq!(house.number("SELECT views FROM items WHERE item_id = 1").await, 3);
});

in_each_cell!(counts_come_in_the_order_asked_for, |cell: Cell| async move {
    let house = House::open(cell).await;
    house.palettes(3).await;
    house.try_register(Kind::Track, 4, 1, None).await.unwrap();
    house.like(7, 3).await;
    for fresh in [false, true, false] {
        let counts = house.counts_for(&house.client(), &[3, 4, 1, 3], false, fresh).await;
        let counts: Vec<_> = counts.iter().map(|count| (count.item_id, count.likes)).collect();
        assert_eq!(counts, [(3, 1), (4, 0), (1, 0), (3, 1)]);
    }
});
