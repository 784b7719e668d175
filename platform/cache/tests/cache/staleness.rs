//! Nobody sees what was invalidated, whatever was away when it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use testkit::{engine_or_skip, eventually};
use tokio::time::Instant;

use super::rings::{Instance, Nodes, read_all};

const KEYS: u32 = 200;

#[test]
fn a_node_that_returns_with_old_values_is_not_believed() {
    testkit::run(async {
        let nodes = engine_or_skip!(Nodes::start(3).await);
        let (one, two) = (nodes.instance().await, nodes.instance().await);
        for away in 0..3 {
            let (old, new) = (10 * away as u32, 10 * away as u32 + 1);
            for key in 0..KEYS {
                one.numbers().invalidate(&key).await;
            }
            read_all(&one.numbers(), KEYS, old).await;
            nodes.redis[away].kill().await;
            for key in 0..KEYS {
                one.numbers().invalidate(&key).await;
            }
            // Nobody has loaded it anew: a copy that returns is the only one.
            nodes.redis[away].restart().await;
            one.sees(3).await;
            two.sees(3).await;
            let young = nodes.instance().await;
            for (name, instance) in [("one", &one), ("two", &two), ("young", &young)] {
                for key in 0..KEYS {
                    let found = instance.numbers().get(&key).await;
                    assert_eq!(found, None, "{name} sees what {key} was before, at {away}");
                }
            }
            read_all(&two.numbers(), KEYS, new).await;
            assert_eq!(read_all(&one.numbers(), KEYS, new).await, 0);
        }
    });
}

#[test]
fn a_node_that_was_not_needed_keeps_what_it_has() {
    testkit::run(async {
        let nodes = engine_or_skip!(Nodes::start(3).await);
        let one = nodes.instance().await;
        read_all(&one.numbers(), KEYS, 1).await;
        nodes.redis[0].kill().await;
        one.sees(2).await;
        nodes.redis[0].restart().await;
        one.sees(3).await;
        nodes.redis[1].kill().await;
        nodes.redis[2].kill().await;
        let kept = read_all(&one.numbers(), KEYS, 1).await;
        assert!(kept < KEYS / 2, "{kept} of {KEYS} were loaded again");
    });
}

#[test]
fn who_reaches_a_node_that_others_do_not_hears_of_it() {
    testkit::run(async {
        let nodes = engine_or_skip!(Nodes::start(3).await);
        let (cut_off, other) = (nodes.far_instance().await, nodes.instance().await);
        read_all(&other.numbers(), KEYS, 1).await;
        cut_off.ways[0].hang();
        for key in 0..KEYS {
            cut_off.numbers().invalidate(&key).await;
        }
        let done = Instant::now();
        let cache = other.numbers();
        eventually("nobody sees the old", || async {
            let mut old = 0;
            for key in 0..KEYS {
                old += u32::from(cache.get(&key).await.is_some());
            }
            old == 0
        })
        .await;
        // `sync_ms` and some for a busy machine.
        assert!(done.elapsed() < Duration::from_secs(2), "{:?}", done.elapsed());
        // And what is written while only one of them reaches it is seen to by the other.
        read_all(&other.numbers(), KEYS, 2).await;
        for key in 0..KEYS {
            cut_off.numbers().invalidate(&key).await;
        }
        tokio::time::sleep(Duration::from_millis(600)).await;
        read_all(&other.numbers(), KEYS, 3).await;
    });
}

/// Keys whose second copy is with `n1`, and the first with another.
fn second_at_one(nodes: &Nodes) -> Vec<u32> {
    let ring = nodes.ring();
    let copies = |key: &u32| ring.copies(format!("numbers:{key}").as_bytes());
    (0..KEYS).filter(|key| copies(key)[1] == Some(1)).take(10).collect()
}

/// What `other` sees of some keys while, and right after, another instance invalidates them, whose
/// way to the second copy is bad.
async fn right_after_an_invalidation(spoil: impl Fn(&Instance)) {
    let nodes = engine_or_skip!(Nodes::start(3).await);
    let (invalidator, other) = (nodes.far_instance().await, nodes.instance().await);
    read_all(&other.numbers(), KEYS, 1).await;
    for key in second_at_one(&nodes) {
        spoil(&invalidator);
        let (cache, done) = (other.numbers(), AtomicBool::new(false));
        let invalidate = async {
            invalidator.numbers().invalidate(&key).await;
            done.store(true, Ordering::SeqCst);
        };
        let look = async {
            while !done.load(Ordering::SeqCst) {
                cache.get(&key).await;
                // Whoever misses asks the second node, and would give the first its old copy.
                cache.get_with(key, async { Ok::<_, ()>(2) }).await.unwrap();
            }
            cache.get_with(key, async { Ok::<_, ()>(2) }).await.unwrap()
        };
        let ((), seen) = tokio::join!(invalidate, look);
        assert_eq!(seen, 2, "the copy of {key} at the second node came back");
        invalidator.ways[1].mend().await;
        invalidator.sees(3).await;
    }
}

#[test]
fn no_old_copy_slips_past_an_invalidation_that_is_slow_at_one_node() {
    testkit::run(right_after_an_invalidation(|invalidator| {
        invalidator.ways[1].delay(Duration::from_millis(60));
    }));
}

#[test]
fn no_old_copy_spreads_from_a_node_that_the_invalidation_did_not_reach() {
    testkit::run(right_after_an_invalidation(|invalidator| invalidator.ways[1].hang()));
}

#[test]
fn a_node_that_was_told_refuses_who_was_not() {
    testkit::run(async {
        let nodes = engine_or_skip!(Nodes::start(3).await);
        let (cut_off, idle) = (nodes.far_instance().await, nodes.idle_instance().await);
        read_all(&idle.numbers(), KEYS, 1).await;
        cut_off.ways[1].hang();
        for key in 0..KEYS {
            cut_off.numbers().invalidate(&key).await;
        }
        cut_off.ways[1].mend().await;
        // Whoever could not reach it tells it what it missed before all else.
        cut_off.sees(3).await;
        for key in 0..KEYS {
            assert_eq!(idle.numbers().get(&key).await, None, "key {key}");
        }
    });
}

#[test]
fn what_nobody_could_be_told_is_not_lost_among_what_others_tell() {
    testkit::run(async {
        let nodes = engine_or_skip!(Nodes::start(3).await);
        let (first, last) = (nodes.far_instance().await, nodes.far_instance().await);
        for instance in [&first, &last] {
            for way in &instance.ways {
                way.cut().await;
            }
            instance.sees(0).await;
        }
        // Both count by themselves, and `first` further: what it keeps after it has returned is
        // under generations of which `last` has not heard, and which are not below its own.
        for key in 0..KEYS {
            first.numbers().invalidate(&key).await;
        }
        for way in &first.ways {
            way.mend().await;
        }
        first.sees(3).await;
        read_all(&first.numbers(), KEYS, 1).await;
        let changed = 0..KEYS / 10;
        for key in changed.clone() {
            last.numbers().invalidate(&key).await;
        }
        for way in &last.ways {
            way.mend().await;
        }
        last.sees(3).await;
        for (name, instance) in [("first", &first), ("last", &last)] {
            for key in changed.clone() {
                let found = instance.numbers().get(&key).await;
                assert_eq!(found, None, "{name} sees what {key} was before");
            }
        }
    });
}

/// Some rows, how often each has changed, and how often at least anybody must see that it has.
#[derive(Default)]
struct Rows {
    changed: [AtomicU32; 8],
    announced: [AtomicU32; 8],
}

/// Changes rows and reads them through the cache, as fast as it goes.
async fn change_and_read(instance: &Instance, rows: &Rows, until: Instant, seed: u64) -> u64 {
    let (cache, mut random, mut read) = (instance.numbers(), seed, 0);
    while Instant::now() < until {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let row = (random >> 33) as usize % rows.changed.len();
        if (random >> 40).is_multiple_of(8) {
            let now = rows.changed[row].fetch_add(1, Ordering::SeqCst) + 1;
            cache.invalidate(&(row as u32)).await;
            rows.announced[row].fetch_max(now, Ordering::SeqCst);
        } else {
            let least = rows.announced[row].load(Ordering::SeqCst);
            let load = async {
                let value = rows.changed[row].load(Ordering::SeqCst);
                tokio::task::yield_now().await;
                Ok::<_, ()>(value)
            };
            let seen = cache.get_with(row as u32, load).await.unwrap();
            assert!(seen >= least, "row {row}: {seen} after {least} was announced");
            read += 1;
        }
    }
    read
}

#[test]
fn no_race_of_loads_repairs_and_changes_brings_the_old_back() {
    testkit::run(async {
        let nodes = engine_or_skip!(Nodes::start(3).await);
        let instances = [nodes.instance().await, nodes.instance().await];
        let (rows, read) = (Rows::default(), AtomicU64::new(0));
        let until = Instant::now() + Duration::from_secs(4);
        let workers = (0..8).map(|n| {
            let (instances, rows, read) = (&instances, &rows, &read);
            async move {
                let work = change_and_read(&instances[n % 2], rows, until, n as u64);
                read.fetch_add(work.await, Ordering::SeqCst);
            }
        });
        futures::future::join_all(workers).await;
        assert!(read.into_inner() > 500);
    });
}

#[test]
fn nor_do_nodes_that_come_and_go() {
    testkit::run(async {
        let nodes = engine_or_skip!(Nodes::start(3).await);
        // One instance: with two, one may reach a node sooner than the other.
        let instance = nodes.instance().await;
        let (rows, stop) = (Rows::default(), Arc::new(AtomicBool::new(false)));
        let until = Instant::now() + Duration::from_secs(6);
        let trouble = async {
            let mut n = 0;
            while Instant::now() < until {
                let node = &nodes.redis[n % 3];
                if n % 2 == 0 {
                    node.kill().await
                } else {
                    node.pause()
                }
                tokio::time::sleep(Duration::from_millis(300)).await;
                if n % 2 == 0 {
                    node.restart().await
                } else {
                    node.resume()
                }
                tokio::time::sleep(Duration::from_millis(300)).await;
                n += 1;
            }
            stop.store(true, Ordering::SeqCst);
        };
        let workers = (0..8).map(|n| change_and_read(&instance, &rows, until, n));
        let (_, read) = tokio::join!(trouble, futures::future::join_all(workers));
        assert!(read.into_iter().sum::<u64>() > 100);
        instance.sees(3).await;
    });
}
