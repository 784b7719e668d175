//! What a stampede meets.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cache::Cache;
use futures::future::join_all;
use tokio::sync::Semaphore;

fn cache() -> Cache<u32, u32> {
    Cache::new("test", 1000, Duration::from_secs(60))
}

#[tokio::test]
async fn a_thousand_who_ask_at_once_are_one_load() {
    let (cache, loads) = (cache(), AtomicUsize::new(0));
    let ask = || {
        cache.get_with(7, async {
            loads.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            Ok::<_, ()>(42)
        })
    };
    let answers = join_all((0..1000).map(|_| ask())).await;
    assert!(answers.iter().all(|answer| *answer == Ok(42)));
    assert_eq!(loads.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_load_that_is_cut_off_is_taken_over() {
    let cache = cache();
    let never = cache.get_with(7, std::future::pending::<Result<u32, ()>>());
    let cut = tokio::time::timeout(Duration::from_millis(1), never).await;
    assert!(cut.is_err());
    assert_eq!(cache.get_with(7, async { Ok::<_, ()>(1) }).await, Ok(1));
}

#[tokio::test]
async fn a_failure_is_not_kept_and_holds_nobody_up() {
    let (cache, gate) = (cache(), Arc::new(Semaphore::new(0)));
    let (one, two) = tokio::join!(
        cache.get_with(7, async {
            gate.acquire().await.unwrap().forget();
            Err("first")
        }),
        async {
            tokio::task::yield_now().await;
            gate.add_permits(1);
            cache.get_with(7, async { Ok::<_, ()>(2) }).await
        }
    );
    assert_eq!((one, two), (Err("first"), Ok(2)));
    assert_eq!(cache.get(&7), Some(2));
}

#[tokio::test]
async fn what_is_invalidated_is_loaded_again() {
    let cache = cache();
    cache.insert(1, 1);
    cache.invalidate(&1);
    assert_eq!(cache.get(&1), None);
    assert_eq!(cache.get_with(1, async { Ok::<_, ()>(2) }).await, Ok(2));
    assert_eq!(cache.get_with(1, async { Ok::<_, ()>(3) }).await, Ok(2));
}

#[tokio::test]
async fn what_was_read_before_a_change_is_not_kept() {
    let (cache, gate) = (cache(), Arc::new(Semaphore::new(0)));
    let (old, ()) = tokio::join!(
        cache.get_with(7, async {
            gate.acquire().await.unwrap().forget();
            Ok::<_, ()>(1)
        }),
        async {
            tokio::task::yield_now().await;
            cache.invalidate(&7);
            gate.add_permits(1);
        }
    );
    assert_eq!((old, cache.get(&7)), (Ok(1), None));
    let (old, ()) = tokio::join!(
        cache.get_with(7, async {
            gate.acquire().await.unwrap().forget();
            Ok::<_, ()>(1)
        }),
        async {
            tokio::task::yield_now().await;
            cache.clear();
            gate.add_permits(1);
        }
    );
    assert_eq!((old, cache.get(&7)), (Ok(1), None));
}
