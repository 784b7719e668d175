//! Rings of real Redis nodes, each behind a way that can be cut, and instances that use them.

use std::time::Duration;

use cache::{CacheSettings, Ring, Shared, Store};
use tasks::Tasks;
use testkit::{Proxy, Redis, eventually};

pub(crate) const LONG: Duration = Duration::from_secs(600);

/// Redis nodes, called `n0`, `n1`, …
pub(crate) struct Nodes {
    pub(crate) redis: Vec<Redis>,
}

/// One instance of a service, with ways of its own to the nodes.
pub(crate) struct Instance {
    pub(crate) store: Store,
    pub(crate) ways: Vec<Proxy>,
    tasks: Tasks,
}

impl Nodes {
    pub(crate) async fn start(n: usize) -> Option<Self> {
        let mut redis = Vec::new();
        for _ in 0..n {
            redis.push(Redis::start().await?);
        }
        Some(Self { redis })
    }

    /// The ring of these nodes, to know who keeps what.
    pub(crate) fn ring(&self) -> Ring {
        let names: Vec<String> = (0..self.redis.len()).map(|n| format!("n{n}")).collect();
        Ring::new(&names)
    }

    pub(crate) fn settings(urls: impl Iterator<Item = String>) -> CacheSettings {
        CacheSettings {
            timeout_ms: 400,
            rest_ms: 20,
            rest_max_ms: 100,
            sync_ms: 300,
            wait_ms: 5_000,
            ..CacheSettings::ring(urls.enumerate().map(|(n, url)| format!("{url}#n{n}")))
        }
    }

    /// An instance that reaches the nodes themselves.
    pub(crate) async fn instance(&self) -> Instance {
        let settings = Self::settings(self.redis.iter().map(Redis::url));
        Instance::open(&settings, Vec::new()).await
    }

    /// An instance that does not ask by itself, for as long as a test lasts, what nodes have missed.
    pub(crate) async fn idle_instance(&self) -> Instance {
        let settings = Self::settings(self.redis.iter().map(Redis::url));
        Instance::open(&CacheSettings { sync_ms: 60_000, ..settings }, Vec::new()).await
    }

    /// An instance whose ways to the nodes can be cut.
    pub(crate) async fn far_instance(&self) -> Instance {
        let mut ways = Vec::new();
        for redis in &self.redis {
            ways.push(Proxy::to(redis.address()).await);
        }
        let urls = ways.iter().map(|way| format!("redis://{}", way.address()));
        let settings = Self::settings(urls.collect::<Vec<_>>().into_iter());
        Instance::open(&settings, ways).await
    }
}

impl Instance {
    async fn open(settings: &CacheSettings, ways: Vec<Proxy>) -> Self {
        let tasks = Tasks::new();
        let store = Store::open(settings, &tasks).await.unwrap();
        Self { store, ways, tasks }
    }

    pub(crate) fn numbers(&self) -> Shared<u32, u32> {
        self.store.cache("numbers", 10_000, LONG)
    }

    /// Waits until so many nodes answer.
    pub(crate) async fn sees(&self, nodes: usize) {
        let what = format!("{nodes} nodes answer");
        eventually(&what, || async { self.store.answering().unwrap().0 == nodes }).await;
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.tasks.stopping().cancel();
    }
}

/// Asks for keys 0 to `keys`, whose value is now `value`, and answers how many were loaded.
pub(crate) async fn read_all(cache: &Shared<u32, u32>, keys: u32, value: u32) -> u32 {
    let mut loads = 0;
    for key in 0..keys {
        let loaded = cache.get_with(key, async {
            loads += 1;
            Ok::<_, ()>(value)
        });
        assert_eq!(loaded.await, Ok(value), "key {key}");
    }
    loads
}
