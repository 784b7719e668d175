//! A cache on the ring: where values are looked for, who loads them, and who waits.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::future::join_all;
use metrics::Counter;
use tokio::time::{Instant, sleep};

use crate::flight::{Flights, Seat};
use crate::format::Format;
use crate::nodes::{Found, Node, Nodes};

/// What a value begins with at a node.
const MARK: u8 = b'V';
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(40);

/// A cache on the ring, for [`Shared`](crate::Shared).
pub(crate) struct Remote<V> {
    nodes: Arc<Nodes>,
    name: &'static str,
    ttl: Duration,
    format: Format<V>,
    flights: Flights<String, V>,
    hits: Counter,
    misses: Counter,
    repairs: Counter,
}

impl<V> Clone for Remote<V> {
    fn clone(&self) -> Self {
        Self {
            nodes: Arc::clone(&self.nodes),
            name: self.name,
            ttl: self.ttl,
            format: self.format,
            flights: self.flights.clone(),
            hits: self.hits.clone(),
            misses: self.misses.clone(),
            repairs: self.repairs.clone(),
        }
    }
}

/// What looking for a key came to.
enum Look<V> {
    Hit(V),
    /// It is ours to load.
    Mine(Lease),
    /// Somebody else loads it.
    Busy,
    /// Nobody answers.
    Nowhere,
}

impl<V: Clone + Send + Sync + 'static> Remote<V> {
    pub(crate) fn new(
        nodes: Arc<Nodes>,
        name: &'static str,
        ttl: Duration,
        format: Format<V>,
    ) -> Self {
        Self {
            nodes,
            name,
            ttl,
            format,
            flights: Flights::default(),
            hits: metrics::counter!("cache_hits_total", "cache" => name),
            misses: metrics::counter!("cache_misses_total", "cache" => name),
            repairs: metrics::counter!("cache_repairs_total", "cache" => name),
        }
    }

    pub(crate) async fn get(&self, key: &str) -> Option<V> {
        let found = self.peek(&self.full(key)).await;
        if found.is_some() {
            self.hits.increment(1)
        } else {
            self.misses.increment(1)
        }
        found
    }

    pub(crate) async fn get_with<E>(
        &self,
        key: &str,
        load: impl Future<Output = Result<V, E>>,
    ) -> Result<V, E> {
        let key = self.full(key);
        if let Some(value) = self.peek(&key).await {
            self.hits.increment(1);
            return Ok(value);
        }
        self.misses.increment(1);
        let seat = self.flights.join(&key).await;
        if let Some(value) = seat.shared() {
            return Ok(value);
        }
        let number = seat.begin();
        let lease = match self.look_for_long(&key).await {
            Look::Hit(value) => {
                seat.land(number, value.clone(), false);
                return Ok(value);
            }
            Look::Mine(lease) => Some(lease),
            Look::Busy | Look::Nowhere => None,
        };
        self.load(&seat, number, lease, load).await
    }

    async fn load<E>(
        &self,
        seat: &Seat<'_, String, V>,
        number: u64,
        lease: Option<Lease>,
        load: impl Future<Output = Result<V, E>>,
    ) -> Result<V, E> {
        let loaded = load.await;
        match (&loaded, lease) {
            (Ok(value), Some(lease)) => {
                let kept = match self.marked(value) {
                    Some(marked) => lease.fill(&marked, self.ttl).await,
                    None => false,
                };
                seat.land(number, value.clone(), kept);
            }
            (Ok(value), None) => seat.land(number, value.clone(), false),
            (Err(_), _) => seat.failed(),
        }
        loaded
    }

    /// Deletes both copies; see [`Nodes::invalidate`]. Goes on if the caller is dropped.
    pub(crate) async fn invalidate(&self, key: &str) {
        let key = self.full(key);
        self.flights.overtake(&key, || {});
        let nodes = Arc::clone(&self.nodes);
        // An error is the process' end, or a panic, which is logged.
        tokio::spawn(async move { nodes.invalidate(&key).await }).await.ok();
    }

    /// Looks at the first node that answers, and changes nothing.
    async fn peek(&self, key: &str) -> Option<V> {
        let [first, second] = self.nodes.copies(key);
        let found = match first?.peek(key).await {
            None => second?.peek(key).await?,
            Some(found) => {
                if let (Found::Value(..), Some(other)) = (&found, second)
                    && other.may_lack(self.ttl)
                {
                    self.repair(key, first?, other);
                }
                found
            }
        };
        match found {
            Found::Value(marked, ..) => self.read(&marked),
            Found::Leased | Found::Nothing => None,
        }
    }

    /// Looks until there is a value, or the lease to load it, or it took too long.
    async fn look_for_long(&self, key: &str) -> Look<V> {
        let end = Instant::now() + self.nodes.settings.wait();
        let mut pause = FIRST_PAUSE;
        loop {
            match self.look(key).await {
                Look::Busy if Instant::now() + pause < end => {
                    sleep(pause.mul_f64(rand::random_range(0.5..=1.0))).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                look => return look,
            }
        }
    }

    /// Looks at both nodes, as far as need be, and takes the lease where there is nothing. A copy
    /// that only the second has is given to the first.
    async fn look(&self, key: &str) -> Look<V> {
        let mut lease = Lease::new(&self.nodes, key);
        let lasts = Duration::from_millis(self.nodes.settings.lease_ms.max(1));
        for node in self.nodes.copies(key).into_iter().flatten() {
            match node.take(key, &lease.token, lasts).await {
                None => {}
                Some(Found::Nothing) => lease.at.push(Arc::clone(node)),
                // At the second node it is somebody's who does not reach the first.
                Some(Found::Leased) if lease.at.is_empty() => return Look::Busy,
                Some(Found::Leased) => {}
                Some(Found::Value(marked, left, generation)) => {
                    let Some(value) = self.read(&marked) else {
                        // Another version's: not ours to replace.
                        return Look::Nowhere;
                    };
                    let left = Duration::from_millis(left.unsigned_abs());
                    if let Some(first) = lease.at.pop() {
                        let copy_of = Some((&**node, generation));
                        if !first.fill(key, &lease.token, &marked, left, copy_of).await {
                            // It has been invalidated meanwhile, or may have been.
                            return Look::Nowhere;
                        }
                        self.repairs.increment(1);
                    }
                    return Look::Hit(value);
                }
            }
        }
        if lease.at.is_empty() { Look::Nowhere } else { Look::Mine(lease) }
    }

    /// Gives `to` a copy of what `from` has, in the background.
    fn repair(&self, key: &str, from: &Arc<Node>, to: &Arc<Node>) {
        let Ok(permit) = Arc::clone(&self.nodes.repairs).try_acquire_owned() else { return };
        let (from, to, key) = (Arc::clone(from), Arc::clone(to), key.to_owned());
        let (token, repairs) = (self.nodes.token(), self.repairs.clone());
        let lease = Duration::from_millis(self.nodes.settings.lease_ms.max(1));
        tokio::spawn(async move {
            if let Some(Found::Nothing) = to.take(&key, &token, lease).await {
                // Read after the lease was taken: otherwise it could be from before a deletion.
                let copied = match from.peek(&key).await {
                    Some(Found::Value(marked, left, generation)) => {
                        let left = Duration::from_millis(left.unsigned_abs());
                        to.fill(&key, &token, &marked, left, Some((&from, generation))).await
                    }
                    _ => false,
                };
                if copied {
                    repairs.increment(1);
                } else {
                    to.release(&key, &token).await;
                }
            }
            drop(permit);
        });
    }

    fn full(&self, key: &str) -> String {
        format!("{}:{key}", self.name)
    }

    fn read(&self, marked: &Bytes) -> Option<V> {
        (self.format.read)(marked.slice(1.min(marked.len())..))
    }

    /// A value as it is kept, unless it is too large for that.
    fn marked(&self, value: &V) -> Option<Bytes> {
        let written = (self.format.write)(value)?;
        if written.len() > self.nodes.settings.largest_value {
            metrics::counter!("cache_too_large_total", "cache" => self.name).increment(1);
            return None;
        }
        let mut marked = BytesMut::with_capacity(written.len() + 1);
        marked.put_u8(MARK);
        marked.put_slice(&written);
        Some(marked.freeze())
    }
}

/// The right to load a key and keep it at some nodes. Given back if it is not used.
struct Lease {
    key: String,
    token: String,
    at: Vec<Arc<Node>>,
}

impl Lease {
    fn new(nodes: &Nodes, key: &str) -> Self {
        Self { key: key.to_owned(), token: nodes.token(), at: Vec::new() }
    }

    /// Keeps a value at all of its nodes. Whether it is kept at each that answers, so that it was
    /// not invalidated before.
    async fn fill(mut self, marked: &[u8], ttl: Duration) -> bool {
        let at = std::mem::take(&mut self.at);
        let fill = |node: &Arc<Node>| {
            let node = Arc::clone(node);
            let (key, token) = (self.key.as_str(), self.token.as_str());
            async move { node.fill(key, token, marked, ttl, None).await }
        };
        join_all(at.iter().map(fill)).await.into_iter().all(|kept| kept)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        for node in self.at.drain(..) {
            let (key, token) = (self.key.clone(), self.token.clone());
            runtime.spawn(async move { node.release(&key, &token).await });
        }
    }
}
