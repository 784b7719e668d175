//! A real primary and a real replica: who is read from, who is written to, and what is lost.

#![allow(clippy::unwrap_used, missing_docs)]
#![allow(clippy::print_stdout, reason = "figures for the table of faults")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use data::{DataError, DataSettings, Database, MOST_LAG, Migration, Sql, values};
use telemetry::Context;
use testkit::{PostgresPair, engine_or_skip, eventually, run};

const TABLES: &[&[Migration]] =
    &[&[Migration { name: "test/0001", sql: "CREATE TABLE note (n BIGINT PRIMARY KEY)" }]];

async fn open(settings: &DataSettings) -> Database {
    Database::open(settings, TABLES).await.unwrap()
}

async fn write(db: &Database, n: i64) -> Result<(), DataError> {
    db.write(move |tx| {
        Box::pin(
            async move { tx.run("INSERT INTO note (n) VALUES ($1)", values![n]).await.map(drop) },
        )
    })
    .await
}

async fn has(db: &Database, n: i64) -> bool {
    let sql = "SELECT n FROM note WHERE n = $1";
    db.read().row::<(i64,)>(sql, values![n]).await.unwrap().is_some()
}

/// Whether a read went to a replica.
async fn reads_replica(db: &Database) -> Result<bool, DataError> {
    Ok(db.read().row::<(bool,)>("SELECT pg_is_in_recovery()", []).await?.unwrap().0)
}

async fn fresh<T>(work: impl Future<Output = T>) -> T {
    Context { fresh: true, ..Context::background() }.scope(work).await
}

#[test]
fn reads_go_to_the_replica_unless_they_must_be_fresh() {
    run(async {
        let pair = engine_or_skip!(PostgresPair::start().await);
        let db = open(&pair.database("app").await).await;
        eventually("it is known to be a replica", async || reads_replica(&db).await == Ok(true))
            .await;
        assert!(!fresh(reads_replica(&db)).await.unwrap());
        for n in 0..50 {
            write(&db, n).await.unwrap();
            assert!(fresh(has(&db, n)).await, "one's own write");
        }
    });
}

#[test]
fn a_replica_that_lags_is_read_from_no_longer_than_anybody_may_notice() {
    run(async {
        let pair = engine_or_skip!(PostgresPair::start().await);
        let settings = pair.database("app").await;
        // Two instances: one is written to, the other is asked.
        let (here, there) = (open(&settings).await, open(&settings).await);
        eventually("it is read from", async || reads_replica(&there).await == Ok(true)).await;
        pair.replica().execute("SELECT pg_wal_replay_pause()").await;
        write(&here, 1).await.unwrap();
        let wrote = Instant::now();
        assert!(fresh(has(&there, 1)).await, "while the gateway remembers the writer");
        while wrote.elapsed() < MOST_LAG {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // By now the gateway may have forgotten, and nobody asks for what is fresh.
        for _ in 0..20 {
            assert!(has(&there, 1).await && !reads_replica(&there).await.unwrap());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        pair.replica().execute("SELECT pg_wal_replay_resume()").await;
        eventually("it is read from again", async || reads_replica(&there).await == Ok(true)).await;
        assert!(has(&there, 1).await);
    });
}

#[test]
fn a_dead_replica_costs_nothing_and_is_taken_back() {
    run(async {
        let pair = engine_or_skip!(PostgresPair::start().await);
        let db = open(&pair.database("app").await).await;
        write(&db, 1).await.unwrap();
        eventually("it is read from", async || {
            reads_replica(&db).await == Ok(true) && has(&db, 1).await
        })
        .await;
        pair.kill_replica().await;
        for _ in 0..50 {
            assert!(has(&db, 1).await, "the primary stands in");
        }
        pair.restart_replica().await;
        eventually("it is read from again", async || reads_replica(&db).await == Ok(true)).await;
        assert!(has(&db, 1).await);
    });
}

#[test]
fn a_replica_that_hangs_does_not_hold_up_a_start() {
    run(async {
        let pair = engine_or_skip!(PostgresPair::start().await);
        let settings = pair.database("app").await;
        open(&settings).await.close().await;
        pair.replica().pause();
        let began = Instant::now();
        let db = open(&settings).await;
        write(&db, 1).await.unwrap();
        assert!(has(&db, 1).await);
        let took = began.elapsed();
        // For as long, an instance waits for a shard when it starts.
        assert!(took < Duration::from_secs(2), "{took:?}");
        pair.replica().resume();
        eventually("it is read from", async || reads_replica(&db).await == Ok(true)).await;
    });
}

/// Writes 1, 2, 3 … at once from several tasks until told to stop.
struct Writers {
    stop: Arc<AtomicBool>,
    tasks: tokio::task::JoinSet<Vec<(i64, Instant)>>,
    failed: Arc<AtomicI64>,
}

impl Writers {
    fn start(db: &Database) -> Self {
        let (stop, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(0)));
        let next = Arc::new(AtomicI64::new(1));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let (db, stop) = (db.clone(), stop.clone());
            let (next, failed) = (next.clone(), failed.clone());
            tasks.spawn(async move {
                let mut acknowledged = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    let n = next.fetch_add(1, Ordering::SeqCst);
                    match write(&db, n).await {
                        Ok(()) => acknowledged.push((n, Instant::now())),
                        Err(error) => {
                            assert!(error.is_transient(), "{error:?}");
                            failed.fetch_add(1, Ordering::SeqCst);
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                    }
                }
                acknowledged
            });
        }
        Self { stop, tasks, failed }
    }

    async fn stop(self) -> (Vec<(i64, Instant)>, i64) {
        self.stop.store(true, Ordering::SeqCst);
        let acknowledged = self.tasks.join_all().await.into_iter().flatten().collect();
        (acknowledged, self.failed.load(Ordering::SeqCst))
    }
}

#[test]
fn the_promoted_replica_is_found_and_nothing_acknowledged_is_lost() {
    run(async {
        let pair = engine_or_skip!(PostgresPair::start().await);
        let settings = pair.database("app").await;
        pair.synchronous(true).await;
        let db = open(&settings).await;
        let writers = Writers::start(&db);
        eventually("writes go on", async || has_max(&db).await > 50).await;
        pair.kill_primary().await;
        let died = Instant::now();
        pair.promote_replica().await;
        let promoted = died.elapsed();
        let before = fresh_max(&db).await;
        eventually("writes go on again", async || fresh_max(&db).await > before + 50).await;
        let (acknowledged, failed) = writers.stop().await;
        let first = acknowledged.iter().map(|(_, at)| *at).filter(|at| *at > died + promoted / 2);
        let pause = first.min().unwrap() - died;
        println!(
            "failover: {:.2} s without writes, of which the promotion took {:.2} s; {failed} of {} \
             writes failed",
            pause.as_secs_f64(),
            promoted.as_secs_f64(),
            acknowledged.len() as i64 + failed
        );
        for (n, _) in &acknowledged {
            assert!(fresh(has(&db, *n)).await, "{n} was acknowledged");
        }
        // A start with the settings from before.
        let again = open(&settings).await;
        write(&again, -1).await.unwrap();
        assert!(fresh(has(&db, -1)).await);
    });
}

async fn has_max(db: &Database) -> i64 {
    let sql = "SELECT COALESCE(MAX(n), 0) FROM note";
    db.read().row::<(i64,)>(sql, []).await.ok().flatten().map_or(0, |(n,)| n)
}

async fn fresh_max(db: &Database) -> i64 {
    fresh(has_max(db)).await
}

#[test]
fn an_old_primary_that_comes_back_is_not_written_to() {
    run(async {
        let pair = engine_or_skip!(PostgresPair::start().await);
        let settings = pair.database("app").await;
        let db = open(&settings).await;
        write(&db, 1).await.unwrap();
        pair.caught_up().await;
        pair.kill_primary().await;
        pair.promote_replica().await;
        eventually("writes go on", async || write(&db, 2).await.is_ok()).await;
        // Two servers that take writes, and the settings name the old one first.
        pair.restart_primary().await;
        let newcomer = open(&settings).await;
        for n in 10..40 {
            write(&db, n).await.unwrap();
            write(&newcomer, n + 100).await.unwrap();
            assert!(has(&db, n).await && has(&newcomer, 1).await, "nor read from");
        }
        let old = DataSettings { replicas: vec![], ..settings.clone() };
        let old = open(&old).await;
        assert_eq!(has_max(&old).await, 1, "nothing was written to the old one");
        // With the new one away, no write is better than one that will be thrown away.
        pair.kill_replica().await;
        for n in 200..210 {
            let refused = write(&db, n).await;
            assert!(matches!(refused, Err(DataError::Unavailable(_))), "{refused:?}");
        }
        assert_eq!(has_max(&old).await, 1);
        pair.restart_replica().await;
        eventually("the new one is found again", async || write(&newcomer, 300).await.is_ok())
            .await;
        // As a replica it is welcome again.
        pair.rejoin_primary().await;
        eventually("it is read from", async || reads_replica(&db).await == Ok(true)).await;
        eventually("with what it had missed", async || has(&db, 300).await).await;
        assert!(!fresh(reads_replica(&db)).await.unwrap());
    });
}
