//! Two drivers of one saga: the one whose lease ran out can do no harm.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::*;
use crate::drive::Drive;
use crate::wait::Progress;

const SLEEPER: &str = "sleeper";

/// A remote step that the first caller never gets out of until it is woken, then a local one.
fn sleeper(world: &World, calls: &Arc<AtomicUsize>, wake: &Arc<Notify>) -> Definition<i64> {
    let (calls, wake, place) = (calls.clone(), wake.clone(), world.clone());
    Definition::<i64>::new(SLEEPER)
        .remote("sleep", move |_, n| {
            let first = calls.fetch_add(1, Ordering::SeqCst) == 0;
            let wake = wake.clone();
            async move {
                if first {
                    wake.notified().await;
                }
                Ok(n + 1)
            }
        })
        .local("count", move |tx, key, n| {
            let place = place.clone();
            Box::pin(async move {
                let sql = "INSERT INTO effects (saga, step, undo, place) VALUES ($1, $2, 0, 0)";
                tx.run(sql, values![key.saga().to_string(), key.step()]).await?;
                place.pass(1);
                Ok(n + 1)
            })
        })
        .remote("end", |_, n| async move { Ok(n + 1) })
}

on_each_engine!(
    a_driver_that_lost_its_lease_commits_nothing,
    |settings: DataSettings| async move {
        let world = World::build(&settings).await;
        let (calls, wake) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let engines =
            [world.engine(), world.engine()].map(|e| e.register(sleeper(&world, &calls, &wake)));
        let id = Uuid::new_v4();
        let zombie = engines[0].clone();
        let zombie = tokio::spawn(async move { zombie.run(SLEEPER, id, 0_i64).await });
        eventually("it sleeps", || async { calls.load(Ordering::SeqCst) == 1 }).await;
        world.recover(&engines[1], id).await;
        assert_eq!(world.row(id).await.unwrap().status, Status::Done);
        wake.notify_one();
        // It finds out, does nothing, and tells its caller what the other one did.
        assert_eq!(zombie.await.unwrap().unwrap(), 3);
        let effects: Option<(i64,)> =
            world.db.read().row("SELECT COUNT(*) FROM effects", values![]).await.unwrap();
        assert_eq!(effects, Some((1,)));
    }
);

on_each_engine!(a_lease_is_taken_by_one, |settings: DataSettings| async move {
    let world = World::build(&settings).await;
    let id = Uuid::new_v4();
    let faults = Faults::new(|reached| reached.point == Point::Effect && reached.step == "hotel");
    world.mortal(&faults).run(TRIP, id, Trip::named("a")).await.unwrap_err();
    let before = world.row(id).await.unwrap();
    let early = crate::recovery::claim(&world.engine(), before.clone()).await.unwrap();
    assert_eq!(early, None, "its lease has not run out");
    world.pass(world::LEASE + 1);
    let mut claims = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (engine, found) = (world.engine(), before.clone());
        claims.spawn(async move { crate::recovery::claim(&engine, found).await.unwrap() });
    }
    let taken: Vec<_> = claims.join_all().await.into_iter().flatten().collect();
    assert_eq!(taken.len(), 1);
    assert_ne!(taken[0].owner, before.owner);
    // Whoever had it can no longer record anything, not even at the place where it was.
    let (fence, now) = (crate::local::fence(&before), before.due_at);
    assert!(!crate::local::save(&world.db, fence, before, now).await.unwrap());
});

on_each_engine!(many_engines_race_for_many_sagas, |settings: DataSettings| async move {
    let world = World::build(&settings).await;
    world.script("car", false, &[Outcome::Doubt, Outcome::Ok]);
    let ids: Vec<Uuid> = (0..20).map(|_| Uuid::new_v4()).collect();
    for (n, id) in ids.iter().enumerate() {
        let _ = world.mortal(&Faults::at(n % 14)).run(TRIP, *id, Trip::named("a")).await;
    }
    world.pass(world::LEASE * 2);
    let tasks = Tasks::new();
    for _ in 0..3 {
        world.engine().start(&tasks);
    }
    for id in &ids {
        // A caller joins the race.
        let engine = world.engine();
        let _ = engine.run(TRIP, *id, Trip::named("a")).await;
        world.verify(*id).await;
    }
    tasks.stop().await;
});

on_each_engine!(
    a_commit_that_was_not_heard_of_is_not_repeated,
    |settings: DataSettings| async move {
        let world = World::build(&settings).await;
        let (engine, id) = (world.engine(), Uuid::new_v4());
        let faults =
            Faults::new(|reached| reached.point == Point::Effect && reached.step == "hotel");
        world.mortal(&faults).run(TRIP, id, Trip::named("a")).await.unwrap_err();
        let row = world.row(id).await.unwrap();
        assert_eq!(row.step, 1);
        // The same driver, which believes that its first step has yet to happen.
        let state = serde_json::to_string(&Trip::named("a")).unwrap();
        let stale = store::Saga { step: 0, state, ..row };
        let kind = engine.kinds.values().next().unwrap().clone();
        let (progress, _) = tokio::sync::watch::channel(Progress::Starting);
        Drive::new(engine, kind, stale, progress).run().await;
        assert_eq!(world.verify(id).await, Ending::Done);
    }
);

on_each_engine!(
    a_driver_that_retries_for_long_keeps_its_lease,
    |settings: DataSettings| async move {
        let world = World::build(&settings).await;
        // Each takes a second of the world's time: four leases in all.
        let mut outcomes = [Outcome::Retry; 80].to_vec();
        outcomes.push(Outcome::Ok);
        world.script("mail", false, &outcomes);
        let tasks = Tasks::new();
        let (engine, other, id) = (world.engine(), world.engine(), Uuid::new_v4());
        other.start(&tasks);
        let driver = tokio::spawn(async move { engine.begin(TRIP, id, Trip::named("a")).await });
        driver.await.unwrap().unwrap();
        let owner = world.row(id).await.unwrap().owner;
        eventually("it ends", || async { world.row(id).await.unwrap().status.ended() }).await;
        assert_eq!(world.row(id).await.unwrap().owner, owner);
        assert_eq!(world.verify(id).await, Ending::Done);
        tasks.stop().await;
    }
);

on_each_engine!(a_driver_that_lost_its_lease_goes_away, |settings: DataSettings| async move {
    let world = World::build(&settings).await;
    let id = Uuid::new_v4();
    let faults = Faults::new(|reached| reached.point == Point::Effect && reached.step == "hotel");
    world.mortal(&faults).run(TRIP, id, Trip::named("a")).await.unwrap_err();
    let old = world.row(id).await.unwrap();
    world.pass(world::LEASE + 1);
    let engine = world.engine();
    crate::recovery::claim(&engine, old.clone()).await.unwrap().unwrap();
    let heirs = world.row(id).await;
    let kind = engine.kinds.values().next().unwrap().clone();
    let (progress, told) = tokio::sync::watch::channel(Progress::Starting);
    Drive::new(engine, kind, old, progress).run().await;
    assert!(matches!(*told.borrow(), Progress::Away));
    assert_eq!(world.row(id).await, heirs);
});
