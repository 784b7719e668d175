//! One node: its connection, which is its breaker, and what it is asked.
//!
//! There is a connection, or the node is left out: whoever waits for an answer in vain takes the
//! connection away, and only the node's keeper makes another. So a node costs one time-out, of
//! those who were waiting then, until it answers its keeper in time again.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use metrics::{Counter, Gauge};
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, FromRedisValue, RedisError, RedisResult, Script,
};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::script;
use crate::settings::CacheSettings;

/// Longer keys are kept under their hashes.
const LONGEST_KEY: usize = 200;
/// Questions under way to one node; more wait, and count as unanswered if they wait too long.
const AT_ONCE: usize = 4096;

/// One node of a ring.
pub(crate) struct Node {
    /// What it is called on the ring: `host:port/database`, unless the settings name it.
    pub(crate) name: String,
    client: Client,
    connecting: AsyncConnectionConfig,
    connect_timeout: Duration,
    timeout: Duration,
    prefix: String,
    register: String,
    line: ArcSwapOption<Line>,
    /// Somebody took the connection away.
    pub(super) lost: Notify,
    generation: AtomicI64,
    /// The nodes that are out of date, of which it could not be told.
    owed: Mutex<BTreeSet<String>>,
    began: Instant,
    /// Milliseconds since `began`; 0 is never.
    synced: AtomicU64,
    renewed: AtomicU64,
    up: Gauge,
    failures: Counter,
}

/// A connection that others share.
pub(crate) struct Line(MultiplexedConnection);

/// What a node holds under a key.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// A value, which has so many milliseconds left, and the generation it was read under.
    Value(Bytes, i64, i64),
    /// Somebody loads it, or has just invalidated it.
    Leased,
    /// Nothing. If a lease was asked for, it is there now.
    Nothing,
}

type Answer = (i64, Option<Bytes>, i64);

impl Node {
    pub(super) fn new(
        info: ConnectionInfo,
        name: &str,
        settings: &CacheSettings,
        began: Instant,
    ) -> Result<Self, RedisError> {
        let name = match name {
            "" => format!("{}/{}", info.addr(), info.redis_settings().db()),
            name => name.to_owned(),
        };
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let (up, failures) = (
            metrics::gauge!("cache_node_up", "node" => name.clone()),
            metrics::counter!("cache_node_failures_total", "node" => name.clone()),
        );
        up.set(0.0);
        Ok(Self {
            client: Client::open(info)?,
            connecting: AsyncConnectionConfig::new()
                .set_connection_timeout(None)
                .set_response_timeout(None)
                .set_concurrency_limit(AT_ONCE),
            connect_timeout: settings.connect_timeout(),
            timeout: settings.timeout(),
            prefix: settings.prefix.clone(),
            register: format!("{}:generations", settings.prefix),
            line: ArcSwapOption::empty(),
            lost: Notify::new(),
            generation: AtomicI64::new(0),
            owed: Mutex::default(),
            began,
            synced: AtomicU64::new(0),
            renewed: AtomicU64::new(0),
            up,
            failures,
            name,
        })
    }

    pub(crate) fn is_up(&self) -> bool {
        self.line.load().is_some()
    }

    pub(crate) fn generation(&self) -> i64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Takes note of a generation, if it is newer.
    pub(super) fn raise(&self, generation: i64) {
        if self.generation.fetch_max(generation, Ordering::AcqRel) < generation {
            self.renewed.store(self.elapsed(), Ordering::Release);
        }
    }

    /// It has to be told, before it is used again, that `node` is out of date.
    pub(super) fn owe(&self, node: &Self) {
        self.owed().insert(node.name.clone());
    }

    /// Whether it has to be told that of `node`; from now on, no longer.
    pub(super) fn settle(&self, node: &Self) -> bool {
        self.owed().remove(&node.name)
    }

    fn owed(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_synced(&self, within: Duration) -> bool {
        let synced = self.synced.load(Ordering::Acquire);
        synced > 0 && Duration::from_millis(self.elapsed().saturating_sub(synced)) < within
    }

    pub(super) fn synced(&self) {
        self.synced.store(self.elapsed(), Ordering::Release);
    }

    /// Whether it may lack copies that it should have: it has returned, or been distrusted, within
    /// this time.
    pub(crate) fn may_lack(&self, within: Duration) -> bool {
        let renewed = self.renewed.load(Ordering::Acquire);
        renewed > 0 && Duration::from_millis(self.elapsed().saturating_sub(renewed)) < within
    }

    /// Everybody started together: it lacks no more than the others.
    pub(super) fn lacks_nothing(&self) {
        self.renewed.store(0, Ordering::Release);
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }

    /// A new connection that nobody uses yet.
    pub(super) async fn connect(&self) -> Option<Arc<Line>> {
        let connect = self.client.get_multiplexed_async_connection_with_config(&self.connecting);
        match timeout(self.connect_timeout, connect).await {
            Ok(Ok(connection)) => Some(Arc::new(Line(connection))),
            Ok(Err(error)) => {
                tracing::debug!(node = self.name, %error, "a cache node cannot be reached");
                None
            }
            Err(_) => None,
        }
    }

    /// From now on everybody uses this connection.
    pub(super) fn join(&self, line: Arc<Line>) {
        self.renewed.store(self.elapsed(), Ordering::Release);
        self.line.store(Some(line));
        self.up.set(1.0);
        tracing::info!(node = self.name, "a cache node is in use");
    }

    /// Takes the connection away, unless there is another by now.
    fn leave(&self, line: &Arc<Line>, why: &dyn std::fmt::Display) {
        let before = self.line.compare_and_swap(&Some(Arc::clone(line)), None);
        if before.as_ref().is_some_and(|before| Arc::ptr_eq(before, line)) {
            self.failures.increment(1);
            self.up.set(0.0);
            tracing::warn!(node = self.name, %why, "a cache node is left out until it answers");
            self.lost.notify_one();
        }
    }

    /// Asks; `None` if it is left out, or is from now on.
    async fn ask<T, F>(&self, question: impl FnOnce(MultiplexedConnection) -> F) -> Option<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let line = self.line.load_full()?;
        match timeout(self.timeout, question(line.0.clone())).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => self.leave(&line, &error),
            Err(_) => self.leave(&line, &"no answer in time"),
        }
        None
    }

    /// Asks over a connection that nobody uses yet.
    pub(super) async fn ask_first<T: FromRedisValue>(
        &self,
        line: &Line,
        script: &Script,
        arguments: &[(&str, i64)],
    ) -> Option<T> {
        let mut connection = line.0.clone();
        let call = self.on_register(script, arguments);
        timeout(self.timeout, call.invoke_async(&mut connection)).await.ok()?.ok()
    }

    /// Asks about the register of generations.
    pub(super) async fn ask_register<T: FromRedisValue>(
        &self,
        script: &Script,
        arguments: &[(&str, i64)],
    ) -> Option<T> {
        let call = self.on_register(script, arguments);
        self.ask(|mut connection| async move { call.invoke_async(&mut connection).await }).await
    }

    fn on_register<'s>(
        &self,
        script: &'s Script,
        arguments: &[(&str, i64)],
    ) -> redis::ScriptInvocation<'s> {
        let mut call = script.prepare_invoke();
        call.key(&self.register);
        for (name, generation) in arguments {
            call.arg(*name).arg(*generation);
        }
        call
    }

    /// Counts `node` a generation further here, and answers which it is.
    pub(super) async fn next_generation(&self, node: &Self) -> Option<i64> {
        self.ask_register(&script::NEXT, &[(&node.name, node.generation())]).await
    }

    /// Asks about a key, under the newest generation; answers also which that was.
    async fn ask_about(
        &self,
        key: &str,
        script: &Script,
        arguments: &[&[u8]],
    ) -> Option<(Answer, i64)> {
        for _ in 0..3 {
            let generation = self.generation();
            let mut call = script.prepare_invoke();
            call.key(self.key(key, generation)).key(&self.register);
            call.arg(&self.name).arg(generation);
            for argument in arguments {
                call.arg(*argument);
            }
            let answer: Answer = self
                .ask(|mut connection| async move { call.invoke_async(&mut connection).await })
                .await?;
            if answer.0 != script::STALE {
                return Some((answer, generation));
            }
            self.raise(answer.2);
        }
        None
    }

    fn key(&self, key: &str, generation: i64) -> String {
        if key.len() > LONGEST_KEY {
            let hash = hex::encode(Sha256::digest(key));
            return format!("{}:{generation}:#{hash}", self.prefix);
        }
        format!("{}:{generation}:{key}", self.prefix)
    }

    /// What is there. `None`: no answer.
    pub(crate) async fn peek(&self, key: &str) -> Option<Found> {
        let ((code, bytes, left), generation) = self.ask_about(key, &script::PEEK, &[]).await?;
        Some(found(code, bytes, left, generation))
    }

    /// What is there; if nothing is, takes the lease.
    pub(crate) async fn take(&self, key: &str, token: &str, lease: Duration) -> Option<Found> {
        let lease = millis(lease);
        let arguments = [token.as_bytes(), lease.as_bytes()];
        let ((code, bytes, left), generation) =
            self.ask_about(key, &script::TAKE, &arguments).await?;
        Some(found(code, bytes, left, generation))
    }

    /// Keeps a value where the lease is; `marked` begins with its mark. A copy says of which node
    /// and generation. Whether it is kept.
    pub(crate) async fn fill(
        &self,
        key: &str,
        token: &str,
        marked: &[u8],
        ttl: Duration,
        copy_of: Option<(&Self, i64)>,
    ) -> bool {
        let ttl = millis(ttl);
        let mut arguments = vec![token.as_bytes(), marked, ttl.as_bytes()];
        let generation = copy_of.map(|(_, generation)| generation.to_string());
        if let (Some((node, _)), Some(generation)) = (copy_of, &generation) {
            arguments.extend([node.name.as_bytes(), generation.as_bytes()]);
        }
        let answer = self.ask_about(key, &script::FILL, &arguments).await;
        answer.is_some_and(|((code, ..), _)| code == script::DONE)
    }

    /// Takes the lease from whoever has it, and forgets what is there. Whether that is certain.
    pub(super) async fn seize(&self, key: &str, token: &str, lease: Duration) -> bool {
        let lease = millis(lease);
        let arguments = [token.as_bytes(), lease.as_bytes()];
        self.ask_about(key, &script::SEIZE, &arguments).await.is_some()
    }

    /// Gives a lease back; otherwise it runs out.
    pub(crate) async fn release(&self, key: &str, token: &str) {
        self.ask_about(key, &script::RELEASE, &[token.as_bytes()]).await;
    }
}

fn found(code: i64, bytes: Option<Bytes>, left: i64, generation: i64) -> Found {
    match (code, bytes) {
        (script::VALUE, Some(bytes)) => Found::Value(bytes, left.max(1), generation),
        (script::LEASED, _) => Found::Leased,
        (script::ABSENT, _) => Found::Nothing,
        // Not what it was asked: somebody else's scripts. Nothing to be had or kept here.
        _ => Found::Leased,
    }
}

fn millis(duration: Duration) -> String {
    duration.as_millis().max(1).to_string()
}
