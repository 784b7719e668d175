//! A crash at every point there is, once and twice, on every way that a saga can take.

use super::*;

/// The ways: which steps answer what, and how it ends if nothing crashes.
type Way = (&'static [(&'static str, bool, &'static [Outcome])], Ending);

const WAYS: [Way; 12] = {
    use Outcome::{Doubt, Ok, Panic, Refuse, Retry};
    [
        (&[], Ending::Done),
        (&[("hotel", false, &[Doubt, Ok]), ("mail", false, &[Retry, Doubt, Ok])], Ending::Done),
        (&[("note", false, &[Retry, Ok]), ("confirm", false, &[Retry, Retry, Ok])], Ending::Done),
        // Refused after the pivot: there is no way back.
        (&[("confirm", false, &[Refuse, Ok]), ("mail", false, &[Panic, Refuse, Ok])], Ending::Done),
        (&[("open", false, &[Refuse])], Ending::Nothing),
        (&[("hotel", false, &[Refuse])], Ending::Undone),
        (&[("car", false, &[Doubt, Refuse])], Ending::Undone),
        (&[("note", false, &[Panic])], Ending::Undone),
        (&[("pay", false, &[Refuse])], Ending::Undone),
        (&[("pay", false, &[Doubt])], Ending::Undone),
        (&[("car", false, &[Retry])], Ending::Undone),
        (
            &[
                ("pay", false, &[Refuse]),
                ("hotel", true, &[Refuse, Retry, Doubt, Ok]),
                ("note", true, &[Retry, Panic, Refuse, Ok]),
            ],
            Ending::Undone,
        ),
    ]
};

fn prepare(world: &World, way: &Way) {
    world.forget_script();
    for (step, undo, outcomes) in way.0 {
        world.script(step, *undo, outcomes);
    }
}

on_each_engine!(every_way_ends_as_it_should, |settings: DataSettings| async move {
    for (n, way) in WAYS.iter().enumerate() {
        let world = World::build(&settings).await;
        prepare(&world, way);
        let id = Uuid::new_v4();
        let answer = world.engine().run(TRIP, id, Trip::named("a")).await;
        assert_eq!(world.verify(id).await, way.1, "way {n}");
        assert_eq!(answer.is_ok(), way.1 == Ending::Done, "way {n}: {answer:?}");
        // Once more: the same answer. What was undone for want of a service may try again.
        let again = world.engine().run(TRIP, id, Trip::named("b")).await;
        if answer.as_ref().is_err_and(|problem| problem.status() == 503) {
            assert_eq!(world.row(id).await.unwrap().round, 1);
        } else if way.1 != Ending::Nothing {
            assert_eq!(answer, again, "way {n}");
            assert_eq!(world.verify(id).await, way.1, "way {n}");
        }
    }
});

/// Runs a way with an engine that dies at point `n`, then with one that dies at point `m`, then
/// with one that lives. Returns whether the first two died.
async fn crash_twice(world: &World, way: &Way, n: usize, m: Option<usize>) -> (bool, bool) {
    prepare(world, way);
    let id = Uuid::new_v4();
    let first = Faults::at(n);
    let early = world.mortal(&first).run(TRIP, id, Trip::named("a")).await;
    // As after the death of its process: what it was about to do is not done.
    let mut second_died = false;
    if let Some(m) = m {
        let second = Faults::at(m);
        world.recover(&world.mortal(&second), id).await;
        second_died = second.died();
    }
    let heir = world.engine();
    world.recover(&heir, id).await;
    let ending = world.verify(id).await;
    // A crash takes longer than a saga waits for a service: what would be retried is given up.
    let impatient = way.0.iter().any(|(step, undo, outcomes)| {
        let may_pass = |o: &Outcome| matches!(o, Outcome::Retry | Outcome::Doubt);
        !undo && !["confirm", "mail"].contains(step) && outcomes.iter().any(may_pass)
    });
    assert!(
        ending == way.1
            || ending == Ending::Nothing && first.died()
            || ending == Ending::Undone && first.died() && impatient,
        "{ending:?} of {way:?} after {n} and {m:?}"
    );
    // Whoever was told an end was told the truth.
    let status = early.as_ref().err().map(Problem::status);
    if first.died() && early.is_err() && status.is_some_and(|status| status == 503) {
        return (first.died(), second_died);
    }
    let late = heir.run(TRIP, id, Trip::named("b")).await;
    if ending != Ending::Nothing {
        assert_eq!(early, late, "{ending:?} after {n} and {m:?}");
    }
    (first.died(), second_died)
}

on_each_engine!(a_crash_at_any_point_leaves_nothing_half, |settings: DataSettings| async move {
    let world = World::build(&settings).await;
    let mut points = 0;
    for way in &WAYS {
        let mut n = 0;
        while crash_twice(&world, way, n, None).await.0 {
            n += 1;
        }
        points += n;
    }
    assert!(points > 150, "{points} points");
});

on_each_engine!(a_second_crash_does_no_harm_either, |settings: DataSettings| async move {
    let world = World::build(&settings).await;
    // There, back, and with trouble on both ways.
    for way in [&WAYS[1], &WAYS[11]] {
        let mut n = 0;
        loop {
            let mut m = n % 4;
            let mut last = (true, true);
            while last == (true, true) {
                last = crash_twice(&world, way, n, Some(m)).await;
                m += 4;
            }
            if !last.0 {
                break;
            }
            n += 1;
        }
        assert!(n > 10, "{n} points");
    }
});
