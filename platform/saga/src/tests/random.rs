//! Services that fail at random and drivers that die at random, in any combination.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;

const NAMES: [&str; 7] = ["open", "hotel", "car", "note", "pay", "confirm", "mail"];

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        4 => Just(Outcome::Ok),
        1 => Just(Outcome::Refuse),
        2 => Just(Outcome::Retry),
        2 => Just(Outcome::Doubt),
        1 => Just(Outcome::Panic),
    ]
}

/// Outcomes of some steps and undos, and the points at which four drivers in a row die.
type Plan = (Vec<(usize, bool, Vec<Outcome>)>, Vec<usize>);

fn plan() -> impl Strategy<Value = Plan> {
    let step = (0..NAMES.len(), any::<bool>(), vec(outcome(), 1..5));
    (vec(step, 0..5), vec(0..25_usize, 0..5))
}

async fn carry_out(world: &World, (script, deaths): Plan) {
    world.forget_script();
    for (step, undo, mut outcomes) in script {
        // What may not be given up must succeed one day.
        if undo || step > 4 {
            outcomes.push(Outcome::Ok);
        }
        world.script(NAMES[step], undo, &outcomes);
    }
    let id = Uuid::new_v4();
    let mut deaths = deaths.into_iter();
    match deaths.next() {
        Some(n) => drop(world.mortal(&Faults::at(n)).run(TRIP, id, Trip::named("a")).await),
        None => drop(world.engine().run(TRIP, id, Trip::named("a")).await),
    }
    for n in deaths {
        world.recover(&world.mortal(&Faults::at(n)), id).await;
    }
    world.recover(&world.engine(), id).await;
    world.verify(id).await;
}

async fn run(settings: DataSettings, cases: u32) {
    let world = World::build(&settings).await;
    let runtime = tokio::runtime::Handle::current();
    let work = move || {
        let failure_persistence = None;
        let mut runner =
            TestRunner::new(Config { cases, failure_persistence, ..Config::default() });
        runner.run(&plan(), |plan| {
            runtime.block_on(carry_out(&world, plan));
            Ok(())
        })
    };
    tokio::task::spawn_blocking(work).await.unwrap().unwrap();
}

on_each_engine!(every_saga_ends_done_or_undone, |settings: DataSettings| run(settings, 96));
