//! Any votes, any faults, any deaths, together.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;

fn fault() -> impl Strategy<Value = (usize, Op, Fault)> {
    let op = prop::sample::select(vec![Op::Prepare, Op::Commit, Op::Abort, Op::Ask]);
    (0..3_usize, op, prop::sample::select(Fault::ALL.to_vec()))
}

/// Votes, a refusal, faults, deaths of coordinators, the death of a participant, questions.
type Plan =
    (Vec<bool>, bool, Vec<(usize, Op, Fault)>, Vec<usize>, Option<(usize, usize)>, Option<usize>);

fn plan() -> impl Strategy<Value = Plan> {
    let votes = vec(prop::bool::weighted(0.85), 2..=3);
    let deaths = vec(0..12_usize, 0..3);
    let mortal = option::of((0..3_usize, 0..12_usize));
    (votes, prop::bool::weighted(0.1), vec(fault(), 0..6), deaths, mortal, option::of(0..9_usize))
}

async fn play(world: &World, plan: Plan) {
    let (votes, refuses, faults, deaths, mortal, asks_after) = plan;
    let mortal = mortal.map(|(site, n)| (site, Faults::at(n)));
    world.play(Case { votes, refuses, faults, deaths, mortal, asks_after }).await;
}

async fn run(settings: DataSettings, cases: u32) {
    let world = World::build(&settings, 3).await;
    let runtime = tokio::runtime::Handle::current();
    let work = move || {
        let config = Config { cases, failure_persistence: None, ..Config::default() };
        let played = TestRunner::new(config).run(&plan(), |plan| {
            runtime.block_on(play(&world, plan));
            Ok(())
        });
        played.unwrap();
    };
    tokio::task::spawn_blocking(work).await.unwrap();
}

on_each_engine!(all_or_none_whatever_happens, |settings: DataSettings| run(settings, 128));
