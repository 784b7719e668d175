//! Every message lost, doubled, delayed and overtaken; with two and three participants; for every
//! kind of vote.

use super::*;

/// How they vote, and whether the coordinator's own part refuses.
const VOTES: [(&[bool], bool); 7] = [
    (&[true, true], false),
    (&[false, true], false),
    (&[true, true], true),
    (&[true, true, true], false),
    (&[true, false, true], false),
    (&[false, false, false], false),
    (&[true, true, true], true),
];

on_each_engine!(without_faults_the_votes_decide, |settings: DataSettings| async move {
    let world = World::build(&settings, 3).await;
    for n in 0..8 {
        let votes = [n & 1 > 0, n & 2 > 0, n & 4 > 0];
        for refuses in [false, true] {
            let tale = world.play(Case { refuses, ..Case::of(&votes) }).await;
            let all = votes.iter().all(|yes| *yes) && !refuses;
            let expected = if all { Outcome::Committed } else { Outcome::Aborted };
            assert_eq!(tale.outcome, expected, "{tale:?}");
            assert_eq!(tale.answer.is_ok(), all, "{tale:?}");
        }
    }
});

on_each_engine!(every_message_may_be_lost_doubled_or_late, |settings: DataSettings| async move {
    let world = World::build(&settings, 3).await;
    let mut played = 0;
    for (votes, refuses) in VOTES {
        let yes = votes.iter().all(|yes| *yes) && !refuses;
        for site in 0..votes.len() {
            for op in [Op::Prepare, if yes { Op::Commit } else { Op::Abort }] {
                for fault in Fault::ALL {
                    let faults = vec![(site, op, fault)];
                    let tale = world.play(Case { refuses, faults, ..Case::of(votes) }).await;
                    // One message is always made good.
                    let expected = if yes { Outcome::Committed } else { Outcome::Aborted };
                    assert_eq!(tale.outcome, expected, "{op:?} {fault:?} at {site}: {tale:?}");
                    played += 1;
                }
            }
        }
    }
    assert_eq!(played, 2 * 8 * (3 * 2 + 4 * 3));
});

on_each_engine!(a_participant_nobody_hears_of_stops_it, |settings: DataSettings| async move {
    let world = World::build(&settings, 2).await;
    for fault in [Fault::Lost, Fault::AnswerLost, Fault::Late(When::AtTheEnd)] {
        let faults = vec![(1, Op::Prepare, fault); 20];
        let tale = world.play(Case { faults, ..Case::of(&[true, true]) }).await;
        assert_eq!(tale.outcome, Outcome::Aborted, "{tale:?}");
        assert_eq!(tale.answer.unwrap_err().status(), 503);
    }
    // Once it is decided there is no way back, however long it takes to tell.
    let faults = vec![(1, Op::Commit, Fault::Lost); 20];
    let tale = world.play(Case { faults, ..Case::of(&[true, true]) }).await;
    assert_eq!(tale.outcome, Outcome::Committed, "{tale:?}");
});
