//! Each server answers after its start, is gone when it is killed, keeps what it was told, and
//! leaves nothing behind.

#![allow(clippy::unwrap_used, missing_docs)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use data::sea_orm::sqlx::{self, Connection, Executor, PgConnection};
use testkit::{Nats, Postgres, PostgresPair, Redis, S3, Server, engine_or_skip, eventually};

/// Sends `question` and reads until the answer holds `end`.
fn asked(address: SocketAddr, question: &str, end: &str) -> std::io::Result<String> {
    asked_within(10_000, address, question, end)
}

fn asked_within(
    milliseconds: u64,
    address: SocketAddr,
    question: &str,
    end: &str,
) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_millis(milliseconds)))?;
    stream.write_all(question.as_bytes())?;
    let (mut answer, mut piece) = (String::new(), [0; 4096]);
    while !answer.contains(end) {
        let length = stream.read(&mut piece)?;
        if length == 0 {
            return Err(std::io::Error::other(answer));
        }
        answer.push_str(&String::from_utf8_lossy(&piece[..length]));
    }
    Ok(answer)
}

/// What holds for every server, given a question and how its answer ends.
async fn lives_and_dies(server: &Server, question: &str, end: &str) {
    let ask = || asked(server.address(), question, end);
    ask().unwrap();
    server.pause();
    let error = asked_within(300, server.address(), question, end).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "connected, and silent");
    server.resume();
    ask().unwrap();
    server.kill().await;
    assert!(!server.lives());
    assert_eq!(ask().unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    server.restart().await;
    ask().unwrap();
    // Of a living one, too, and of a paused one.
    server.pause();
    server.restart().await;
    ask().unwrap();
}

fn is_gone(folder: &Path) -> bool {
    !folder.exists()
}

#[tokio::test]
async fn redis_keeps_its_keys() {
    let redis = engine_or_skip!(Redis::start().await);
    asked(redis.address(), "SET a 1\r\n", "+OK").unwrap();
    lives_and_dies(&redis, "GET a\r\n", "$1\r\n1").await;
    let folder = redis.folder().to_owned();
    drop(redis);
    assert!(is_gone(&folder));
}

#[tokio::test]
async fn nats_keeps_its_streams() {
    let nats = engine_or_skip!(Nats::start().await);
    let stream = r#"{"name":"S","subjects":["s"],"storage":"file"}"#;
    let request = |subject: &str, body: &str| {
        format!("CONNECT {{}}\r\nSUB r 1\r\nPUB {subject} r {}\r\n{body}\r\n", body.len())
    };
    let create = request("$JS.API.STREAM.CREATE.S", stream);
    asked(nats.address(), &create, "stream_create_response").unwrap();
    asked(nats.address(), &request("s", "hello"), r#""seq":1"#).unwrap();
    lives_and_dies(&nats, &request("$JS.API.STREAM.INFO.S", ""), r#""messages":1"#).await;
}

#[tokio::test]
async fn a_paused_server_stands_still_at_once() {
    let nats = engine_or_skip!(Nats::start().await);
    let (address, stop) = (nats.address(), Arc::new(AtomicBool::new(false)));
    let askers = (0..4).map(|_| {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                asked_within(50, address, "CONNECT {}\r\nPING\r\n", "PONG").ok();
            }
        })
    });
    let askers: Vec<_> = askers.collect();
    let pid = std::fs::read_to_string(nats.folder().join("pid")).unwrap();
    let runs = || {
        let threads = std::fs::read_dir(format!("/proc/{}/task", pid.trim())).unwrap();
        let stats =
            threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("stat")));
        stats.map(Result::unwrap).filter(|stat| !stat.contains(") T ")).count()
    };
    let mut ran = Vec::new();
    for _ in 0..200 {
        nats.pause();
        ran.push(runs());
        nats.resume();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stop.store(true, Ordering::SeqCst);
    askers.into_iter().for_each(|asker| asker.join().unwrap());
    assert_eq!(ran, [0; 200]);
}

#[tokio::test]
async fn s3_answers() {
    let s3 = engine_or_skip!(S3::start().await);
    lives_and_dies(&s3, "GET / HTTP/1.0\r\nHost: s3\r\n\r\n", "AccessDenied").await;
}

/// The largest number in `t`.
async fn largest(postgres: &Postgres) -> Option<i64> {
    let mut connection = PgConnection::connect(&postgres.url("one")).await.ok()?;
    sqlx::query_scalar("SELECT max(n) FROM t").fetch_one(&mut connection).await.ok()?
}

async fn write(postgres: &Postgres, n: i64) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(&postgres.url("one")).await?;
    connection.execute("CREATE TABLE IF NOT EXISTS t (n BIGINT PRIMARY KEY)").await?;
    sqlx::query("INSERT INTO t (n) VALUES ($1)").bind(n).execute(&mut connection).await?;
    Ok(())
}

#[tokio::test]
async fn postgres_keeps_its_rows() {
    let postgres = engine_or_skip!(Postgres::start().await);
    let settings = postgres.database("one").await;
    assert_eq!(settings.primary, postgres.url("one"));
    write(&postgres, 1).await.unwrap();
    let mut open = PgConnection::connect(&postgres.url("one")).await.unwrap();
    postgres.pause();
    let paused = tokio::time::timeout(Duration::from_millis(300), open.ping()).await;
    assert!(paused.is_err(), "open connections are silent too");
    postgres.resume();
    open.ping().await.unwrap();
    postgres.kill().await;
    open.ping().await.unwrap_err();
    write(&postgres, 2).await.unwrap_err();
    postgres.restart().await;
    assert_eq!(largest(&postgres).await, Some(1));
    write(&postgres, 3).await.unwrap();
    // A killed one leaves nothing either.
    postgres.kill().await;
    let folder = postgres.folder().to_owned();
    drop(postgres);
    assert!(is_gone(&folder));
}

#[tokio::test]
async fn a_replica_follows_and_takes_over() {
    let pair = engine_or_skip!(PostgresPair::start().await);
    let settings = pair.database("one").await;
    assert_eq!(settings.replicas, [pair.replica().url("one")]);
    pair.synchronous(true).await;
    write(pair.primary(), 1).await.unwrap();
    pair.caught_up().await;
    assert_eq!(largest(pair.replica()).await, Some(1));
    write(pair.replica(), 2).await.unwrap_err();

    pair.kill_replica().await;
    let alone = tokio::time::timeout(Duration::from_millis(300), write(pair.primary(), 2)).await;
    assert!(alone.is_err(), "nothing is acknowledged that the replica does not have");
    pair.restart_replica().await;
    pair.synchronous(true).await;
    write(pair.primary(), 3).await.unwrap();

    pair.kill_primary().await;
    pair.promote_replica().await;
    write(pair.replica(), 4).await.unwrap();
    assert_eq!(largest(pair.replica()).await, Some(4));

    pair.rejoin_primary().await;
    write(pair.replica(), 5).await.unwrap();
    eventually("the old primary follows", async || largest(pair.primary()).await == Some(5)).await;
    write(pair.primary(), 6).await.unwrap_err();
}

/// Not a test of its own: [`nothing_stays_behind_a_killed_test`] runs it in another process.
#[tokio::test]
async fn holds_servers_until_it_is_killed() {
    if std::env::var_os("TESTKIT_HOLDS_SERVERS").is_none() {
        return;
    }
    let (redis, postgres) = (Redis::start().await.unwrap(), Postgres::start().await.unwrap());
    postgres.pause();
    let mut out = std::io::stdout();
    for server in [&*redis, &*postgres] {
        writeln!(out, "\nholds {}", server.folder().display()).unwrap();
    }
    out.flush().unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn nothing_stays_behind_a_killed_test() {
    drop(engine_or_skip!(Redis::start().await));
    drop(engine_or_skip!(Postgres::start().await));
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holds_servers_until_it_is_killed", "--nocapture"])
        .env("TESTKIT_HOLDS_SERVERS", "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let holds = lines.filter_map(|line| Some(PathBuf::from(line.strip_prefix("holds ")?)));
    let folders: Vec<PathBuf> = holds.take(2).collect();
    let pids: Vec<String> = folders
        .iter()
        .map(|folder| std::fs::read_to_string(folder.join("pid")).unwrap().trim().to_owned())
        .collect();
    assert_eq!(folders.len(), 2);
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("folders and processes are gone", async || {
        folders.iter().all(|folder| is_gone(folder))
            && pids.iter().all(|pid| {
                let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline"));
                line.unwrap_or_default().is_empty()
            })
    })
    .await;
}
