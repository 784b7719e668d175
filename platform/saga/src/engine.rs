//! The engine of one process: knows the kinds of sagas and begins them.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, OnceLock};

use data::Database;
use rest::Problem;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tasks::Tasks;
use telemetry::Context;
use uuid::Uuid;

use crate::definition::Definition;
use crate::kind::Kind;
use crate::recovery;
use crate::settings::Settings;
use crate::wait::Until;

/// Kinds by name and version.
pub(crate) type Kinds = BTreeMap<(&'static str, i64), Arc<dyn Kind>>;

/// Begins sagas, drives them, and takes over those whose driver died. Clones share everything.
#[derive(Clone)]
pub struct Engine {
    pub(crate) db: Database,
    pub(crate) settings: Arc<Settings>,
    pub(crate) kinds: Arc<Kinds>,
    tasks: Arc<OnceLock<Tasks>>,
}

impl Engine {
    /// An engine whose sagas are kept in `db`, which has [`crate::MIGRATIONS`].
    #[must_use]
    pub fn new(db: Database, mut settings: Settings) -> Self {
        settings.lease = settings.lease.max(settings.step_timeout * 2);
        Self { db, settings: Arc::new(settings), kinds: Arc::default(), tasks: Arc::default() }
    }

    /// Makes a kind of saga known.
    ///
    /// # Panics
    /// When it has no step, or its name and version are known already.
    #[must_use]
    pub fn register<S>(mut self, definition: Definition<S>) -> Self
    where
        S: Serialize + DeserializeOwned + Send + 'static,
    {
        let key = (definition.name, definition.version);
        assert!(!definition.shapes.is_empty(), "saga {key:?} has no step");
        let known = Arc::make_mut(&mut self.kinds).insert(key, Arc::new(definition));
        assert!(known.is_none(), "saga {key:?} is there twice");
        self
    }

    /// Starts the recovery worker. When `tasks` stop, sagas that would have to wait are given
    /// back at once; the others may finish.
    pub fn start(&self, tasks: &Tasks) {
        if self.tasks.set(tasks.clone()).is_err() {
            return;
        }
        let engine = self.clone();
        tasks.spawn_loop("saga recovery", move || {
            let work = recovery::run(engine.clone());
            background().scope(work)
        });
    }

    /// Runs the saga `id` of this kind to its end, or finds it: the same id has the same end.
    /// It goes on if the caller is dropped or waits no longer.
    ///
    /// # Errors
    /// What the refusing step said, when everything is undone; 503 when it was undone because a
    /// service was away, or has not ended by the caller's deadline or [`Settings::wait`], whichever
    /// is first: then it goes on, and the same id finds it.
    pub async fn run<S>(&self, kind: &str, id: Uuid, state: S) -> Result<S, Problem>
    where
        S: Serialize + DeserializeOwned + 'static,
    {
        self.answer(kind, id, state, Until::End).await
    }

    /// As [`Engine::run`], but is content when the saga has passed its pivot: from there on it
    /// will be done, if not now. The state is as it was then.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub async fn run_past_pivot<S>(&self, kind: &str, id: Uuid, state: S) -> Result<S, Problem>
    where
        S: Serialize + DeserializeOwned + 'static,
    {
        self.answer(kind, id, state, Until::Pivot).await
    }

    /// As [`Engine::run`], but is content when the saga is on record and, if it is local, its
    /// first step is done. It ends later, done or undone.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub async fn begin<S>(&self, kind: &str, id: Uuid, state: S) -> Result<S, Problem>
    where
        S: Serialize + DeserializeOwned + 'static,
    {
        self.answer(kind, id, state, Until::Begun).await
    }

    async fn answer<S>(&self, kind: &str, id: Uuid, state: S, until: Until) -> Result<S, Problem>
    where
        S: Serialize + DeserializeOwned + 'static,
    {
        let Some(kind) = self.newest(kind).filter(|kind| kind.state() == TypeId::of::<S>()) else {
            tracing::error!(kind, "no saga of that kind with that state is registered");
            return Err(Problem::internal());
        };
        let broken = |error: serde_json::Error| {
            tracing::error!(kind = kind.name(), %error, "a saga's state is broken");
            Problem::internal()
        };
        let state = serde_json::to_string(&state).map_err(broken)?;
        let state = self.carry_out(Arc::clone(&kind), id, state, until).await?;
        serde_json::from_str(&state).map_err(broken)
    }

    fn newest(&self, kind: &str) -> Option<Arc<dyn Kind>> {
        let mut versions = self.kinds.iter().filter(|((name, _), _)| *name == kind);
        versions.next_back().map(|(_, kind)| Arc::clone(kind))
    }

    /// The kind of a saga as its row names it, if this version knows it.
    pub(crate) fn kind(&self, name: &str, version: i64) -> Option<Arc<dyn Kind>> {
        // The keys are static: looked up by hand.
        let known = self.kinds.iter().find(|((n, v), _)| *n == name && *v == version);
        known.map(|(_, kind)| Arc::clone(kind))
    }

    /// Runs `work` on a task that the process' end waits for.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let work = background().scope(work);
        match self.tasks.get() {
            Some(tasks) => tasks.spawn("saga", work),
            None => drop(tokio::spawn(work)),
        }
    }

    pub(crate) fn stopping(&self) -> bool {
        self.tasks.get().is_some_and(|tasks| tasks.stopping().is_cancelled())
    }

    /// Returns when the process wants to end.
    pub(crate) async fn stop(&self) {
        match self.tasks.get() {
            Some(tasks) => tasks.stopping().cancelled_owned().await,
            None => std::future::pending().await,
        }
    }

    pub(crate) fn now(&self) -> i64 {
        self.settings.clock.now()
    }
}

/// The context of a driver: the trace of whoever caused it, but neither their identity nor their
/// deadline, which nobody would know after a crash; and no replicas.
pub(crate) fn background() -> Context {
    let context = Context::current().unwrap_or_else(Context::background);
    Context { deadline: None, caller: None, fresh: true, ..context }
}
