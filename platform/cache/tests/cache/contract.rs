//! What every shared cache does, in this process and on a ring of three Redis nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cache::{CacheSettings, Shared, Store};
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use testkit::{engine_or_skip, eventually, on_each};
use tokio::sync::Semaphore;
use tokio::task::yield_now;

use super::rings::Nodes;

const LONG: Duration = Duration::from_secs(60);

/// Instances of one service: what they share is theirs together.
type Instances = Vec<Store>;

async fn embedded(test: impl AsyncFnOnce(Instances)) {
    test(vec![Store::embedded()]).await;
}

async fn redis(test: impl AsyncFnOnce(Instances)) {
    let nodes = engine_or_skip!(Nodes::start(3).await);
    let (one, two) = (nodes.instance().await, nodes.instance().await);
    test(vec![one.store.clone(), two.store.clone()]).await;
}

fn caches(of: &Instances) -> Vec<Shared<u32, u32>> {
    of.iter().map(|store| store.cache("numbers", 1000, LONG)).collect()
}

/// The last instance's, which is the first's where there is but one.
fn ends(of: &Instances) -> (Shared<u32, u32>, Shared<u32, u32>) {
    let caches = caches(of);
    // Embedded, one instance is all there is: the same cache twice.
    let last = caches.last().unwrap().clone();
    (if caches.len() > 1 { caches[0].clone() } else { last.clone() }, last)
}

async fn load(cache: &Shared<u32, u32>, key: u32, value: u32) -> u32 {
    cache.get_with(key, async { Ok::<_, ()>(value) }).await.unwrap()
}

on_each!([embedded, redis], what_one_loaded_all_have, async |of: Instances| {
    let (one, two) = ends(&of);
    assert_eq!(two.get(&7).await, None);
    assert_eq!(load(&one, 7, 1).await, 1);
    assert_eq!(two.get(&7).await, Some(1));
    assert_eq!(load(&two, 7, 2).await, 1);
    assert_eq!(load(&two, 8, 2).await, 2, "another key");
});

on_each!([embedded, redis], what_is_invalidated_is_loaded_again, async |of: Instances| {
    let (one, two) = ends(&of);
    for n in 0..20 {
        assert_eq!(load(&one, n, 1).await, 1);
        two.invalidate(&n).await;
        assert_eq!(one.get(&n).await, None);
        assert_eq!(load(&one, n, 2).await, 2);
        assert_eq!(load(&two, n, 3).await, 2);
    }
});

on_each!([embedded, redis], an_older_load_does_not_undo_an_invalidation, async |of: Instances| {
    let (one, two) = ends(&of);
    for n in 0..20 {
        let (reading, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (cache, read, wait) = (one.clone(), reading.clone(), gate.clone());
        let slow = tokio::spawn(async move {
            let load = async {
                read.add_permits(1);
                wait.acquire().await.unwrap().forget();
                Ok::<_, ()>(1)
            };
            cache.get_with(n, load).await
        });
        reading.acquire().await.unwrap().forget();
        two.invalidate(&n).await;
        gate.add_permits(1);
        // Whoever asked before the change may hear what was before it; nobody after.
        assert_eq!(slow.await.unwrap(), Ok(1));
        assert_eq!(one.get(&n).await, None);
        assert_eq!(load(&two, n, 2).await, 2);
        assert_eq!(load(&one, n, 3).await, 2);
    }
});

on_each!(
    [embedded, redis],
    who_asks_after_a_change_waits_for_no_older_load,
    async |of: Instances| {
        let (one, _) = ends(&of);
        let (reading, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (cache, read, wait) = (one.clone(), reading.clone(), gate.clone());
        let slow = tokio::spawn(async move {
            let load = async {
                read.add_permits(1);
                wait.acquire().await.unwrap().forget();
                Ok::<_, ()>(1)
            };
            cache.get_with(7, load).await
        });
        reading.acquire().await.unwrap().forget();
        one.invalidate(&7).await;
        let cache = one.clone();
        let late = tokio::spawn(async move { load(&cache, 7, 2).await });
        yield_now().await;
        gate.add_permits(1);
        assert_eq!(late.await.unwrap(), 2, "not what was read before the change");
        assert_eq!(slow.await.unwrap(), Ok(1));
    }
);

on_each!([embedded, redis], a_stampede_is_one_load, async |of: Instances| {
    let loads = Arc::new(AtomicUsize::new(0));
    let ask = |cache: Shared<u32, u32>| {
        let loads = loads.clone();
        tokio::spawn(async move {
            let load = async {
                loads.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(50)).await;
                Ok::<_, ()>(42)
            };
            cache.get_with(7, load).await
        })
    };
    let caches = caches(&of);
    let asked = (0..500).map(|n| ask(caches[n % caches.len()].clone()));
    let answers = join_all(asked).await;
    assert!(answers.into_iter().all(|answer| answer.unwrap() == Ok(42)));
    assert_eq!(loads.load(Ordering::SeqCst), 1);
});

on_each!([embedded, redis], a_load_that_is_cut_off_is_taken_over, async |of: Instances| {
    let (one, two) = ends(&of);
    let never = one.get_with(7, std::future::pending::<Result<u32, ()>>());
    tokio::time::timeout(Duration::from_millis(20), never).await.unwrap_err();
    assert_eq!(load(&two, 7, 1).await, 1);
    eventually("it is kept", || async {
        one.get(&7).await.is_some() || load(&one, 7, 1).await > 1
    })
    .await;
});

on_each!([embedded, redis], a_failure_is_not_kept_and_holds_nobody_up, async |of: Instances| {
    let (one, two) = ends(&of);
    assert_eq!(one.get_with(7, async { Err::<u32, _>("down") }).await, Err("down"));
    assert_eq!(load(&two, 7, 2).await, 2);
    eventually("it is kept", || async {
        load(&one, 7, 2).await;
        one.get(&7).await == Some(2)
    })
    .await;
});

on_each!([embedded, redis], nothing_is_kept_for_longer_than_its_time, async |of: Instances| {
    let brief = of[0].cache::<u32, u32>("brief", 1000, Duration::from_millis(50));
    assert_eq!(load(&brief, 7, 1).await, 1);
    eventually("it is gone", || async { brief.get(&7).await.is_none() }).await;
});

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Question {
    name: String,
    page: Option<u32>,
}

on_each!([embedded, redis], keys_and_values_may_be_anything, async |of: Instances| {
    let lists = of[0].cache::<Question, Arc<Vec<Question>>>("lists", 1000, LONG);
    let pictures = of[0].bytes::<String>("pictures", 1000, LONG);
    for (page, name) in
        [(None, "ä\n"), (Some(1), ""), (Some(1), "x"), (Some(2), &"long".repeat(999))]
    {
        let question = Question { name: name.to_owned(), page };
        let answer = Arc::new(vec![question.clone(); 3]);
        let load = async { Ok::<_, ()>(answer.clone()) };
        assert_eq!(lists.get_with(question.clone(), load).await, Ok(answer.clone()));
        assert_eq!(lists.get(&question).await, Some(answer));
    }
    let picture = bytes::Bytes::from_iter(0..=255_u8);
    let load = async { Ok::<_, ()>(picture.clone()) };
    pictures.get_with("a".into(), load).await.unwrap();
    assert_eq!(pictures.get(&"a".into()).await, Some(picture));
    // One name, one kind of value: another's is not there, and is loaded.
    let other = of[0].cache::<u32, u32>("other", 1000, LONG);
    assert_eq!(other.get(&1).await, None);
});

#[test]
fn what_cannot_be_a_node_is_said_without_its_password() {
    for nodes in [vec!["nonsense"], vec!["redis://me:hush@h:1", "redis://me:hush@h:1/0"]] {
        let settings = CacheSettings::ring(nodes.into_iter().map(String::from));
        let tasks = tasks::Tasks::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let error = runtime.block_on(Store::open(&settings, &tasks)).err().unwrap().to_string();
        assert!(error.contains("is no node of a cache") && !error.contains("hush"), "{error}");
        assert!(!format!("{settings:?}").contains("hush"));
    }
}
