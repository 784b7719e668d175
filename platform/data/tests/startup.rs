//! Opening: raced by several, or refused with one line and without a trace.

#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::PathBuf;

use data::{DataError, DataSettings, Database, Engine, Migration, Sql, values};
use testkit::{on_each_engine, temp_sqlite};

const FIRST: Migration = Migration {
    name: "test/0001",
    sql: "CREATE TABLE shelf (id {{id}}, label TEXT NOT NULL); INSERT INTO shelf (label) VALUES ('a')",
};
const SECOND: Migration = Migration {
    name: "test/0002",
    sql: "INSERT INTO shelf (label) VALUES ('b'); CREATE TABLE book (shelf_id BIGINT NOT NULL)",
};
const BROKEN: Migration = Migration {
    name: "test/0003",
    sql: "INSERT INTO shelf (label) VALUES ('c'); CREATE TABLE shelf (id BIGINT)",
};

async fn shelves(db: &Database) -> Vec<(String,)> {
    db.read().rows("SELECT label FROM shelf ORDER BY id", []).await.unwrap()
}

async fn refusal(settings: &DataSettings, migrations: &[&[Migration]]) -> String {
    match Database::open(settings, migrations).await {
        Err(DataError::Startup(line)) => {
            assert!(!line.contains('\n'), "one line: {line}");
            line
        }
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was opened"),
    }
}

on_each_engine!(openers_race_and_each_step_is_taken_once, |settings: DataSettings| async move {
    let mut openers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let settings = settings.clone();
        openers.spawn(async move { Database::open(&settings, &[&[FIRST], &[SECOND]]).await });
    }
    for opened in openers.join_all().await {
        let labels = shelves(&opened.unwrap()).await;
        assert_eq!(labels, [("a".to_owned(),), ("b".to_owned(),)]);
    }
});

on_each_engine!(
    migrating_alone_is_done_by_whoever_comes_first,
    |settings: DataSettings| async move {
        let mut migrators = tokio::task::JoinSet::new();
        for n in 0..12 {
            let settings = settings.clone();
            migrators.spawn(async move {
                let steps: &[&[Migration]] = &[&[FIRST], &[SECOND]];
                match n % 3 {
                    0 => Database::open(&settings, steps).await.map(|_| 0),
                    _ => Database::migrate_only(&settings, steps).await,
                }
            });
        }
        let applied = migrators.join_all().await.into_iter().map(Result::unwrap);
        assert!([0, 2].contains(&applied.sum::<usize>()), "once, by one of them");
        assert_eq!(Database::migrate_only(&settings, &[&[FIRST], &[SECOND]]).await, Ok(0));
        let db = Database::open(&settings, &[&[FIRST], &[SECOND]]).await.unwrap();
        assert_eq!(shelves(&db).await.len(), 2);
    }
);

on_each_engine!(a_later_version_adds_its_steps, |settings: DataSettings| async move {
    Database::open(&settings, &[&[FIRST]]).await.unwrap();
    let db = Database::open(&settings, &[&[FIRST, SECOND]]).await.unwrap();
    assert_eq!(shelves(&db).await.len(), 2);
    let again = Database::open(&settings, &[&[FIRST, SECOND]]).await.unwrap();
    assert_eq!(shelves(&again).await.len(), 2);
});

on_each_engine!(a_step_that_fails_leaves_nothing, |settings: DataSettings| async move {
    let line = refusal(&settings, &[&[FIRST, SECOND, BROKEN]]).await;
    assert!(line.contains("test/0003"), "{line}");
    let db = Database::open(&settings, &[]).await.unwrap();
    assert!(db.read().rows::<(String,)>("SELECT label FROM shelf", []).await.is_err());
});

on_each_engine!(a_newer_database_is_refused, |settings: DataSettings| async move {
    let db = Database::open(&settings, &[&[FIRST, SECOND]]).await.unwrap();
    let line = refusal(&settings, &[&[FIRST]]).await;
    assert!(line.contains("newer version") && line.contains("test/0002"), "{line}");
    let changed = Migration { sql: "CREATE TABLE shelf (id {{id}})", ..FIRST };
    let line = refusal(&settings, &[&[changed, SECOND, BROKEN]]).await;
    assert!(line.contains("another `test/0001`"), "{line}");
    assert_eq!(shelves(&db).await.len(), 2);
    if db.engine() == Engine::Postgres {
        assert!(!line.contains("host="), "no parameters, no secrets: {line}");
    }
});

fn file(settings: &DataSettings) -> PathBuf {
    PathBuf::from(settings.primary.trim_start_matches("sqlite:"))
}

/// A database of some pages, closed, as a plain file.
async fn closed(settings: &DataSettings) -> Vec<u8> {
    let db = Database::open(settings, &[&[FIRST, SECOND]]).await.unwrap();
    for label in 0..400 {
        db.write(move |tx| {
            Box::pin(async move {
                let label = format!("{label:0100}");
                tx.run("INSERT INTO shelf (label) VALUES ($1)", values![label]).await
            })
        })
        .await
        .unwrap_or_else(|error: DataError| panic!("{error}"));
    }
    db.close().await;
    fs::read(file(settings)).unwrap()
}

#[tokio::test]
async fn a_newer_file_is_not_touched() {
    let (settings, folder) = temp_sqlite();
    let before = closed(&settings).await;
    refusal(&settings, &[&[FIRST]]).await;
    assert!(fs::read(file(&settings)).unwrap() == before, "it was written to");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was left beside it");
}

#[tokio::test]
async fn damage_is_refused_and_not_touched() {
    let (settings, _folder) = temp_sqlite();
    let whole = closed(&settings).await;
    assert!(whole.len() > 40_000);
    let mut overwritten = whole.clone();
    overwritten[8192..36_000].fill(0x5a);
    let mut header = whole.clone();
    header[..16].copy_from_slice(b"Not a database!\0");
    let truncated = whole[..whole.len() / 2 / 4096 * 4096].to_vec();
    let cases = [
        ("text", b"these are my notes, not a database\n".repeat(9)),
        ("short", whole[..60].to_vec()),
        ("header", header),
        ("truncated", truncated),
        ("overwritten", overwritten),
    ];
    for (name, bytes) in cases {
        fs::write(file(&settings), &bytes).unwrap();
        let line = refusal(&settings, &[&[FIRST, SECOND]]).await;
        assert!(line.contains("damaged") && line.contains("test.db"), "{name}: {line}");
        assert!(fs::read(file(&settings)).unwrap() == bytes, "{name} was written to");
    }
    fs::write(file(&settings), &whole).unwrap();
    assert_eq!(
        shelves(&Database::open(&settings, &[&[FIRST, SECOND]]).await.unwrap()).await.len(),
        402
    );
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    let (settings, folder) = temp_sqlite();
    let in_the_way = folder.path().join("file");
    fs::write(&in_the_way, "").unwrap();
    let inside = DataSettings::sqlite(in_the_way.join("deep/a.db"));
    let line = refusal(&inside, &[&[FIRST]]).await;
    assert!(line.contains("folder") && line.contains("file/deep"), "{line}");
    // A folder where the file should be.
    fs::create_dir(file(&settings)).unwrap();
    let line = refusal(&settings, &[&[FIRST]]).await;
    assert!(line.contains("test.db"), "{line}");
}

#[tokio::test]
async fn a_folder_is_made_for_a_new_file() {
    let (_, folder) = temp_sqlite();
    let settings = DataSettings::sqlite(folder.path().join("a/b/c.db"));
    let db = Database::open(&settings, &[&[FIRST]]).await.unwrap();
    assert_eq!(db.name(), "c");
    assert_eq!(shelves(&db).await.len(), 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_without_its_password() {
    let settings = DataSettings::postgres("postgres://me:secret@127.0.0.1:1/none");
    let line = refusal(&settings, &[&[FIRST]]).await;
    assert!(line.contains("127.0.0.1:1/none") && !line.contains("secret"), "{line}");
    let settings = DataSettings::postgres("mongodb://me:secret@h/none");
    let line = refusal(&settings, &[&[FIRST]]).await;
    assert!(!line.contains("secret"), "{line}");
}
