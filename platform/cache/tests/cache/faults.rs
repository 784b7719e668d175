//! Nodes that die, hang, slow down and return.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use testkit::{Redis, engine_or_skip, eventually};
use tokio::time::Instant;

use super::rings::{Nodes, read_all};

const KEYS: u32 = 400;

fn on(runtime: impl Future<Output = ()>) {
    testkit::run(runtime);
}

#[test]
fn with_half_of_the_nodes_dead_only_keys_with_both_copies_there_are_missed() {
    on(async {
        let nodes = engine_or_skip!(Nodes::start(4).await);
        let instance = nodes.instance().await;
        let cache = instance.numbers();
        assert_eq!(read_all(&cache, KEYS, 1).await, KEYS);
        assert_eq!(read_all(&cache, KEYS, 1).await, 0);
        nodes.redis[1].kill().await;
        assert_eq!(read_all(&cache, KEYS, 1).await, 0, "one dead node costs no key");
        nodes.redis[3].kill().await;
        let ring = nodes.ring();
        let dead = |key: &u32| {
            let copies = ring.copies(format!("numbers:{key}").as_bytes());
            copies.iter().flatten().all(|node| [1, 3].contains(node))
        };
        let both = (0..KEYS).filter(dead).count() as u32;
        assert!(both > KEYS / 12 && both < KEYS / 4, "{both} of {KEYS} keys were there twice");
        assert_eq!(read_all(&cache, KEYS, 1).await, both);
        // All are dead: everything works, nothing is kept.
        nodes.redis[0].kill().await;
        nodes.redis[2].kill().await;
        assert_eq!(read_all(&cache, KEYS, 1).await, KEYS);
        cache.invalidate(&1).await;
    });
}

#[test]
fn a_node_that_hangs_costs_one_time_out() {
    on(async {
        let nodes = engine_or_skip!(Nodes::start(3).await);
        let instance = nodes.instance().await;
        let cache = instance.numbers();
        read_all(&cache, KEYS, 1).await;
        nodes.redis[0].pause();
        let mut slow = 0;
        for round in 0..3 {
            for key in 0..KEYS {
                let began = Instant::now();
                assert!(cache.get(&key).await.is_some(), "round {round}, key {key}");
                slow += u32::from(began.elapsed() > Duration::from_millis(350));
            }
        }
        assert!(slow <= 1, "{slow} waited for it");
        assert_eq!(instance.store.answering(), Some((2, 3)));
        nodes.redis[0].resume();
        instance.sees(3).await;
        assert_eq!(read_all(&cache, KEYS, 1).await, 0);
    });
}

#[test]
fn whatever_is_wrong_with_the_way_requests_are_answered_and_it_heals() {
    on(async {
        let nodes = engine_or_skip!(Nodes::start(3).await);
        let instance = nodes.far_instance().await;
        let cache = instance.numbers();
        read_all(&cache, KEYS, 1).await;
        for fault in ["cut", "delay", "one way", "hang", "reset", "loss"] {
            let way = &instance.ways[1];
            match fault {
                "cut" => way.cut().await,
                "delay" => way.delay(Duration::from_millis(500)),
                "one way" => way.one_way(),
                "hang" => way.hang(),
                "reset" => way.reset_after(700),
                _ => way.drop_bytes(30),
            }
            let (began, mut longest) = (Instant::now(), Duration::ZERO);
            for key in 0..KEYS {
                let began = Instant::now();
                let loaded = cache.get_with(key, async { Ok::<_, ()>(1) }).await;
                assert_eq!(loaded, Ok(1), "{fault}");
                longest = longest.max(began.elapsed());
                if key % 40 == 0 {
                    cache.invalidate(&key).await;
                }
            }
            // A way that works now and then costs a time-out each time that it was trusted again.
            let bound = Duration::from_millis(2_500);
            assert!(longest < bound, "{fault}: one took {longest:?}");
            assert!(began.elapsed() < Duration::from_secs(15), "{fault}: {:?}", began.elapsed());
            way.mend().await;
            instance.sees(3).await;
        }
    });
}

#[test]
fn a_node_that_returns_empty_is_given_its_copies_again() {
    on(async {
        let nodes = engine_or_skip!(Nodes::start(2).await);
        let instance = nodes.instance().await;
        let cache = instance.numbers();
        read_all(&cache, KEYS, 1).await;
        nodes.redis[0].kill().await;
        for file in std::fs::read_dir(nodes.redis[0].folder()).unwrap() {
            let path = file.unwrap().path();
            if path.is_dir() {
                std::fs::remove_dir_all(path).unwrap()
            }
        }
        assert_eq!(read_all(&cache, KEYS, 1).await, 0);
        nodes.redis[0].restart().await;
        instance.sees(2).await;
        // Repairs of second copies go on in the background, some at a time.
        let loads = AtomicUsize::new(0);
        eventually("all copies are there", || async {
            loads.fetch_add(read_all(&cache, KEYS, 1).await as usize, Ordering::SeqCst);
            keys_at(&nodes.redis[0]).await >= KEYS as usize
        })
        .await;
        assert_eq!(loads.load(Ordering::SeqCst), 0, "nothing was loaded for that");
        nodes.redis[1].kill().await;
        assert_eq!(read_all(&cache, KEYS, 1).await, 0);
    });
}

/// How many keys a node holds.
async fn keys_at(redis: &Redis) -> usize {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut way = tokio::net::TcpStream::connect(redis.address()).await.unwrap();
    way.write_all(b"DBSIZE\r\n").await.unwrap();
    let mut answer = [0; 64];
    let read = way.read(&mut answer).await.unwrap();
    let text = std::str::from_utf8(&answer[..read]).unwrap();
    text.trim().trim_start_matches(':').parse().unwrap()
}

#[test]
fn a_stampede_is_one_load_also_with_a_node_dead() {
    on(async {
        let nodes = engine_or_skip!(Nodes::start(3).await);
        let (one, two) = (nodes.instance().await, nodes.instance().await);
        nodes.redis[2].kill().await;
        one.sees(2).await;
        two.sees(2).await;
        let loads = Arc::new(AtomicUsize::new(0));
        for key in 0..12 {
            let ask = |n: usize| {
                let (loads, cache) = (loads.clone(), [&one, &two][n % 2].numbers());
                tokio::spawn(async move {
                    let load = async {
                        loads.fetch_add(1, Ordering::SeqCst);
                        tokio::time::sleep(Duration::from_millis(30)).await;
                        Ok::<_, ()>(9)
                    };
                    cache.get_with(key, load).await
                })
            };
            let answers = join_all((0..40).map(ask)).await;
            assert!(answers.into_iter().all(|answer| answer.unwrap() == Ok(9)));
        }
        assert_eq!(loads.load(Ordering::SeqCst), 12);
    });
}

#[test]
fn a_new_node_moves_its_share_and_no_more() {
    on(async {
        let nodes = engine_or_skip!(Nodes::start(4).await);
        let three = Nodes::settings(nodes.redis[..3].iter().map(Redis::url));
        let (tasks, four) = (tasks::Tasks::new(), nodes.instance().await);
        let three = cache::Store::open(&three, &tasks).await.unwrap();
        read_all(&three.cache("numbers", 1, super::rings::LONG), KEYS, 1).await;
        // Of a quarter the first copy is with the new node now; the second was where it is.
        let loads = read_all(&four.numbers(), KEYS, 1).await;
        assert_eq!(loads, 0, "every key has a copy that did not move");
        tasks.stop().await;
    });
}
