//! Moving slots while everything goes on: nothing is lost, nothing counts twice.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use contracts::Kind;
use contracts::erasure::EraseRequest;
use contracts::erasure::erasure_client::ErasureClient;
use data::{DataSettings, Sql};
use futures::future::join_all;
use popularity::{MoveError, Operator};
use serde_json::json;
use testkit::{cancel_at_random, eventually, run_on_postgres, run_on_sqlite};

use crate::cells::Cell;
use crate::house::House;
use crate::shards::{begins_on, slot};

/// Makes of one test two, both with three shards.
macro_rules! on_three_shards {
    ($name:ident, $test:expr) => {
        mod $name {
            use super::*;

            #[test]
            fn sqlite() {
                run_on_sqlite(|settings: DataSettings| ($test)(Cell { settings, shards: 3 }));
            }

            #[test]
            fn postgres() {
                let name = concat!(module_path!(), "::postgres");
                run_on_postgres(name, |settings: DataSettings| {
                    ($test)(Cell { settings, shards: 3 })
                });
            }
        }
    };
}

const ITEMS: i64 = 6;

/// Moves the slots of all items round and round until told to stop; answers how often.
async fn move_about(operator: &Operator, stop: &AtomicBool, moves: &AtomicU32) -> Duration {
    let mut at: BTreeMap<i64, usize> = (1..=ITEMS).map(|id| (id, begins_on(id))).collect();
    let mut longest = Duration::ZERO;
    while !stop.load(Ordering::SeqCst) {
        for (id, at) in &mut at {
            *at = (*at + 1) % 3;
            let moved = operator.move_slot(slot(*id), *at).await.unwrap();
            longest = longest.max(moved.fenced);
            moves.fetch_add(1, Ordering::SeqCst);
        }
    }
    longest
}

/// So many moves at least happen while others work: three times round.
const MOVES: u32 = 18;

/// Ends the moving when the work is done, or has failed.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

on_three_shards!(likes_go_on_while_their_slots_move, |cell: Cell| async move {
    let house = House::open(cell).await;
    let other = house.another().await;
    house.palettes(ITEMS).await;
    let operator = house.operator().await;
    let clients = [house.client(), other.client()];
    let stop = AtomicBool::new(false);
    let (busy, moves) = (AtomicU32::new(0), AtomicU32::new(0));
    let go_on = |step: i64, least: i64| step < least || moves.load(Ordering::SeqCst) < MOVES;
    let vote = async |instance: usize, user: i64, id: i64, like: bool| loop {
        let (client, body) = (clients[instance].as_user(user), json!({"palette_id": id}));
        let reply = match like {
            true => client.post("/like", body).await,
            false => client.delete_with("/like", body).await,
        };
        match reply.status.as_u16() {
            503 => busy.fetch_add(1, Ordering::SeqCst),
            _ => return reply.expect(200).json()["liked"] == like,
        };
    };
    let work = async {
        let _stop = Stop(&stop);
        // Those who stay to the end: what they said last stands.
        let patient = (1..=24_i64).map(|user| {
            let (vote, go_on) = (&vote, &go_on);
            async move {
                let mut last = BTreeMap::new();
                for step in (0..).take_while(|step| go_on(*step, 40)) {
                    let (id, like) = ((user * 7 + step * 5) % ITEMS + 1, (user + step) % 3 != 0);
                    assert!(vote((step % 2) as usize, user, id, like).await);
                    last.insert(id, like);
                }
                last
            }
        });
        // Those who go away in the middle.
        let impatient = (0..24_u32).map(|task| {
            let vote = &vote;
            async move {
                for step in 0..20_u32 {
                    let seed = task * 100 + step;
                    let (user, id) = (i64::from(100 + seed % 37), i64::from(seed) % ITEMS + 1);
                    let like = vote((seed % 2) as usize, user, id, seed % 4 != 0);
                    cancel_at_random(like, u64::from(seed)).await;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        });
        // One who looks, through the other instance, right after each of their writes.
        let lookers = (1..=ITEMS).map(|id| {
            let (house, other) = (&house, &other);
            async move {
                for _ in 0..30 {
                    house.view(None, id).await;
                    let before = other.counts(id).await;
                    assert!(before.0 >= 0);
                }
            }
        });
        let (last, _, _) = tokio::join!(join_all(patient), join_all(impatient), join_all(lookers));
        last
    };
    let (last, fenced) = tokio::join!(work, move_about(&operator, &stop, &moves));
    let (done, busy) = (moves.load(Ordering::SeqCst), busy.load(Ordering::SeqCst));
    println!("{done} moves, the longest fence {fenced:?}, {busy} told to try again");
    eventually("all views are written", async || {
        house.number("SELECT CAST(SUM(views) AS BIGINT) FROM items").await == 30 * ITEMS
    })
    .await;
    house.assert_exact().await;
    for (user, last) in (1..).zip(last) {
        for (id, like) in last {
            let sql = format!(
                "SELECT COUNT(*) FROM likes WHERE kind = 1 AND item_id = {id} AND user_id = {user}"
            );
            assert_eq!(house.number(&sql).await, i64::from(like), "{user} {id}");
        }
    }
    let mut all = house.ids("/popular").await;
    all.sort_unstable();
    assert_eq!(all, (1..=ITEMS).collect::<Vec<_>>(), "each once");
});

on_three_shards!(everybody_sees_their_own_writes_while_slots_move, |cell: Cell| async move {
    let house = House::open(cell).await;
    let other = house.another().await;
    house.palettes(ITEMS).await;
    let operator = house.operator().await;
    let (stop, moves) = (AtomicBool::new(false), AtomicU32::new(0));
    let go_on = |step: i64, least: i64| step < least || moves.load(Ordering::SeqCst) < MOVES;
    let work = async {
        let _stop = Stop(&stop);
        // One user an item, so that each knows what must be seen.
        join_all((1..=ITEMS).map(|id| {
            let (house, other, go_on) = (&house, &other, &go_on);
            async move {
                for step in (0..).take_while(|step| go_on(*step, 60)) {
                    let (writer, reader) =
                        if step % 2 == 0 { (house, other) } else { (other, house) };
                    if step % 3 == 0 {
                        writer.unlike(id, id).await;
                        assert_eq!(reader.counts(id).await.0, 0);
                    } else {
                        writer.like(id, id).await;
                        assert_eq!(reader.counts(id).await.0, 1);
                    }
                }
            }
        }))
        .await
    };
    tokio::join!(work, move_about(&operator, &stop, &moves));
    house.assert_exact().await;
});

on_three_shards!(a_move_that_died_anywhere_is_gone_on_with, |cell: Cell| async move {
    let house = House::open(cell).await;
    house.palettes(2).await;
    let slot = slot(1);
    let mut at = begins_on(1);
    let mut points = Vec::new();
    let mut likes = 0;
    let mut user = 0;
    for point in 1.. {
        let to = (at + 1) % 3;
        let operator = house.operator().await;
        let passed = AtomicU32::new(0);
        let died = std::sync::Mutex::new("");
        let ended = operator
            .move_slot_until(slot, to, &|name| {
                let dies = passed.fetch_add(1, Ordering::SeqCst) + 1 == point;
                if dies {
                    *died.lock().unwrap() = name;
                }
                dies
            })
            .await;
        at = to;
        let died = died.into_inner().unwrap();
        match ended {
            Ok(_) => break,
            Err(MoveError::Ended) => points.push(died),
            Err(error) => panic!("{died}: {error}"),
        }
        // What happens meanwhile counts, or is refused and does not.
        for like in [true, true, false, true] {
            user += i64::from(like);
            let (client, body) = (house.client().as_user(user), json!({"palette_id": 1}));
            let reply = match like {
                true => client.post("/like", body).await,
                false => client.delete_with("/like", body).await,
            };
            match reply.status.as_u16() {
                200 => likes += if like { 1 } else { -1 },
                // Nobody lifts the fence of who died; one like that waits for it is enough.
                503 => {
                    assert!(["fenced", "complete", "changes copied"].contains(&died), "{died}");
                    break;
                }
                _ => drop(reply.expect(200)),
            }
        }
        if point % 2 == 0 {
            house.try_register(Kind::Palette, 1, 1000, Some("warm")).await.ok();
        }
        assert_eq!(house.counts(1).await.0, likes, "after {died}");
        // Somebody else goes on.
        house.operator().await.move_slot(slot, to).await.unwrap();
        assert_eq!(house.counts(1).await.0, likes, "gone on after {died}");
        assert_eq!(house.like(1000 + user, 1).await["likes"], likes + 1);
        likes += 1;
        house.assert_exact().await;
        let sql = "SELECT COUNT(*) FROM items WHERE item_id = 1";
        assert_eq!(house.number(sql).await, 1, "after {died} it is in one place");
        assert_eq!(house.number("SELECT COUNT(*) FROM slot_changes").await, 0);
    }
    points.sort_unstable();
    points.dedup();
    let all = [
        "arriving",
        "caught up",
        "cleaned up",
        "cleared",
        "clearing",
        "complete",
        "copied",
        "fenced",
        "half cleared",
        "half copied",
        "leaving",
        "let go",
        "taken",
    ];
    assert_eq!(points, all, "every point was one to die at");
});

on_three_shards!(a_move_whose_mover_died_is_ended_by_an_instance, |cell: Cell| async move {
    let house = House::open(cell).await;
    house.palettes(1).await;
    house.like(7, 1).await;
    let to = (begins_on(1) + 1) % 3;
    let operator = house.operator().await;
    let died = operator.move_slot_until(slot(1), to, &|name| name == "fenced").await;
    assert!(matches!(died, Err(MoveError::Ended)), "{died:?}");
    house.client().as_user(8).post("/like", json!({"palette_id": 1})).await.expect(503);
    let mut settings = house.databases.settings();
    settings.take_over_moves_after_ms = 300;
    let other = house.another_with(settings).await;
    eventually("likes are taken again", async || {
        let body = json!({"palette_id": 1});
        other.client().as_user(8).post("/like", body).await.status.as_u16() == 200
    })
    .await;
    eventually("it has moved", async || {
        let status = operator.status().await;
        let slots = |shard: usize| status[shard].slots.clone().unwrap();
        slots(to).held.contains(slot(1)) && (0..3).all(|shard| slots(shard).left.is_empty())
    })
    .await;
    assert_eq!(house.counts(1).await.0, 2);
    house.assert_exact().await;
});

on_three_shards!(an_instance_that_knows_the_old_place_only_writes_nothing_there, |cell: Cell| {
    async move {
        let house = House::open(cell).await;
        let other = house.another().await;
        house.palettes(20).await;
        let id = (1..=20).find(|id| begins_on(*id) == 0).unwrap();
        house.like(7, id).await;
        other.like(8, id).await;
        // One that was never told of the other shards.
        let mut alone = house.databases.settings();
        alone.shards.clear();
        let alone = house.another_with(alone).await;
        alone.like(9, id).await;
        house.operator().await.move_slot(slot(id), 2).await.unwrap();
        let body = json!({"palette_id": id});
        alone.client().as_user(10).post("/like", &body).await.expect(503);
        alone.client().as_user(9).delete_with("/like", &body).await.expect(503);
        assert_eq!(other.like(11, id).await["likes"], 4, "it looks again and goes on");
        assert_eq!(house.unlike(7, id).await["likes"], 3);
        let sql = format!("SELECT COUNT(*) FROM likes WHERE item_id = {id}");
        let here = house.dbs[0].read_primary().row::<(i64,)>(&sql, []).await.unwrap().unwrap().0;
        assert_eq!((here, house.number(&sql).await), (0, 3));
        house.assert_exact().await;
    }
});

on_three_shards!(a_user_is_erased_wherever_their_likes_are_going, |cell: Cell| async move {
    let house = House::open(cell).await;
    house.palettes(ITEMS).await;
    let operator = house.operator().await;
    let stop = AtomicBool::new(false);
    let work = async {
        let _stop = Stop(&stop);
        for user in 1..=6 {
            for id in 1..=ITEMS {
                house.like(user, id).await;
                house.like(100, id).await;
            }
            let mut rpc = ErasureClient::new(house.router.clone());
            eventually("they are erased", async || {
                rpc.clone().erase(EraseRequest { user_id: user }).await.is_ok()
            })
            .await;
            let _ = &mut rpc;
        }
    };
    let moves = AtomicU32::new(0);
    tokio::join!(work, move_about(&operator, &stop, &moves));
    house.assert_exact().await;
    assert_eq!(house.number("SELECT COUNT(*) FROM likes WHERE user_id < 100").await, 0);
    assert_eq!(house.number("SELECT COUNT(*) FROM likes").await, ITEMS);
    for user in 1..=6 {
        let late = house.client().as_user(user).post("/like", json!({"palette_id": 1})).await;
        late.expect(401);
    }
});

on_three_shards!(what_is_withdrawn_on_the_way_stays_gone, |cell: Cell| async move {
    let house = House::open(cell).await;
    house.palettes(1).await;
    for user in 1..=20 {
        house.like(user, 1).await;
    }
    let to = (begins_on(1) + 1) % 3;
    let operator = house.operator().await;
    for point in ["leaving", "half copied", "copied"] {
        let died = operator.move_slot_until(slot(1), to, &|name| name == point).await;
        assert!(matches!(died, Err(MoveError::Ended)), "{point}: {died:?}");
        if point == "half copied" {
            house.withdraw(Kind::Palette, 1).await;
        }
    }
    operator.move_slot(slot(1), to).await.unwrap();
    house.client().as_user(50).post("/like", json!({"palette_id": 1})).await.expect(404);
    house.try_register(Kind::Palette, 1, 1000, None).await.unwrap();
    house.client().as_user(50).post("/like", json!({"palette_id": 1})).await.expect(404);
    assert_eq!(house.ids("/popular").await, [0; 0]);
    let next = house.another().await; // tidies up when it starts
    eventually("nothing is left", async || next.number("SELECT COUNT(*) FROM likes").await == 0)
        .await;
    house.assert_exact().await;
});

on_three_shards!(a_move_can_be_called_off, |cell: Cell| async move {
    let house = House::open(cell).await;
    house.palettes(1).await;
    house.like(7, 1).await;
    let at = begins_on(1);
    let to = (at + 1) % 3;
    let operator = house.operator().await;
    for point in ["clearing", "arriving", "leaving", "copied", "caught up"] {
        let died = operator.move_slot_until(slot(1), to, &|name| name == point).await;
        assert!(matches!(died, Err(MoveError::Ended)), "{point}: {died:?}");
        house.unlike(7, 1).await;
        operator.move_slot(slot(1), at).await.unwrap();
        assert_eq!(house.like(7, 1).await["likes"], 1, "{point}");
        assert_eq!(house.number("SELECT COUNT(*) FROM slot_changes").await, 0, "{point}");
        let rests = "SELECT COUNT(*) FROM slots WHERE state NOT IN (1, 5)";
        assert_eq!(house.number(rests).await, 0, "{point}");
        assert_eq!(house.number("SELECT COUNT(*) FROM items").await, 1, "{point}");
        house.assert_exact().await;
    }
    operator.move_slot(slot(1), to).await.unwrap();
    assert_eq!(house.counts(1).await.0, 1);
    let fenced = operator.move_slot_until(slot(1), at, &|name| name == "fenced").await;
    assert!(matches!(fenced, Err(MoveError::Ended)), "{fenced:?}");
    let late = operator.move_slot(slot(1), to).await.unwrap_err();
    assert!(matches!(late, MoveError::Underway { .. }), "{late}");
    operator.move_slot(slot(1), at).await.unwrap();
    house.assert_exact().await;
});

on_three_shards!(what_cannot_be_moved_says_why, |cell: Cell| async move {
    let house = House::open(cell).await;
    house.palettes(1).await;
    let operator = house.operator().await;
    let at = begins_on(1);
    let moved = operator.move_slot(slot(1), at).await.unwrap();
    assert_eq!(moved.rows, 0, "it is there");
    let nowhere = operator.move_slot(slot(1), 3).await.unwrap_err();
    assert_eq!(nowhere.to_string(), "there is no shard 3");
    let to = (at + 1) % 3;
    let died = operator.move_slot_until(slot(1), to, &|name| name == "copied").await;
    assert!(matches!(died, Err(MoveError::Ended)), "{died:?}");
    let elsewhere = operator.move_slot(slot(1), (at + 2) % 3).await.unwrap_err();
    let text = format!("slot {} is on its way to shard {to}; let that end first", slot(1));
    assert_eq!(elsewhere.to_string(), text);
    operator.move_slot(slot(1), to).await.unwrap();
});
