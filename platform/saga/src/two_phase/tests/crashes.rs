//! A crash at every point of the coordinator and of each participant, and questions at any time.

use super::*;

const WAYS: [(&[bool], bool); 5] = [
    (&[true, true], false),
    (&[true, false], false),
    (&[true, true], true),
    (&[true, true, true], false),
    (&[true, true, false], false),
];

on_each_engine!(the_coordinator_may_die_anywhere, |settings: DataSettings| async move {
    let world = World::build(&settings, 3).await;
    let mut points = 0;
    for (votes, refuses) in WAYS {
        let mut n = 0;
        loop {
            let case = Case { refuses, deaths: vec![n], ..Case::of(votes) };
            if !world.play(case).await.died {
                break;
            }
            n += 1;
        }
        assert!(n >= 7, "{n} points");
        points += n;
    }
    assert!(points > 40, "{points} points");
});

on_each_engine!(its_heir_may_die_as_well, |settings: DataSettings| async move {
    let world = World::build(&settings, 2).await;
    for (votes, refuses) in &WAYS[..3] {
        for n in 0..9 {
            for m in 0..9 {
                let deaths = vec![n, m];
                world.play(Case { refuses: *refuses, deaths, ..Case::of(votes) }).await;
            }
        }
    }
});

on_each_engine!(each_participant_may_die_anywhere, |settings: DataSettings| async move {
    let world = World::build(&settings, 3).await;
    for (votes, refuses) in WAYS {
        for site in 0..votes.len() {
            let mut n = 0;
            loop {
                let faults = Faults::at(n);
                let mortal = Some((site, faults.clone()));
                world.play(Case { refuses, mortal, ..Case::of(votes) }).await;
                if !faults.died() {
                    break;
                }
                n += 1;
            }
            // Before, within and after the transactions of two messages; of a no nothing commits.
            assert!(n >= 4, "{n} points");
        }
    }
});

on_each_engine!(whoever_asks_at_any_time_hears_the_same, |settings: DataSettings| async move {
    let world = World::build(&settings, 3).await;
    for (votes, refuses) in WAYS {
        for after in 0..2 * votes.len() {
            for death in [None, Some(2), Some(3), Some(4), Some(5)] {
                let deaths = death.into_iter().collect();
                let case = Case { refuses, deaths, asks_after: Some(after), ..Case::of(votes) };
                world.play(case).await;
            }
        }
    }
});

on_each_engine!(nobody_is_told_before_it_is_decided, |settings: DataSettings| async move {
    let world = World::build(&settings, 2).await;
    // Dies within the transaction of the decision: it never was, so nobody has committed, and
    // whoever asks before the heir comes hears that it is not decided.
    for point in [Point::Step, Point::Effect] {
        let faults = Faults::new(move |r| r.step == "decide" && r.point == point);
        world.play_dying(&Case::of(&[true, true]), faults, Outcome::Undecided).await;
    }
    let faults = Faults::new(|r| r.step == "decide" && r.point == Point::Recorded);
    world.play_dying(&Case::of(&[true, true]), faults, Outcome::Committed).await;
});
