//! What a transaction promises, on both engines.

#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use data::{
    DataError, DataSettings, Database, Engine, FromQueryResult, Migration, Sql, Tx, values,
};
use sea_orm::ConnectionTrait;
use testkit::{cancel_after, cancel_at_random, eventually, on_each_engine, run_on_postgres};

const TABLES: &[&[Migration]] = &[&[Migration {
    name: "test/0001",
    sql: "CREATE TABLE account (id {{id}}, name TEXT NOT NULL, kind BIGINT NOT NULL,
              rate {{float}}, picture {{bytes}}, CONSTRAINT account_name_kind_key UNIQUE (name, kind));
          CREATE TABLE entry (pair BIGINT NOT NULL, side BIGINT NOT NULL, PRIMARY KEY (pair, side));
          CREATE TABLE letter (account_id BIGINT NOT NULL REFERENCES account (id));",
}]];

#[derive(Debug, PartialEq, FromQueryResult)]
struct Account {
    id: i64,
    name: String,
    rate: Option<f64>,
    picture: Option<Vec<u8>>,
}

async fn open(settings: &DataSettings) -> Database {
    Database::open(settings, TABLES).await.unwrap()
}

async fn count(db: &Database) -> i64 {
    db.read().row::<(i64,)>("SELECT COUNT(*) FROM entry", []).await.unwrap().unwrap().0
}

async fn insert_account(tx: &Tx, name: &str, kind: i64) -> Result<i64, DataError> {
    let sql = "INSERT INTO account (name, kind) VALUES ($1, $2) RETURNING id";
    Ok(tx.row::<(i64,)>(sql, values![name, kind]).await?.unwrap().0)
}

async fn insert_pair(tx: &Tx, pair: i64) -> Result<(), DataError> {
    for side in [1_i64, 2] {
        tx.run("INSERT INTO entry (pair, side) VALUES ($1, $2)", values![pair, side]).await?;
    }
    Ok(())
}

on_each_engine!(one_text_of_sql_serves_both_engines, |settings: DataSettings| async move {
    let db = open(&settings).await;
    let id = db
        .write(|tx| {
            Box::pin(async move {
                let sql = "INSERT INTO account (name, kind, rate, picture) VALUES ($2, $1, $4, $3)
                           ON CONFLICT (name, kind) DO UPDATE SET rate = excluded.rate RETURNING id";
                let row = tx.row::<(i64,)>(sql, values![1_i64, "Ada", vec![0_u8, 255], 2.5]).await?;
                Ok::<_, DataError>(row.unwrap().0)
            })
        })
        .await
        .unwrap();
    let sql = "SELECT id, name, rate, picture FROM account WHERE name = $1 AND kind = $2";
    let ada = Account { id, name: "Ada".into(), rate: Some(2.5), picture: Some(vec![0, 255]) };
    let found = db.read().one::<Account>(sql, values!["Ada", 1_i64]).await.unwrap();
    assert_eq!(found, Some(ada));
    assert_eq!(db.read().one::<Account>(sql, values!["Ada", 2_i64]).await.unwrap(), None);
    let all = db.read().all::<Account>("SELECT * FROM account", []).await.unwrap();
    assert_eq!(all.len(), 1);
    let empty = values![None::<String>, None::<f64>];
    let null = "SELECT id FROM account WHERE name = $1 OR rate = $2";
    assert!(db.read().rows::<(i64,)>(null, empty).await.unwrap().is_empty());
});

on_each_engine!(constraints_have_the_same_names, |settings: DataSettings| async move {
    let db = open(&settings).await;
    let twice = db
        .write(|tx| {
            Box::pin(async move {
                insert_account(tx, "Ada", 1).await?;
                insert_account(tx, "Ada", 1).await
            })
        })
        .await;
    let constraint = "account_name_kind_key".to_owned();
    assert_eq!(twice, Err(DataError::UniqueViolation { constraint }));
    let pair_twice = db
        .write(|tx| {
            Box::pin(async move {
                insert_pair(tx, 1).await?;
                insert_pair(tx, 1).await
            })
        })
        .await;
    let constraint = "entry_pkey".to_owned();
    assert_eq!(pair_twice, Err(DataError::UniqueViolation { constraint }));
    let id_twice = db
        .write(|tx| {
            Box::pin(async move {
                let sql = "INSERT INTO account (id, name, kind) VALUES ($1, $2, 1)";
                tx.run(sql, values![7_i64, "b"]).await?;
                tx.run(sql, values![7_i64, "c"]).await
            })
        })
        .await;
    let constraint = "account_pkey".to_owned();
    assert_eq!(id_twice, Err(DataError::UniqueViolation { constraint }));
    let orphan: Result<u64, DataError> = db
        .write(|tx| {
            Box::pin(async move {
                tx.run("INSERT INTO letter (account_id) VALUES ($1)", values![99_i64]).await
            })
        })
        .await;
    assert_eq!(orphan, Err(DataError::ForeignKey));
    assert_eq!(count(&db).await, 0);
});

on_each_engine!(a_failed_statement_dooms_its_transaction, |settings: DataSettings| async move {
    let db = open(&settings).await;
    let swallowed: Result<(), DataError> = db
        .write(|tx| {
            Box::pin(async move {
                insert_pair(tx, 1).await?;
                insert_pair(tx, 1).await.unwrap_err();
                assert!(insert_pair(tx, 2).await.is_err(), "nothing runs after a failure");
                Ok(())
            })
        })
        .await;
    assert!(matches!(swallowed, Err(DataError::Other(_))), "{swallowed:?}");
    assert_eq!(count(&db).await, 0);
});

on_each_engine!(an_error_or_a_panic_keeps_nothing, |settings: DataSettings| async move {
    let db = open(&settings).await;
    let mut committed = db.committed();
    committed.mark_unchanged();
    let refused: Result<(), DataError> = db
        .write(|tx| {
            Box::pin(async move {
                insert_pair(tx, 1).await?;
                Err(DataError::Busy)
            })
        })
        .await;
    assert_eq!(refused, Err(DataError::Busy));
    let copy = db.clone();
    let panicked = tokio::spawn(async move {
        copy.write::<(), DataError, _>(|tx| {
            Box::pin(async move {
                insert_pair(tx, 2).await?;
                panic!("on purpose")
            })
        })
        .await
    });
    assert!(panicked.await.unwrap_err().is_panic());
    assert!(!committed.has_changed().unwrap());
    db.write(|tx| Box::pin(insert_pair(tx, 3))).await.unwrap();
    assert!(committed.has_changed().unwrap());
    assert_eq!(count(&db).await, 2);
});

on_each_engine!(writes_cut_off_anywhere_are_whole_or_absent, |settings: DataSettings| async move {
    let db = open(&DataSettings { pool: 3, ..settings }).await;
    let tries = 400_i64;
    let mut running = tokio::task::JoinSet::new();
    for pair in 0..tries {
        let db = db.clone();
        running.spawn(async move {
            let write = db.write(move |tx| {
                Box::pin(async move {
                    insert_pair(tx, pair).await?;
                    if pair % 5 == 0 {
                        return Err(DataError::ForeignKey);
                    }
                    Ok(())
                })
            });
            cancel_at_random(write, pair.unsigned_abs()).await.map(|result| (pair, result))
        });
        if pair % 16 == 0 {
            running.join_next().await;
        }
    }
    let acknowledged = running.join_all().await;
    let acknowledged = acknowledged.into_iter().flatten().filter(|(_, r)| r.is_ok()).count();
    assert!(acknowledged > 0 && acknowledged < 300, "{acknowledged}");
    eventually("all writes have ended", || async { open_transactions(&db).await == 0 }).await;
    // Those without a caller finish too; then every connection can still write.
    for pair in tries..tries + 12 {
        db.write(move |tx| Box::pin(insert_pair(tx, pair))).await.unwrap();
    }
    let halves =
        "SELECT pair FROM entry GROUP BY pair HAVING COUNT(*) <> 2 OR pair % 5 = 0 AND pair < 400";
    let halves = db.read().rows::<(i64,)>(halves, []).await.unwrap();
    assert_eq!(halves, vec![]);
    let (pairs,) = db
        .read()
        .row::<(i64,)>("SELECT COUNT(DISTINCT pair) FROM entry", [])
        .await
        .unwrap()
        .unwrap();
    assert!(pairs >= i64::try_from(acknowledged).unwrap());
});

on_each_engine!(no_step_of_a_write_is_cut_in_the_middle, |settings: DataSettings| async move {
    let db = open(&DataSettings { pool: 2, ..settings }).await;
    for polls in 0..60 {
        let write = db.write(move |tx| Box::pin(insert_pair(tx, polls)));
        cancel_after(write, u32::try_from(polls % 6).unwrap()).await;
        // Whoever has a connection next would end what was left open on it.
        eventually("nothing is left open", || async { open_transactions(&db).await == 0 }).await;
    }
});

/// Transactions that are open on the server; on SQLite a write would not get through.
async fn open_transactions(db: &Database) -> i64 {
    let sql = "SELECT COUNT(*) FROM pg_stat_activity
               WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    match db.engine() {
        Engine::Postgres => db.read().row::<(i64,)>(sql, []).await.unwrap().unwrap().0,
        Engine::Sqlite => 0,
    }
}

on_each_engine!(a_write_outlives_its_caller, |settings: DataSettings| async move {
    let db = open(&settings).await;
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let (go_on, may_go_on) = tokio::sync::oneshot::channel::<()>();
    let write = db.write(|tx| {
        Box::pin(async move {
            tx.run("INSERT INTO entry (pair, side) VALUES (1, 1)", []).await?;
            begun.send(()).unwrap();
            may_go_on.await.unwrap();
            tx.run("INSERT INTO entry (pair, side) VALUES (1, 2)", []).await
        })
    });
    tokio::select! {
        _ = write => panic!("it cannot have ended"),
        begun = has_begun => begun.unwrap(),
    }
    go_on.send(()).unwrap();
    eventually("the write is there", || async { count(&db).await == 2 }).await;
});

on_each_engine!(readers_cannot_write, |settings: DataSettings| async move {
    let db = open(&settings).await;
    let written = db.read().run("INSERT INTO entry (pair, side) VALUES (1, 1)", []).await;
    assert!(written.is_err());
    assert_eq!(count(&db).await, 0);
});

on_each_engine!(the_caller_is_known_inside_a_write, |settings: DataSettings| async move {
    let db = open(&settings).await;
    let context = telemetry::Context::background();
    let id = context.request_id.clone();
    let inside = context
        .scope(db.write(|_| {
            Box::pin(async {
                Ok::<_, DataError>(telemetry::Context::current().unwrap().request_id)
            })
        }))
        .await
        .unwrap();
    assert_eq!(inside, id);
});

#[tokio::test]
async fn a_full_disk_fails_the_write_and_nothing_else() {
    let (settings, _folder) = testkit::temp_sqlite();
    let db = open(&settings).await;
    let limit = |pages: u32| {
        db.write::<_, DataError, _>(move |tx| {
            Box::pin(async move {
                tx.execute_unprepared(&format!("PRAGMA max_page_count = {pages}")).await?;
                Ok(())
            })
        })
    };
    limit(1).await.unwrap();
    let full: Result<(), DataError> = db
        .write(|tx| {
            Box::pin(async move {
                insert_pair(tx, 1).await?;
                for kind in 0..200 {
                    insert_account(tx, &"x".repeat(4000), kind).await?;
                }
                Ok(())
            })
        })
        .await;
    assert!(matches!(full, Err(DataError::Unavailable(_))), "{full:?}");
    assert_eq!(count(&db).await, 0);
    limit(1_000_000).await.unwrap();
    db.write(|tx| Box::pin(insert_pair(tx, 2))).await.unwrap();
    assert_eq!(count(&db).await, 2);
}

#[tokio::test]
async fn a_lock_that_is_not_let_go_is_busy_in_the_end() {
    let (settings, _folder) = testkit::temp_sqlite();
    let (one, other) = (open(&settings).await, open(&settings).await);
    let (go_on, may_go_on) = tokio::sync::oneshot::channel::<()>();
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let holding = tokio::spawn(async move {
        one.write(|tx| {
            Box::pin(async move {
                insert_pair(tx, 1).await?;
                begun.send(()).unwrap();
                may_go_on.await.ok();
                Ok::<_, DataError>(())
            })
        })
        .await
    });
    has_begun.await.unwrap();
    let waiting = other.write(|tx| Box::pin(insert_pair(tx, 2)));
    let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap();
    assert_eq!(waited, Err(DataError::Busy));
    assert_eq!(count(&other).await, 0, "readers are not held up");
    go_on.send(()).unwrap();
    holding.await.unwrap().unwrap();
    other.write(|tx| Box::pin(insert_pair(tx, 2))).await.unwrap();
    assert_eq!(count(&other).await, 4);
}

on_each_engine!(reads_cut_off_anywhere_poison_nothing, |settings: DataSettings| async move {
    let db = open(&DataSettings { readers: 2, ..settings }).await;
    db.write(|tx| Box::pin(insert_pair(tx, 1))).await.unwrap();
    let mut readers = tokio::task::JoinSet::new();
    for seed in 0..300 {
        let db = db.clone();
        readers.spawn(async move { cancel_at_random(count(&db), seed).await });
    }
    let counted = readers.join_all().await.into_iter().flatten().collect::<Vec<_>>();
    assert!(!counted.is_empty() && counted.len() < 300, "{}", counted.len());
    assert!(counted.iter().all(|n| *n == 2), "{counted:?}");
    let all = futures::future::join_all((0..20).map(|_| count(&db))).await;
    assert_eq!(all, [2; 20]);
});

#[tokio::test]
async fn a_transaction_that_hangs_does_not_hold_the_others() {
    let (settings, _folder) = testkit::temp_sqlite();
    let db = open(&settings).await;
    let hanging: Result<(), DataError> = db
        .write(|tx| {
            Box::pin(async move {
                insert_pair(tx, 1).await?;
                // From here on only timers move the clock, and they do so at once.
                tokio::time::pause();
                std::future::pending().await
            })
        })
        .await;
    tokio::time::resume();
    assert!(matches!(hanging, Err(DataError::Unavailable(_))), "{hanging:?}");
    db.write(|tx| Box::pin(insert_pair(tx, 1))).await.unwrap();
    assert_eq!(count(&db).await, 2);
}

#[test]
fn statements_are_prepared_once_a_connection() {
    run_on_postgres("statements_are_prepared_once_a_connection", |settings| async move {
        let db = open(&DataSettings { pool: 1, ..settings }).await;
        for n in 0..20 {
            db.write(move |tx| Box::pin(insert_pair(tx, n))).await.unwrap();
        }
        let plans = db
            .write(|tx| {
                Box::pin(async move {
                    let sql = "SELECT generic_plans + custom_plans FROM pg_prepared_statements
                               WHERE statement LIKE 'INSERT INTO entry%'";
                    tx.rows::<(i64,)>(sql, []).await
                })
            })
            .await
            .unwrap_or_else(|error: DataError| panic!("{error}"));
        assert_eq!(plans, [(40,)], "one statement, used for each of 20 pairs twice");
    });
}
