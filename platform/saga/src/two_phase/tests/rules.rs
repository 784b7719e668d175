//! What a participant answers to messages that come out of turn, and what becomes of its records.

use std::time::Duration;

use tasks::Tasks;
use testkit::eventually;

use super::*;
use crate::tests::world::settings;
use crate::two_phase::{MIGRATIONS, NoTxId};

async fn site(at: &DataSettings) -> (Site, Arc<AtomicI64>, TxId) {
    let time = Arc::new(AtomicI64::new(1_000_000));
    let site = Site::build(at, settings(&time)).await;
    (site, time, TxId { id: Uuid::new_v4(), round: 0 })
}

/// A coordinator that always says the same, and counts the questions.
#[derive(Clone)]
struct Says(Result<Outcome, StepError>, Arc<AtomicUsize>);

impl Coordinator for Says {
    async fn outcome(&self, _: TxId) -> Result<Outcome, StepError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.clone()
    }
}

on_each_engine!(a_prepare_after_an_abort_is_refused, |at: DataSettings| async move {
    let (site, _, id) = site(&at).await;
    let process = site.process(None);
    process.abort(id).await.unwrap();
    let late = process.prepare(id, true).await.unwrap();
    assert!(matches!(late, Vote::No(_)), "{late:?}");
    process.abort(id).await.unwrap();
    assert_eq!(site.seen(id).await, (Some("aborted".into()), vec![]));
    // Another round of the same saga is another transaction.
    let next = TxId { round: 1, ..id };
    assert_eq!(process.prepare(next, true).await.unwrap(), Vote::Yes);
});

on_each_engine!(a_repeat_changes_nothing, |at: DataSettings| async move {
    let (site, _, id) = site(&at).await;
    let process = site.process(None);
    for _ in 0..3 {
        assert_eq!(process.prepare(id, true).await.unwrap(), Vote::Yes);
    }
    for _ in 0..3 {
        process.commit(id).await.unwrap();
    }
    assert!(matches!(process.prepare(id, true).await.unwrap(), Vote::No(_)));
    // A coordinator that says both is broken, and is told so.
    assert!(matches!(process.abort(id).await, Err(StepError::Undo(_))));
    let done = ["1 held", "2 done"].map(String::from).to_vec();
    assert_eq!(site.seen(id).await, (Some("committed".into()), done));
});

on_each_engine!(a_no_holds_nothing, |at: DataSettings| async move {
    let (site, _, id) = site(&at).await;
    let vote = site.process(None).prepare(id, false).await.unwrap();
    assert_eq!(vote, Vote::No(Problem::conflict("no")));
    assert_eq!(site.seen(id).await, (None, vec![]));
});

on_each_engine!(the_worker_asks_until_it_knows, |at: DataSettings| async move {
    let (site, time, id) = site(&at).await;
    let (process, asked) = (site.process(None), Arc::new(AtomicUsize::new(0)));
    assert_eq!(process.prepare(id, true).await.unwrap(), Vote::Yes);
    let away = Says(Err(StepError::Retry("away".into())), asked.clone());
    assert_eq!(process.ask(&away).await.unwrap(), 0, "not yet: it may be told any moment");
    let (tasks, others) = (Tasks::new(), site.process(None));
    process.start(&tasks, away.clone());
    others.start(&tasks, Says(Ok(Outcome::Undecided), asked.clone()));
    for n in 1..4 {
        time.fetch_add(6_000, Ordering::SeqCst);
        eventually("it is asked", || async { asked.load(Ordering::SeqCst) >= n }).await;
        assert_eq!(site.seen(id).await.0.as_deref(), Some("prepared"));
    }
    tasks.stop().await;
    let asked_before = asked.load(Ordering::SeqCst);
    assert!(asked_before <= 6, "not each time that it looks: {asked_before}");
    let tasks = Tasks::new();
    process.start(&tasks, Says(Ok(Outcome::Aborted), asked.clone()));
    time.fetch_add(6_000, Ordering::SeqCst);
    eventually("it is aborted", || async { site.seen(id).await.0.as_deref() == Some("aborted") })
        .await;
    tasks.stop().await;
});

on_each_engine!(what_ended_long_ago_is_forgotten_later, |at: DataSettings| async move {
    let (site, time, id) = site(&at).await;
    let process = site.process(None);
    let open = TxId { round: 1, ..id };
    process.prepare(id, true).await.unwrap();
    process.prepare(open, true).await.unwrap();
    process.commit(id).await.unwrap();
    let keep = Settings::default().keep;
    let pass = |by: Duration| time.fetch_add(by.as_millis() as i64, Ordering::SeqCst);
    pass(keep + Duration::from_secs(1));
    process.clean().await.unwrap();
    assert!(site.seen(id).await.0.is_some(), "coordinators forget first");
    pass(keep);
    process.clean().await.unwrap();
    assert_eq!(site.seen(id).await.0, None);
    assert_eq!(site.seen(open).await.0.as_deref(), Some("prepared"), "never what is open");
    // The coordinator had not heard that it was done.
    process.commit(id).await.unwrap();
});

on_each_engine!(all_votes_are_no_decision_yet, |at: DataSettings| async move {
    let (site, time, _) = site(&at).await;
    let db = Database::open(&testkit::sibling(&at, "other").await, &[crate::MIGRATIONS]).await;
    let db = db.unwrap();
    // Where everybody has voted yes and the coordinator's own part cannot be done just now, the
    // saga is given back with its first step on record.
    let engine = |decided: Result<i64, StepError>| {
        let patient = Settings {
            first_pause: Duration::from_secs(3),
            longest_pause: Duration::from_secs(3),
            wait: Duration::from_millis(100),
            ..settings(&time)
        };
        let all = Participants::new().with("site", |_: &i64| true, site.process(None));
        Engine::new(db.clone(), patient).register(Definition::new("slow").two_phase(
            all,
            move |_, _, _| {
                let decided = decided.clone();
                Box::pin(async move { decided })
            },
        ))
    };
    let busy = engine(Err(StepError::Retry("busy".into())));
    let id = TxId { id: Uuid::new_v4(), round: 0 };
    assert_eq!(busy.run("slow", id.saga(), 7_i64).await.unwrap_err().status(), 503);
    let row = crate::store::load(&db, id.saga()).await.unwrap().unwrap();
    assert_eq!((row.step, row.owner), (1, None));
    assert_eq!(busy.outcome(id).await.unwrap(), Outcome::Undecided);
    time.fetch_add(6_000, Ordering::SeqCst);
    assert_eq!(site.process(None).ask(&busy).await.unwrap(), 1);
    assert_eq!(site.seen(id).await.0.as_deref(), Some("prepared"));
    let room = Arc::new(tokio::sync::Semaphore::new(1));
    let able = engine(Ok(8));
    crate::recovery::take_up(&able, &room).await.unwrap();
    drop(room.acquire().await.unwrap());
    assert_eq!(able.outcome(id).await.unwrap(), Outcome::Committed);
    assert_eq!(site.seen(id).await.0.as_deref(), Some("committed"));
});

on_each_engine!(a_coordinator_knows_nothing_of_what_it_forgot, |at: DataSettings| async move {
    let world = World::build(&at, 0).await;
    let id = TxId { id: Uuid::new_v4(), round: 0 };
    assert_eq!(world.bystander().outcome(id).await.unwrap(), Outcome::Aborted);
    // And one that does not know the kind does not guess.
    let db =
        Database::open(&testkit::sibling(&at, "other").await, &[crate::MIGRATIONS, MIGRATIONS])
            .await
            .unwrap();
    let engine = Engine::new(db.clone(), settings(&world.time));
    let faults = Some(Faults::new(|reached| reached.point == Point::Effect));
    let dying = Engine::new(db, Settings { faults, ..settings(&world.time) })
        .register(Definition::<i64>::new("other").remote("a", |_, n| async move { Ok(n) }));
    dying.run("other", id.saga(), 1_i64).await.unwrap_err();
    assert!(matches!(engine.outcome(id).await, Err(StepError::Retry(_))));
});

#[test]
fn ids_travel_as_text() {
    let id = TxId { id: Uuid::from_u128(7), round: 3 };
    assert_eq!(id.to_string().parse(), Ok(id));
    assert_ne!(id.uuid(), TxId { round: 0, ..id }.uuid());
    for text in ["", "x.1", "00000000-0000-0000-0000-000000000007", "a.b.c"] {
        assert_eq!(text.parse::<TxId>(), Err(NoTxId), "{text}");
    }
    let negative = format!("{}.-1", id.saga());
    assert_eq!(negative.parse::<TxId>(), Err(NoTxId));
}
