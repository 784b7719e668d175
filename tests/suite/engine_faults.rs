//! The cluster with its engines killed, cut off and slowed: the rows of `docs/faults.md`. Each test
//! prints its figure (`cargo test -p system_tests --test suite engine_faults -- --nocapture`).

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;
use system_tests::{Engines, Person, Shape, System, Writers, eventually};
use testkit::{Proxy, free_address};

use crate::chat::Talk;

/// Every service twice, as a cluster has it.
const TWICE: Shape = Shape::Replicated(&[
    "discovery=2",
    "accounts=2",
    "palettes=2",
    "popularity=2",
    "chat=2",
    "gateway=2",
]);

/// A cluster on engines of its own, with a way to its primary that can be broken; tells the figure.
async fn cluster(name: &str, scenario: impl AsyncFnOnce(&mut System, &Engines, &Proxy) -> String) {
    let Some(engines) = Engines::start().await else { return };
    let primary = engines.postgres.primary().address();
    let way = Proxy::to(primary).await;
    let settings = engines.settings("own").await;
    let settings = settings.replace(&primary.to_string(), &way.address().to_string());
    let mut system = System::start(env!("CARGO_BIN_EXE_system"), TWICE, Some(&settings));
    let figure = scenario(&mut system, &engines, &way).await;
    assert!(system.stop().success(), "the system ended badly");
    #[allow(clippy::print_stdout, reason = "what the table of faults shows")]
    {
        println!("{name}: {figure}");
    }
}

macro_rules! fault {
    ($name:ident, $scenario:expr) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            cluster(stringify!($name), $scenario).await;
        }
    };
}

/// Debian's libfaketime, if it is here.
fn faketime() -> Option<PathBuf> {
    let places = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|place| place.path());
    let mut libraries = places.map(|place| place.join("faketime/libfaketime.so.1"));
    let found = libraries.find(|library| library.exists());
    if found.is_none() {
        testkit::skip("one_clock_is_an_hour_off", "libfaketime");
    }
    found
}

/// A process whose clock is so many seconds off, once it says that it serves; ended when dropped.
struct Elsewhen(Child);

impl Elsewhen {
    fn start(library: &Path, seconds: &str, command: &mut Command) -> Self {
        let mut child = command
            .env("LD_PRELOAD", library)
            .env("FAKETIME", seconds)
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains(" at "), "{line}");
        Self(child)
    }
}

impl Drop for Elsewhen {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fault!(one_clock_is_an_hour_off, async |system: &mut System, _: &Engines, _: &Proxy| {
    let Some(library) = faketime() else { return String::new() };
    let (ahead_at, behind_at, early_at) = (free_address(), free_address(), free_address());
    let services = ["accounts", "palettes", "popularity"];
    let _ahead = Elsewhen::start(&library, "+3600", &mut system.instance(&services, ahead_at));
    let _behind = Elsewhen::start(&library, "-3600", &mut system.instance(&["gateway"], behind_at));
    // One that is ahead must have heard of the sessions that ended before it began.
    let gone = system.member("gone").await;
    gone.post("/logout", &json!({})).await.expect(204);
    let _early = Elsewhen::start(&library, "+3600", &mut system.instance(&["gateway"], early_at));
    let early = gone.at(&format!("http://{early_at}"));
    let change = early.request(Method::PATCH, &format!("/users/{}", gone.id));
    assert_eq!(early.send(change.json(&json!({"bio": "still here"}))).await.status, 401);
    let visitor = system.visitor();
    eventually("three instances of each", async || {
        let status = visitor.get("/status").await.json;
        let of = |name: &str| {
            status["services"].as_array()?.iter().find(|s| s["service"] == name).cloned()
        };
        let number = |name| Some(of(name)?["instances"].as_array()?.len());
        services.iter().all(|name| number(name) == Some(3)).then_some(())
    })
    .await;
    // Tokens of each instance, shown at both gateways.
    let mut members = Vec::new();
    for number in 0..9 {
        let member = system.member(&format!("member{number}")).await;
        members.push(member.at(&format!("http://{behind_at}")));
        members.push(member);
    }
    let writers = Writers::start(&members);
    writers.some(100).await;
    let told = writers.end().await;
    assert_eq!(told.failures(), 0, "{told}");
    told.nothing_is_lost(false).await;
    told.to_string()
});

/// How long a way is broken.
const BROKEN_FOR: Duration = Duration::from_secs(4);
/// How soon twenty writes are acknowledged after it is whole again, and after a failover.
const RECOVERED_WITHIN: Duration = Duration::from_secs(20);

async fn people(system: &System) -> Vec<Person> {
    let mut people = Vec::new();
    for number in 0..4 {
        people.push(system.member(&format!("person{number}")).await);
    }
    people
}

fault!(
    the_primary_dies_and_the_replica_takes_over,
    async |system: &mut System, engines: &Engines, _: &Proxy| {
        // Nothing is lost with a primary whose replica has everything.
        engines.postgres.synchronous(true).await;
        let writers = Writers::start(&people(system).await);
        writers.some(30).await;
        engines.postgres.kill_primary().await;
        engines.postgres.promote_replica().await;
        writers.some(30).await;
        let told = writers.end().await;
        told.nothing_is_lost(false).await;
        assert!(told.longest_gap() < RECOVERED_WITHIN, "{told}");
        told.to_string()
    }
);

fault!(a_replica_dies_and_comes_back, async |system: &mut System, engines: &Engines, _: &Proxy| {
    let writers = Writers::start(&people(system).await);
    writers.some(20).await;
    engines.postgres.kill_replica().await;
    writers.some(40).await;
    engines.postgres.restart_replica().await;
    writers.some(20).await;
    let told = writers.end().await;
    assert_eq!(told.failures(), 0, "{told}");
    told.nothing_is_lost(false).await;
    told.to_string()
});

fault!(
    a_shard_dies_and_costs_only_its_items,
    async |system: &mut System, engines: &Engines, _: &Proxy| {
        let ada = system.member("ada").await;
        let mut palettes = Vec::new();
        for _ in 0..24 {
            palettes.push(ada.palette("#818181", "sharded").await);
        }
        engines.shard.kill().await;
        let (mut fine, mut refused) = (0, 0);
        let mut slowest = Duration::ZERO;
        for id in &palettes {
            let asked = Instant::now();
            match ada.like(id).await.status {
                200 => fine += 1,
                503 | 504 => refused += 1,
                other => panic!("{other}"),
            }
            slowest = slowest.max(asked.elapsed());
            // What is read without a count is read all the same.
            ada.get(&format!("/palettes/{id}")).await.expect(200);
        }
        assert!(fine > 0 && refused > 0, "{fine} liked, {refused} refused");
        ada.get("/popular").await.expect(200);
        engines.shard.restart().await;
        for id in &palettes {
            eventually("its items are back", async || {
                (ada.like(id).await.status == 200).then_some(())
            })
            .await;
        }
        let slowest = slowest.as_secs_f64();
        format!(
            "{fine} of {} items liked, {refused} refused, the slowest after {slowest:.1} s",
            palettes.len()
        )
    }
);

fault!(half_of_the_ring_dies, async |system: &mut System, engines: &Engines, _: &Proxy| {
    let writers = Writers::start(&people(system).await);
    writers.some(20).await;
    engines.redis[0].kill().await;
    writers.some(20).await;
    engines.redis[1].kill().await;
    let ada = system.member("ada").await;
    for _ in 0..40 {
        ada.get("/popular").await.expect(200);
        ada.get(&format!("/users/{}", ada.id)).await.expect(200);
    }
    writers.some(20).await;
    engines.redis[0].restart().await;
    engines.redis[1].restart().await;
    writers.some(20).await;
    let told = writers.end().await;
    assert_eq!(told.failures(), 0, "{told}");
    told.nothing_is_lost(false).await;
    told.to_string()
});

fault!(people_talk_on_whatever_dies, async |system: &mut System, engines: &Engines, _: &Proxy| {
    engines.postgres.synchronous(true).await;
    let talk = Talk::start(system, 12).await;
    let a_while = || tokio::time::sleep(Duration::from_secs(5));
    a_while().await;
    engines.nats.kill().await;
    a_while().await;
    system.kill_one("chat");
    a_while().await;
    engines.postgres.kill_primary().await;
    engines.postgres.promote_replica().await;
    a_while().await;
    engines.nats.restart().await;
    system.kill_one("chat");
    system.kill_one("accounts");
    a_while().await;
    let messages = talk.end(10).await;
    format!("{messages} messages, heard by all twelve, each once and in order")
});

fault!(the_broker_is_away, async |system: &mut System, engines: &Engines, _: &Proxy| {
    let ada = system.member("ada").await;
    let mut live = ada.listen("/ws/popularity").await;
    engines.nats.kill().await;
    let away = Instant::now();
    let writers = Writers::start(&people(system).await);
    let mut heard = Vec::new();
    while away.elapsed() < Duration::from_secs(60) {
        writers.some(5).await;
        // Who listens is pinged meanwhile, and has to answer.
        heard.extend(tokio::time::timeout(Duration::ZERO, live.next()).await);
    }
    let told = writers.end().await;
    assert_eq!(told.failures(), 0, "{told}");
    // Nobody tells the gateways of a session that ends, so they ask.
    let ben = system.member("ben").await;
    let path = format!("/users/{}", ben.id);
    let elsewhere = ben.at(&system.gateway(2));
    let change = || elsewhere.request(Method::PATCH, &path).json(&json!({"bio": "still here"}));
    assert_eq!(elsewhere.send(change()).await.status, 200);
    ben.post("/logout", &json!({})).await.expect(204);
    let ended = async || (elsewhere.send(change()).await.status == 401).then_some(());
    let since = Instant::now();
    eventually("the session has ended everywhere", ended).await;
    let ended_in = since.elapsed().as_secs_f64();
    engines.nats.restart().await;
    let back = Instant::now();
    let mut awaited: BTreeSet<String> = told.palettes().map(str::to_owned).collect();
    let (all, mut heard) = (awaited.len(), heard.into_iter());
    while !awaited.is_empty() {
        let news = match heard.next() {
            Some(news) => news,
            None => live.next().await,
        };
        if news["type"] == "palette.created" {
            let id = news["palette"]["palette_id"].as_str().unwrap_or_default().to_owned();
            assert!(awaited.remove(&id), "{id} is told twice, or was never made: {news}");
        }
    }
    let seconds = back.elapsed().as_secs_f64();
    told.nothing_is_lost(false).await;
    format!(
        "{told}; a logout was in effect {ended_in:.1} s later; all {all} palettes told {seconds:.1} s \
         after the broker was back, each once"
    )
});

fault!(one_of_two_discoveries_dies, async |system: &mut System, _: &Engines, _: &Proxy| {
    let writers = Writers::start(&people(system).await);
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(5) {
        system.kill_one("discovery");
        writers.some(10).await;
    }
    let told = writers.end().await;
    assert_eq!(told.failures(), 0, "{told}");
    told.nothing_is_lost(false).await;
    told.to_string()
});

fault!(one_of_two_gateways_dies, async |system: &mut System, _: &Engines, _: &Proxy| {
    let members = people(system).await;
    let second = system.gateway(2);
    let elsewhere: Vec<Person> = members.iter().map(|person| person.at(&second)).collect();
    let (here, there) = (Writers::start(&members), Writers::start(&elsewhere));
    here.some(10).await;
    there.some(10).await;
    system.kill_gateway(1);
    there.some(20).await;
    here.some(20).await;
    let (here, there) = (here.end().await, there.end().await);
    assert_eq!(there.failures(), 0, "{there}");
    here.nothing_is_lost(true).await;
    there.nothing_is_lost(false).await;
    format!("at the one that died: {here}; at the other: {there}")
});

fault!(
    a_replica_and_the_broker_die_at_once,
    async |system: &mut System, engines: &Engines, _: &Proxy| {
        let writers = Writers::start(&people(system).await);
        writers.some(20).await;
        tokio::join!(engines.postgres.kill_replica(), engines.nats.kill());
        system.signal("popularity", Signal::KILL);
        writers.some(30).await;
        engines.nats.restart().await;
        engines.postgres.restart_replica().await;
        writers.some(20).await;
        let told = writers.end().await;
        told.nothing_is_lost(false).await;
        told.to_string()
    }
);

/// A fault of the way to the primary for some seconds, then none.
async fn broken_way(system: &mut System, way: &Proxy, fault: impl Fn(&Proxy)) -> String {
    let writers = Writers::start(&people(system).await);
    writers.some(10).await;
    fault(way);
    tokio::time::sleep(BROKEN_FOR).await;
    way.mend().await;
    let mended = Instant::now();
    writers.some(20).await;
    let recovered = mended.elapsed();
    let told = writers.end().await;
    told.nothing_is_lost(false).await;
    assert!(recovered < RECOVERED_WITHIN, "{recovered:?}: {told}");
    format!("{told}; 20 writes {:.1} s after it", recovered.as_secs_f64())
}

macro_rules! bad_way {
    ($name:ident, $fault:expr) => {
        fault!($name, async |system: &mut System, _: &Engines, way: &Proxy| {
            broken_way(system, way, $fault).await
        });
    };
}

bad_way!(every_packet_is_half_a_second_late, |way| way.delay(Duration::from_millis(500)));
bad_way!(a_third_of_the_packets_is_lost, |way| way.drop_bytes(30));
bad_way!(nothing_comes_back, |way| way.one_way());
bad_way!(answers_are_cut_off, |way| way.reset_after(500));
bad_way!(no_connection_answers, |way| way.hang());

#[test]
fn the_table_has_a_row_for_each() {
    let table = include_str!("../../docs/faults.md");
    let source = include_str!("engine_faults.rs");
    let named: Vec<_> = ["\nfault!(", "\nbad_way!("]
        .iter()
        .flat_map(|opens| source.split(opens).skip(1))
        .filter_map(|rest| rest.split(',').next().map(str::trim))
        .collect();
    assert!(named.len() > 10, "{named:?}");
    let missing: Vec<_> =
        named.iter().filter(|name| !table.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
