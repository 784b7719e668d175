//! What callers are told, and what happens to sagas whose callers, processes or versions go away.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use telemetry::Context;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::*;

/// A saga of one remote step that waits to be let through.
fn gated(name: &'static str, gate: &Arc<Notify>, calls: &Arc<AtomicUsize>) -> Definition<i64> {
    let (gate, calls) = (gate.clone(), calls.clone());
    Definition::<i64>::new(name).remote("wait", move |_, n| {
        let gate = gate.clone();
        calls.fetch_add(1, Ordering::SeqCst);
        async move {
            gate.notified().await;
            Ok(n + 1)
        }
    })
}

on_each_engine!(
    a_repeat_waits_for_the_first_and_hears_the_same,
    |settings: DataSettings| async move {
        let world = World::build(&settings).await;
        let (gate, calls) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        let id = Uuid::new_v4();
        // Two instances, two callers each.
        let engines =
            [world.engine(), world.engine()].map(|e| e.register(gated("gated", &gate, &calls)));
        let callers: Vec<_> = (0..4_i64)
            .map(|n| {
                let engine = engines[n as usize % 2].clone();
                tokio::spawn(async move { engine.run("gated", id, n * 10).await })
            })
            .collect();
        eventually("it is under way", || async { calls.load(Ordering::SeqCst) == 1 }).await;
        gate.notify_one();
        let mut answers = Vec::new();
        for caller in callers {
            answers.push(caller.await.unwrap().unwrap());
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }
);

on_each_engine!(a_dropped_caller_stops_nothing, |settings: DataSettings| async move {
    let world = World::build(&settings).await;
    for seed in 0..60 {
        let id = Uuid::new_v4();
        let engine = world.engine();
        let ran = testkit::cancel_at_random(engine.run(TRIP, id, Trip::named("a")), seed).await;
        let again = engine.run(TRIP, id, Trip::named("a")).await.unwrap();
        assert!(ran.is_none_or(|ran| ran.unwrap() == again));
        assert_eq!(world.verify(id).await, Ending::Done);
    }
});

on_each_engine!(a_refused_first_step_leaves_the_id_free, |settings: DataSettings| async move {
    let world = World::build(&settings).await;
    let (engine, id) = (world.engine(), Uuid::new_v4());
    world.script("open", false, &[Outcome::Refuse, Outcome::Ok]);
    let refused = engine.run(TRIP, id, Trip::named("a")).await.unwrap_err();
    assert_eq!(refused, Problem::conflict("open"));
    assert_eq!(world.verify(id).await, Ending::Nothing);
    let trip = engine.run(TRIP, id, Trip::named("b")).await.unwrap();
    assert_eq!(trip.name, "b");
    assert_eq!(world.verify(id).await, Ending::Done);
});

on_each_engine!(
    what_was_undone_for_want_of_a_service_may_begin_anew,
    |settings: DataSettings| async move {
        let world = World::build(&settings).await;
        let (engine, id) = (world.engine(), Uuid::new_v4());
        world.script("car", false, &[Outcome::Retry]);
        let away = engine.run(TRIP, id, Trip::named("a")).await.unwrap_err();
        assert_eq!(away.status(), 503);
        assert_eq!(world.verify(id).await, Ending::Undone);
        world.script("car", false, &[Outcome::Ok]);
        let trip = engine.run(TRIP, id, Trip::named("b")).await.unwrap();
        assert_eq!((trip.name.as_str(), trip.done.len()), ("b", 7));
        // And with that it has ended: the same answer from here on.
        assert_eq!(engine.run(TRIP, id, Trip::named("c")).await.unwrap(), trip);
    }
);

on_each_engine!(a_caller_waits_no_longer_than_its_deadline, |settings: DataSettings| async move {
    let world = World::build(&settings).await;
    let (gate, calls) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let engine = world.engine().register(gated("gated", &gate, &calls));
    let id = Uuid::new_v4();
    let deadline = Some(Instant::now() + Duration::from_millis(50));
    let context = Context { deadline, ..Context::background() };
    let late = context.scope(engine.run("gated", id, 1_i64)).await.unwrap_err();
    assert_eq!(late.status(), 503);
    assert!(late.detail().contains("goes on"), "{late}");
    gate.notify_one();
    assert_eq!(engine.run("gated", id, 1_i64).await.unwrap(), 2);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
});

on_each_engine!(
    some_callers_are_content_with_less_than_the_end,
    |settings: DataSettings| async move {
        let world = World::build(&settings).await;
        let engine = world.engine();
        world.script("mail", false, &[Outcome::Retry]);
        let id = Uuid::new_v4();
        let trip = engine.run_past_pivot(TRIP, id, Trip::named("a")).await.unwrap();
        assert!(trip.done.contains(&"pay".to_owned()), "{trip:?}");
        assert!(!world.row(id).await.unwrap().status.ended());
        // The same from the row, for a repeat in another process.
        world.engine().run_past_pivot(TRIP, id, Trip::named("a")).await.unwrap();
        world.script("mail", false, &[Outcome::Ok]);
        assert_eq!(engine.run(TRIP, id, Trip::named("a")).await.unwrap().done.len(), 7);

        world.script("hotel", false, &[Outcome::Retry, Outcome::Retry, Outcome::Refuse]);
        let id = Uuid::new_v4();
        let begun = engine.begin(TRIP, id, Trip::named("b")).await.unwrap();
        assert_eq!(begun.done, ["open"]);
        engine.run(TRIP, id, Trip::named("b")).await.unwrap_err();
        assert_eq!(world.verify(id).await, Ending::Undone);
    }
);

on_each_engine!(stopping_gives_back_what_would_have_to_wait, |settings: DataSettings| async move {
    let world = World::build(&settings).await;
    let tasks = Tasks::new();
    let engine = world.engine();
    engine.start(&tasks);
    world.script("mail", false, &[Outcome::Retry]);
    let id = Uuid::new_v4();
    engine.run_past_pivot(TRIP, id, Trip::named("a")).await.unwrap();
    tasks.stop().await;
    let row = world.row(id).await.unwrap();
    assert_eq!((row.status, row.owner), (Status::Running, None));
    assert_eq!(engine.run(TRIP, id, Trip::named("a")).await.unwrap_err().status(), 503);

    // Another instance need not wait for a lease to run out.
    world.script("mail", false, &[Outcome::Ok]);
    world.pass(10);
    let (heir, tasks) = (world.engine(), Tasks::new());
    heir.start(&tasks);
    eventually("the heir has ended it", || async {
        world.row(id).await.unwrap().status == Status::Done
    })
    .await;
    world.verify(id).await;
    tasks.stop().await;
});

on_each_engine!(a_long_pause_is_not_waited_for_in_place, |settings: DataSettings| async move {
    let world = World::build(&settings).await;
    let engine = world.engine_with(Settings {
        first_pause: Duration::from_secs(3),
        longest_pause: Duration::from_secs(3),
        wait: Duration::from_millis(100),
        ..world.settings()
    });
    world.script("mail", false, &[Outcome::Retry, Outcome::Ok]);
    let id = Uuid::new_v4();
    assert_eq!(engine.run(TRIP, id, Trip::named("a")).await.unwrap_err().status(), 503);
    let row = world.row(id).await.unwrap();
    assert_eq!((row.owner.as_deref(), row.attempt), (None, 1));
    world.recover(&engine, id).await;
    assert_eq!(world.verify(id).await, Ending::Done);
});

/// Version 2 of a saga that version 1 of the service does not know.
fn later() -> Definition<i64> {
    Definition::<i64>::new("later").version(2).remote("a", |_, n| async move { Ok(n + 1) })
}

on_each_engine!(what_is_not_known_here_is_left_alone, |settings: DataSettings| async move {
    let world = World::build(&settings).await;
    let id = Uuid::new_v4();
    let faults = Faults::new(|reached| reached.point == Point::Effect);
    let newer = world.mortal(&faults).register(later());
    newer.run("later", id, 1_i64).await.unwrap_err();

    let older = Definition::<i64>::new("later").remote("b", |_, n| async move { Ok(n) });
    let older = world.engine().register(older);
    let room = Arc::new(tokio::sync::Semaphore::new(1));
    world.pass(world::LEASE * 2);
    crate::recovery::take_up(&older, &room).await.unwrap();
    drop(room.acquire().await.unwrap());
    let row = world.row(id).await.unwrap();
    assert_eq!((row.version, row.status, row.step), (2, Status::Running, 0));

    let newer = world.engine().register(later());
    world.recover(&newer, id).await;
    assert_eq!(newer.run("later", id, 1_i64).await.unwrap(), 2);

    let unknown = older.run("nothing", Uuid::new_v4(), 1_i64).await;
    assert_eq!(unknown.unwrap_err().status(), 500);
    let other_type = older.run("later", Uuid::new_v4(), String::new()).await;
    assert_eq!(other_type.unwrap_err().status(), 500);
    let other_kind = older.run(TRIP, id, Trip::named("a")).await;
    assert_eq!(other_kind.unwrap_err().status(), 409);
});

on_each_engine!(what_ended_long_ago_is_forgotten, |settings: DataSettings| async move {
    let world = World::build(&settings).await;
    let tasks = Tasks::new();
    let (old, young) = (Uuid::new_v4(), Uuid::new_v4());
    world.engine().run(TRIP, old, Trip::named("a")).await.unwrap();
    world.pass(20 * 3600 * 1000);
    world.engine().run(TRIP, young, Trip::named("a")).await.unwrap();
    world.pass(5 * 3600 * 1000);
    world.engine().start(&tasks);
    eventually("the old one is forgotten", || async { world.row(old).await.is_none() }).await;
    assert!(world.row(young).await.is_some());
    tasks.stop().await;
});

on_each_engine!(a_step_that_hangs_counts_as_failed, |settings: DataSettings| async move {
    let world = World::build(&settings).await;
    let (gate, calls) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let engine =
        world.engine_with(Settings { step_timeout: Duration::from_millis(10), ..world.settings() });
    let (clock, undone) = (world.clone(), Arc::new(AtomicUsize::new(0)));
    let seen = undone.clone();
    let hanging = gated("gated", &gate, &calls).undo_remote(move |_, _| {
        seen.fetch_add(1, Ordering::SeqCst);
        async move { Ok(()) }
    });
    let engine = engine.register(hanging);
    let id = Uuid::new_v4();
    let run = tokio::spawn(async move { engine.run("gated", id, 1_i64).await });
    eventually("it is tried again", || async { calls.load(Ordering::SeqCst) > 1 }).await;
    clock.pass(12_000);
    assert_eq!(run.await.unwrap().unwrap_err().status(), 503);
    assert_eq!(undone.load(Ordering::SeqCst), 1);
});

on_each_engine!(
    a_pivot_without_an_undo_is_not_given_up_while_in_doubt,
    |settings: DataSettings| async move {
        let world = World::build(&settings).await;
        let calls = Arc::new(AtomicUsize::new(0));
        let (seen, clock) = (calls.clone(), world.clone());
        let engine =
            world.engine().register(
                Definition::<i64>::new("pay")
                    .remote("pay", move |_, n| {
                        clock.pass(5000);
                        let doubt = seen.fetch_add(1, Ordering::SeqCst) < 10;
                        async move {
                            if doubt { Err(StepError::Retry("lost".into())) } else { Ok(n + 1) }
                        }
                    })
                    .pivot(),
            );
        assert_eq!(engine.run("pay", Uuid::new_v4(), 1_i64).await.unwrap(), 2);
        assert_eq!(calls.load(Ordering::SeqCst), 11);
    }
);
