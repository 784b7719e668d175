//! One database, several openers: processes that share a file, ways to a server.

#![allow(clippy::unwrap_used, missing_docs)]

use std::time::{Duration, Instant};

use data::{
    BoxFuture, DataError, DataSettings, Database, GroupCommit, GroupCommitSettings, Migration, Sql,
    Tx, values,
};
use telemetry::Context;
use testkit::{Link, eventually, on_each_engine, run_on_postgres};

const TABLES: &[&[Migration]] = &[&[Migration {
    name: "test/0001",
    sql: "CREATE TABLE tally (name TEXT PRIMARY KEY, n BIGINT NOT NULL);
          INSERT INTO tally (name, n) VALUES ('all', 0)",
}]];

fn increment<'t>(tx: &'t Tx, by: Vec<i64>) -> BoxFuture<'t, Result<Vec<i64>, DataError>> {
    Box::pin(async move {
        let sql = "UPDATE tally SET n = n + $1 WHERE name = 'all' RETURNING n";
        let sum: i64 = by.iter().sum();
        let (n,) = tx.row::<(i64,)>(sql, values![sum]).await?.unwrap();
        Ok(vec![n; by.len()])
    })
}

async fn total(db: &Database) -> i64 {
    db.read().row::<(i64,)>("SELECT n FROM tally WHERE name = 'all'", []).await.unwrap().unwrap().0
}

on_each_engine!(openers_write_side_by_side, |settings: DataSettings| async move {
    let mut writers = tokio::task::JoinSet::new();
    let began = Instant::now();
    for _ in 0..3 {
        // Each as a process of its own would have it.
        let db = Database::open(&settings, TABLES).await.unwrap();
        for _ in 0..4 {
            let db = db.clone();
            writers.spawn(async move {
                for _ in 0..25 {
                    db.write(|tx| increment(tx, vec![1])).await.unwrap();
                }
            });
        }
    }
    writers.join_all().await;
    let db = Database::open(&settings, TABLES).await.unwrap();
    assert_eq!(total(&db).await, 300);
    assert!(began.elapsed() < Duration::from_secs(60));
});

on_each_engine!(nobody_starves_beside_a_busy_sibling, |settings: DataSettings| async move {
    let busy = Database::open(&settings, TABLES).await.unwrap();
    let group = GroupCommit::new(busy, GroupCommitSettings::default(), increment);
    let mut load = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let group = group.clone();
        load.spawn(async move {
            loop {
                group.submit(1).await.unwrap();
            }
        });
    }
    let other = Database::open(&settings, TABLES).await.unwrap();
    for _ in 0..20 {
        // Busy would come after 5 s.
        other.write(|tx| increment(tx, vec![1])).await.unwrap();
    }
    load.shutdown().await;
});

#[test]
fn the_new_primary_is_found() {
    run_on_postgres("the_new_primary_is_found", |settings| async move {
        // Two ways to one server: cutting the first is, to who uses it, a primary that dies and a
        // replica that takes over.
        let old = Link::to(&settings).await;
        let both = DataSettings { replicas: vec![settings.primary.clone()], ..old.settings() };
        let db = Database::open(&both, TABLES).await.unwrap();
        let group = GroupCommit::new(db.clone(), GroupCommitSettings::default(), increment);
        db.write(|tx| increment(tx, vec![1])).await.unwrap();
        old.cut().await;
        let mut written = 1;
        eventually("writes get through again", || {
            let write = db.write(|tx| increment(tx, vec![1]));
            async { write.await.is_ok() }
        })
        .await;
        written += 1;
        group.submit(1).await.unwrap();
        written += 1;
        let mut context = Context::background();
        context.fresh = true;
        assert_eq!(context.scope(total(&db)).await, written);

        // A start after the exchange, with the settings from before it.
        let db = Database::open(&both, TABLES).await.unwrap();
        db.write(|tx| increment(tx, vec![1])).await.unwrap();
        assert_eq!(total(&db).await, written + 1);
    });
}

#[test]
fn a_server_that_starts_again_is_used_again() {
    run_on_postgres("a_server_that_starts_again_is_used_again", |settings| async move {
        let link = Link::to(&settings).await;
        let db = Database::open(&link.settings(), TABLES).await.unwrap();
        link.cut().await;
        let gone = db.write(|tx| increment(tx, vec![1])).await;
        assert!(matches!(gone, Err(DataError::Unavailable(_))), "{gone:?}");
        link.mend().await;
        eventually("writes get through again", || {
            let write = db.write(|tx| increment(tx, vec![1]));
            async { write.await.is_ok() }
        })
        .await;
        assert_eq!(total(&db).await, 1);
    });
}
