//! The invariants, whatever is killed, cut off or repeated.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;
use system_tests::{Person, System, eventually, in_every_shape, replicated};

/// Readers that ask again and again, and what went wrong for them.
struct Readers {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    failures: Arc<Mutex<Vec<String>>>,
    running: Vec<tokio::task::JoinHandle<()>>,
}

impl Readers {
    fn start(person: &Person, requests: Vec<(Method, String)>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::new(AtomicUsize::new(0));
        let failures = Arc::new(Mutex::new(Vec::new()));
        let running = (0..4)
            .map(|reader| {
                let (stop, asked, failures) = (stop.clone(), asked.clone(), failures.clone());
                let (person, requests) = (person.clone(), requests.clone());
                tokio::spawn(async move {
                    for (method, path) in requests.iter().cycle().skip(reader) {
                        if stop.load(Ordering::SeqCst) {
                            return;
                        }
                        let mut request = person.request(method.clone(), path);
                        if method == Method::PUT {
                            request = request.json(&json!({"color_codes": ["#010101"]}));
                        }
                        asked.fetch_add(1, Ordering::SeqCst);
                        let failure = match person.try_send(request).await {
                            Ok(answer) if answer.status == 200 => continue,
                            Ok(answer) => {
                                format!("{method} {path}: {} {}", answer.status, answer.json)
                            }
                            Err(error) => format!("{method} {path}: {error:?}"),
                        };
                        failures.lock().unwrap().push(failure);
                    }
                })
            })
            .collect();
        Self { stop, asked, failures, running }
    }

    /// Waits until each reader has asked some more, so that a fault is really met.
    async fn more(&self, requests: usize) {
        let goal = self.asked.load(Ordering::SeqCst) + requests;
        eventually("more requests", async || {
            (self.asked.load(Ordering::SeqCst) >= goal).then_some(())
        })
        .await;
    }

    async fn none_failed(self) {
        self.stop.store(true, Ordering::SeqCst);
        for reader in self.running {
            reader.await.unwrap();
        }
        let failures = self.failures.lock().unwrap();
        let asked = self.asked.load(Ordering::SeqCst);
        assert!(failures.is_empty(), "{} of {asked} failed: {:#?}", failures.len(), *failures);
    }
}

async fn healthy(system: &System, service: &str, number: usize) {
    let visitor = system.visitor();
    eventually("every instance healthy", async || {
        let status = visitor.get("/status").await.json;
        let services = status["services"].as_array()?;
        let one = services.iter().find(|s| s["service"] == service)?;
        let instances = one["instances"].as_array()?;
        let well =
            instances.iter().filter(|i| i["health"] == "healthy" && i["circuit"] == "closed");
        (well.count() == number && instances.len() == number).then_some(())
    })
    .await;
}

/// Whether a like was acknowledged; a refusal must be one that says when to come back.
async fn liked(person: &Person, body: &serde_json::Value) -> bool {
    let request = person.request(Method::POST, "/like").json(body);
    let Ok(answer) = person.try_send(request).await else { return false };
    assert!([200, 503, 504].contains(&answer.status), "{} {}", answer.status, answer.json);
    answer.status == 200
}

replicated!(
    any_instance_may_be_killed_under_load,
    ["palettes=2", "popularity=2", "accounts=2"],
    async |system: &mut System| {
        let mut people = Vec::new();
        for number in 0..6 {
            people.push(system.member(&format!("person{number}")).await);
        }
        let mut palettes = Vec::new();
        for _ in 0..20 {
            palettes.push(people[0].palette("#424242", "load").await);
        }
        for service in ["palettes", "popularity", "accounts"] {
            healthy(system, service, 2).await;
        }
        let mut requests: Vec<_> =
            palettes.iter().map(|id| (Method::GET, format!("/palettes/{id}"))).collect();
        requests.push((Method::GET, "/popular".into()));
        requests.push((Method::GET, "/palettes?category=load".into()));
        requests.push((Method::GET, format!("/users/{}", people[1].id)));
        requests.push((Method::PUT, format!("/palettes/{}", palettes[0])));
        let readers = Readers::start(&people[0], requests);

        let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
        let likers: Vec<_> = people
            .iter()
            .cloned()
            .map(|person| {
                let (palettes, acknowledged) = (palettes.clone(), acknowledged.clone());
                tokio::spawn(async move {
                    for palette in palettes {
                        // A like that was not acknowledged is tried again: it counts once.
                        let body = json!({"palette_id": palette});
                        while !liked(&person, &body).await {
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                        acknowledged.lock().unwrap().insert((person.id.clone(), palette));
                        tokio::time::sleep(Duration::from_millis(40)).await;
                    }
                })
            })
            .collect();

        for service in ["palettes", "popularity", "accounts", "popularity", "palettes"] {
            readers.more(40).await;
            system.kill_one(service);
            readers.more(40).await;
            healthy(system, service, 2).await;
        }
        for liker in likers {
            liker.await.unwrap();
        }
        readers.none_failed().await;

        assert_eq!(acknowledged.lock().unwrap().len(), people.len() * palettes.len());
        for palette in &palettes {
            let read = people[0].get(&format!("/palettes/{palette}")).await.expect(200);
            assert_eq!(read.json["likes"], people.len(), "each like is there, and once");
        }
    }
);

replicated!(
    the_registry_may_be_away,
    ["palettes=2", "popularity=2"],
    async |system: &mut System| {
        let ada = system.member("ada").await;
        let id = ada.palette("#999999", "calm").await;
        for service in ["palettes", "popularity"] {
            healthy(system, service, 2).await;
        }
        let requests = vec![
            (Method::GET, format!("/palettes/{id}")),
            (Method::GET, "/popular".into()),
            (Method::PUT, format!("/palettes/{id}")),
        ];
        let readers = Readers::start(&ada, requests);
        // It is started again at once, so it is killed again at once, for ten seconds.
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(10) {
            system.signal("discovery", Signal::KILL);
            assert_eq!(ada.like(&id).await.status, 200);
            readers.more(5).await;
        }
        readers.more(50).await;
        for service in ["palettes", "popularity"] {
            healthy(system, service, 2).await;
        }
        readers.none_failed().await;
    }
);

replicated!(a_registry_that_hangs_stops_nothing, ["palettes=2"], async |system: &mut System| {
    let ada = system.member("ada").await;
    let id = ada.palette("#999999", "calm").await;
    healthy(system, "palettes", 2).await;
    assert_eq!(system.signal("discovery", Signal::STOP), 1);
    let readers = Readers::start(&ada, vec![(Method::GET, format!("/palettes/{id}"))]);
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(6) {
        readers.more(20).await;
    }
    assert_eq!(system.signal("discovery", Signal::CONT), 1);
    readers.more(20).await;
    readers.none_failed().await;
});

replicated!(a_palette_is_made_in_both_or_in_neither, [], async |system: &mut System| {
    let ada = system.member("ada").await;
    let mut acknowledged = BTreeSet::new();
    for round in 0..12 {
        if round % 4 == 1 {
            system.signal("popularity", Signal::KILL);
        }
        if round % 4 == 3 {
            system.signal("palettes", Signal::KILL);
        }
        let body = json!({"color_codes": ["#515151"], "category": "both"});
        let request = ada.request(Method::POST, "/palettes").json(&body);
        if let Ok(answer) = ada.try_send(request).await {
            assert!([201, 503, 504].contains(&answer.status), "{}", answer.json);
            if answer.status == 201 {
                acknowledged.insert(answer.json["palette_id"].as_str().unwrap().to_owned());
            }
        }
    }
    let listed = eventually("both agree", async || {
        let listed = ada.get("/palettes?category=both&limit=100").await;
        let popular = ada.get("/popular/both?limit=100").await;
        let ids = |list: &serde_json::Value| -> Option<BTreeSet<String>> {
            let ids = list.as_array()?.iter().map(|p| p["palette_id"].as_str().map(str::to_owned));
            ids.collect()
        };
        let (listed, popular) = (ids(&listed.json)?, ids(&popular.json)?);
        (listed == popular).then_some(listed)
    })
    .await;
    assert!(acknowledged.is_subset(&listed), "an acknowledged palette is lost");
    for id in &listed {
        ada.like(id).await.expect(200);
    }
});

replicated!(a_deletion_is_finished_whatever_dies, [], async |system: &mut System| {
    let (ada, ben) = (system.member("ada").await, system.member("ben").await);
    let id = ada.palette("#121212", "doomed").await;
    let his = ben.palette("#343434", "kept").await;
    ada.like(&his).await.expect(200);
    for service in ["popularity", "palettes"] {
        system.signal(service, Signal::KILL);
    }
    let request = ada.request(Method::DELETE, &format!("/users/{}", ada.id));
    // The answer may be lost with the process that gives it.
    drop(ada.try_send(request).await);
    system.signal("accounts", Signal::KILL);
    let again = async || {
        let request = ada.request(Method::DELETE, &format!("/users/{}", ada.id));
        ada.try_send(request).await.map_or(0, |answer| answer.status)
    };
    eventually("the deletion told or done", async || {
        [200, 401, 404].contains(&again().await).then_some(())
    })
    .await;
    eventually("nothing of hers is left", async || {
        let palette = ben.get(&format!("/palettes/{id}")).await.status;
        let likes = ben.get(&format!("/palettes/{his}")).await;
        (palette == 404 && likes.status == 200 && likes.json["likes"] == 0).then_some(())
    })
    .await;
});

in_every_shape!(a_power_cut_loses_nothing_acknowledged, async |system: &mut System| {
    let mut people = Vec::new();
    for number in 0..4 {
        people.push(system.member(&format!("person{number}")).await);
    }
    let mut palettes = Vec::new();
    for _ in 0..30 {
        palettes.push(people[0].palette("#606060", "power").await);
    }
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let likers: Vec<_> = people
        .iter()
        .cloned()
        .map(|person| {
            let (palettes, acknowledged) = (palettes.clone(), acknowledged.clone());
            tokio::spawn(async move {
                for palette in palettes {
                    let request =
                        person.request(Method::POST, "/like").json(&json!({"palette_id": palette}));
                    match person.try_send(request).await {
                        Ok(answer) if answer.status == 200 => {
                            acknowledged.lock().unwrap().push(palette);
                        }
                        _ => return,
                    }
                }
            })
        })
        .collect();
    eventually("some likes acknowledged", async || {
        (acknowledged.lock().unwrap().len() >= 20).then_some(())
    })
    .await;
    system.power_cut();
    for liker in likers {
        liker.await.unwrap();
    }
    let acknowledged = acknowledged.lock().unwrap().clone();
    let visitor = system.visitor();
    for palette in &palettes {
        let told = acknowledged.iter().filter(|id| *id == palette).count();
        // A palette is shown with zeros while popularity is slow to say, as just after a start.
        let kept = eventually("every acknowledged like", async || {
            let read = visitor.get(&format!("/palettes/{palette}")).await.expect(200);
            let kept = usize::try_from(read.json["likes"].as_i64().unwrap()).unwrap();
            (kept >= told).then_some(kept)
        })
        .await;
        assert!(kept <= people.len(), "{kept} kept of {}", people.len());
    }
});

in_every_shape!(clients_that_go_away_poison_nothing, async |system: &mut System| {
    let ada = system.member("ada").await;
    let id = ada.palette("#707070", "cut").await;
    let mut cut = Vec::new();
    for number in 0..300_u64 {
        let (ada, id) = (ada.clone(), id.clone());
        cut.push(tokio::spawn(async move {
            let request = match number % 3 {
                0 => ada.request(Method::POST, "/like").json(&json!({"palette_id": id})),
                1 => ada
                    .request(Method::POST, "/palettes")
                    .json(&json!({"color_codes": ["#717171"], "category": "whole"})),
                _ => ada.request(Method::GET, &format!("/palettes/{id}")),
            };
            // Dropped after anything from nothing to a whole answer.
            let patience = Duration::from_micros(number * 137 % 20_000);
            drop(tokio::time::timeout(patience, ada.try_send(request)).await);
        }));
    }
    for one in cut {
        one.await.unwrap();
    }
    for _ in 0..50 {
        ada.get(&format!("/palettes/{id}")).await.expect(200);
        ada.like(&id).await.expect(200);
    }
    assert_eq!(ada.get(&format!("/palettes/{id}")).await.expect(200).json["likes"], 1);
    eventually("every palette whole in both services", async || {
        let listed = ada.get("/palettes?category=whole&limit=100").await.expect(200);
        let popular = ada.get("/popular/whole?limit=100").await.expect(200);
        let count = |list: &serde_json::Value| list.as_array().map(Vec::len);
        (count(&listed.json) == count(&popular.json)).then_some(())
    })
    .await;
});
