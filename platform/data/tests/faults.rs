//! A network that fails, a disk that is full: errors come in time, and what was acknowledged is
//! there.

#![allow(clippy::unwrap_used, missing_docs)]
#![allow(clippy::print_stdout, reason = "figures for the table of faults")]

use std::time::{Duration, Instant};

use data::{DataError, DataSettings, Database, Migration, Sql, values};
use telemetry::Context;
use testkit::{Postgres, Proxy, engine_or_skip, eventually, run, run_on_postgres};

const TABLES: &[&[Migration]] = &[&[Migration {
    name: "test/0001",
    sql: "CREATE TABLE note (n BIGINT PRIMARY KEY, text TEXT NOT NULL)",
}]];

/// A server that says nothing is noticed within 3 s, and then no connection is waited for longer
/// than another 3 s.
const BOUND: Duration = Duration::from_secs(7);

async fn write(db: &Database, n: i64) -> Result<(), DataError> {
    db.write(move |tx| {
        Box::pin(async move {
            let sql = "INSERT INTO note (n, text) VALUES ($1, $2)";
            tx.run(sql, values![n, "x".repeat(2_000)]).await.map(drop)
        })
    })
    .await
}

async fn read(db: &Database) -> Result<Vec<(i64, String)>, DataError> {
    let context = Context { fresh: true, ..Context::background() };
    context.scope(async { db.read().rows("SELECT n, text FROM note", []).await }).await
}

/// Writes and reads through a way with a fault, then mends it.
async fn survives(name: &'static str, fault: impl FnOnce(&Proxy)) {
    let server = engine_or_skip!(Postgres::start().await);
    server.database("app").await;
    let way = Proxy::to(server.address()).await;
    let settings = DataSettings::postgres(format!("postgres://postgres@{}/app", way.address()));
    let db = Database::open(&settings, TABLES).await.unwrap();
    let mut acknowledged = Vec::new();
    for n in 0..5 {
        write(&db, n).await.unwrap();
        acknowledged.push(n);
    }
    fault(&way);
    let (mut errors, mut longest) = (0, Duration::ZERO);
    let began = Instant::now();
    for n in 5.. {
        let (wrote, found) = tokio::join!(timed(write(&db, n)), timed(read(&db)));
        for (time, error) in [(wrote.0, wrote.1.as_ref().err()), (found.0, found.1.as_ref().err())]
        {
            longest = longest.max(time);
            errors += u32::from(error.is_some());
            assert!(time < BOUND, "{name}: {time:?}");
            assert!(error.is_none_or(|e| matches!(e, DataError::Unavailable(_))), "{error:?}");
        }
        if wrote.1.is_ok() {
            acknowledged.push(n);
        }
        if began.elapsed() > Duration::from_secs(6) || n == 60 {
            break;
        }
    }
    way.mend().await;
    let mended = Instant::now();
    eventually("writes go on", async || write(&db, -1).await.is_ok()).await;
    println!(
        "{name}: {errors} errors, the slowest answer after {:.2} s, recovered in {:.2} s",
        longest.as_secs_f64(),
        mended.elapsed().as_secs_f64()
    );
    let found = read(&db).await.unwrap();
    for n in acknowledged {
        assert!(found.iter().any(|(found, _)| *found == n), "{name}: {n} was acknowledged");
    }
}

async fn timed<T>(work: impl Future<Output = T>) -> (Duration, T) {
    let began = Instant::now();
    let done = work.await;
    (began.elapsed(), done)
}

#[test]
fn half_a_second_of_delay() {
    run(survives("delay", |way| way.delay(Duration::from_millis(500))));
}

#[test]
fn a_third_of_the_packets_lost() {
    run(survives("loss", |way| way.drop_bytes(30)));
}

#[test]
fn answers_that_do_not_come() {
    run(survives("one-way", Proxy::one_way));
}

#[test]
fn resets_in_the_middle_of_an_answer() {
    run(survives("reset", |way| way.reset_after(3_000)));
}

#[test]
fn a_server_that_says_nothing() {
    run(survives("hang", Proxy::hang));
}

#[test]
fn a_server_with_no_connection_to_spare_is_not_taken_for_dead() {
    run(async {
        let server = engine_or_skip!(Postgres::start().await);
        server.database("app").await;
        server.execute("CREATE ROLE few LOGIN").await;
        server.execute("ALTER DATABASE app OWNER TO few").await;
        let url = format!("postgres://few@{}/app", server.address());
        let settings = DataSettings { pool: 1, readers: 1, ..DataSettings::postgres(url) };
        let db = Database::open(&settings, TABLES).await.unwrap();
        write(&db, 0).await.unwrap();
        read(&db).await.unwrap();
        // No more than those two: whoever asks what the server is has lost the way there.
        server.execute("ALTER ROLE few CONNECTION LIMIT 2").await;
        server
            .execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE usename = 'few' AND query LIKE '%pg_is_in_recovery%'",
            )
            .await;
        let began = Instant::now();
        for n in 1.. {
            write(&db, n).await.unwrap();
            assert_eq!(read(&db).await.unwrap().len() as i64, n + 1);
            if began.elapsed() > Duration::from_secs(3) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}

#[test]
fn a_full_disk_is_unavailable_and_nothing_is_lost() {
    let name = "a_full_disk_is_unavailable_and_nothing_is_lost";
    run_on_postgres(name, |settings| async move {
        let db = Database::open(&settings, TABLES).await.unwrap();
        write(&db, 1).await.unwrap();
        // What PostgreSQL says when a file cannot grow, at the moment when it says it.
        let full = "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                        RAISE EXCEPTION 'could not extend file: No space left on device'
                            USING ERRCODE = '53100';
                    END $$;
                    CREATE TRIGGER full_disk AFTER INSERT ON note
                        FOR EACH ROW EXECUTE FUNCTION full_disk()";
        execute(&db, full).await;
        for n in 2..5 {
            let refused = write(&db, n).await;
            assert!(matches!(refused, Err(DataError::Unavailable(_))), "{refused:?}");
            assert_eq!(read(&db).await.unwrap().len(), 1, "reads go on");
        }
        execute(&db, "DROP TRIGGER full_disk ON note").await;
        write(&db, 5).await.unwrap();
        let found: Vec<i64> = read(&db).await.unwrap().into_iter().map(|(n, _)| n).collect();
        assert_eq!(found, [1, 5]);
    });
}

async fn execute(db: &Database, sql: &'static str) {
    use data::sea_orm::ConnectionTrait;
    let done: Result<(), DataError> = db
        .write(move |tx| {
            Box::pin(async move {
                tx.execute_unprepared(sql).await?;
                Ok(())
            })
        })
        .await;
    done.unwrap();
}
