//! Shared transactions: exact, bounded, and fair to those who share them.

#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use data::{
    BoxFuture, DataError, DataSettings, Database, GroupCommit, GroupCommitSettings, Migration, Sql,
    Tx, values,
};
use testkit::{cancel_at_random, eventually, on_each_engine};

const TABLES: &[&[Migration]] = &[&[Migration {
    name: "test/0001",
    sql: "CREATE TABLE vote (voter BIGINT PRIMARY KEY, item BIGINT NOT NULL)",
}]];

async fn open(settings: &DataSettings) -> Database {
    Database::open(settings, TABLES).await.unwrap()
}

async fn votes(db: &Database) -> i64 {
    db.read().row::<(i64,)>("SELECT COUNT(*) FROM vote", []).await.unwrap().unwrap().0
}

fn insert(tx: &Tx, voters: Vec<i64>) -> BoxFuture<'_, Result<Vec<i64>, DataError>> {
    Box::pin(async move {
        for voter in &voters {
            assert!(*voter != 13, "voter 13 makes it panic");
            let sql = "INSERT INTO vote (voter, item) VALUES ($1, $1 % 7)";
            tx.run(sql, values![*voter]).await?;
        }
        Ok(voters)
    })
}

on_each_engine!(
    each_item_counts_once_and_gets_its_own_answer,
    |settings: DataSettings| async move {
        let db = open(&settings).await;
        let before = *db.committed().borrow();
        let group = GroupCommit::new(db.clone(), GroupCommitSettings::default(), insert);
        let mut voters = tokio::task::JoinSet::new();
        for worker in 0..40_i64 {
            let group = group.clone();
            voters.spawn(async move {
                for n in 0..25 {
                    let voter = 1000 + worker * 25 + n;
                    assert_eq!(group.submit(voter).await, Ok(voter));
                }
            });
        }
        voters.join_all().await;
        assert_eq!(votes(&db).await, 1000);
        let commits = *db.committed().borrow() - before;
        assert!(commits < 500, "transactions are shared: {commits} for 1000 items");
    }
);

on_each_engine!(
    a_patient_batch_waits_for_more_than_its_predecessor_had,
    |settings: DataSettings| async move {
        let db = open(&settings).await;
        let sizes = Arc::new(std::sync::Mutex::new(Vec::new()));
        let (recorded, long) = (Arc::clone(&sizes), Duration::from_secs(20));
        let settings =
            GroupCommitSettings { max_batch: 3, linger: long, patient: true, ..Default::default() };
        let group = GroupCommit::new(db.clone(), settings, move |tx, voters: Vec<i64>| {
            recorded.lock().unwrap().push(voters.len());
            insert(tx, voters)
        });
        let mut voter = 0;
        while sizes.lock().unwrap().last() != Some(&2) {
            voter += 2;
            let (one, two) = tokio::join!(group.submit(voter - 1), group.submit(voter));
            assert_eq!((one, two), (Ok(voter - 1), Ok(voter)));
        }
        let (two, group) = ((voter + 1)..(voter + 3), &group);
        let waiting = futures::future::join_all(two.map(|voter| group.submit(voter)));
        let third = async {
            tokio::task::yield_now().await;
            group.submit(voter + 3).await
        };
        let (two, third) = tokio::join!(waiting, third);
        assert!(two.iter().all(Result::is_ok) && third.is_ok());
        assert_eq!(sizes.lock().unwrap().last(), Some(&3), "{sizes:?}");
    }
);

on_each_engine!(a_poisoned_item_fails_alone, |settings: DataSettings| async move {
    let db = open(&settings).await;
    db.write(|tx| insert(tx, vec![7])).await.unwrap();
    let settings = GroupCommitSettings { linger: Duration::from_millis(50), ..Default::default() };
    let group = GroupCommit::new(db.clone(), settings, insert);
    let answers = futures::future::join_all((1..=20).map(|voter| group.submit(voter))).await;
    for (voter, answer) in (1..=20).zip(answers) {
        match voter {
            7 => assert_eq!(
                answer,
                Err(DataError::UniqueViolation { constraint: "vote_pkey".into() })
            ),
            13 => assert!(matches!(answer, Err(DataError::Other(_))), "{answer:?}"),
            _ => assert_eq!(answer, Ok(voter)),
        }
    }
    assert_eq!(votes(&db).await, 19);
    assert_eq!(group.submit(21).await, Ok(21), "it goes on");
});

on_each_engine!(what_was_in_the_way_is_tried_again, |settings: DataSettings| async move {
    let db = open(&settings).await;
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    let group = GroupCommit::new(db.clone(), GroupCommitSettings::default(), move |tx, voters| {
        let call = counted.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            let done = insert(tx, voters).await?;
            if call < 2 { Err(DataError::Busy) } else { Ok(done) }
        })
    });
    assert_eq!(group.submit(1).await, Ok(1));
    assert_eq!(calls.load(Ordering::Relaxed), 3);
    assert_eq!(votes(&db).await, 1);
});

on_each_engine!(callers_that_go_away_change_nothing, |settings: DataSettings| async move {
    let db = open(&settings).await;
    let group = GroupCommit::new(db.clone(), GroupCommitSettings::default(), insert);
    let mut callers = tokio::task::JoinSet::new();
    for voter in 100..400_i64 {
        let group = group.clone();
        callers.spawn(async move {
            // The first poll hands the item over; not all get so far.
            cancel_at_random(group.submit(voter), voter.unsigned_abs()).await.is_some()
        });
    }
    let answered = callers.join_all().await.into_iter().filter(|done| *done).count();
    assert_eq!(group.submit(1).await, Ok(1), "all before it are through");
    let votes = usize::try_from(votes(&db).await).unwrap();
    assert!(votes > answered && votes <= 301, "{votes} written, {answered} answered");
});

on_each_engine!(the_queue_is_bounded, |settings: DataSettings| async move {
    let db = open(&settings).await;
    let gate = Arc::new(tokio::sync::Notify::new());
    let (entered, inside) = (Arc::clone(&gate), Arc::new(AtomicBool::new(false)));
    let is_inside = Arc::clone(&inside);
    let small = GroupCommitSettings {
        max_batch: 1,
        linger: Duration::ZERO,
        queue: 3,
        ..Default::default()
    };
    let group = GroupCommit::new(db.clone(), small, move |tx, voters| {
        let (gate, inside) = (Arc::clone(&entered), Arc::clone(&inside));
        Box::pin(async move {
            if !inside.swap(true, Ordering::SeqCst) {
                gate.notified().await;
            }
            insert(tx, voters).await
        })
    });
    let first = tokio::spawn({
        let group = group.clone();
        async move { group.submit(1).await }
    });
    eventually("the first is at work", || async { is_inside.load(Ordering::SeqCst) }).await;
    let mut waiting = Vec::new();
    for voter in 2..=4 {
        let mut submit = Box::pin({
            let group = group.clone();
            async move { group.submit(voter).await }
        });
        assert!(futures::poll!(&mut submit).is_pending());
        waiting.push(submit);
    }
    assert_eq!(group.submit(5).await, Err(DataError::Busy));
    gate.notify_one();
    assert_eq!(first.await.unwrap(), Ok(1));
    for answer in futures::future::join_all(waiting).await {
        answer.unwrap();
    }
    assert_eq!(votes(&db).await, 4);
});
