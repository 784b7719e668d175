//! One open database: the only place where transactions begin.

use std::sync::Arc;
use std::time::Duration;

use telemetry::Context;
use tokio::sync::watch;
use tokio::task::JoinError;
use tracing::Instrument;

use crate::measure::Measure;
use crate::probe;
use crate::servers::Servers;
use crate::{
    BoxFuture, DataError, DataSettings, Engine, Migration, Reader, Sql, Tx, migration, postgres,
    sqlite,
};

/// No transaction stays open longer: it would keep all others from writing.
const LONGEST: Duration = Duration::from_secs(30);
/// Migrations may rewrite large tables.
const LONGEST_MIGRATION: Duration = Duration::from_secs(3600);

/// One open database; cheap to clone.
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) name: String,
    pub(crate) servers: Arc<Servers>,
    pub(crate) committed: watch::Sender<u64>,
    pub(crate) measure: Arc<Measure>,
}

impl Database {
    /// Makes a database if it is a file that is not there, applies what it lacks of `migrations`,
    /// and lets go of it. Answers how many steps were applied; none if another was faster.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn migrate_only(
        settings: &DataSettings,
        migrations: &[&[Migration]],
    ) -> Result<usize, DataError> {
        let database = Self::connect(settings, migrations).await?;
        let applied = database.migrate(migrations).await;
        database.close().await;
        applied
    }

    /// Opens a database, making it if it is a file that is not there, and applies what it lacks
    /// of `migrations`. Several processes may do so at once.
    ///
    /// # Errors
    /// [`DataError::Startup`] with one line that says what to do; nothing was changed then.
    pub async fn open(
        settings: &DataSettings,
        migrations: &[&[Migration]],
    ) -> Result<Self, DataError> {
        let database = Self::connect(settings, migrations).await?;
        database.migrate(migrations).await?;
        Ok(database)
    }

    async fn connect(
        settings: &DataSettings,
        migrations: &[&[Migration]],
    ) -> Result<Self, DataError> {
        let engine = settings.engine()?;
        let (name, servers) = match engine {
            Engine::Sqlite => {
                let path = sqlite::path(settings);
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                (name, sqlite::open(settings, migrations).await?)
            }
            Engine::Postgres => {
                (postgres::name(&settings.primary), postgres::open(settings).await?)
            }
        };
        let inner = Inner {
            engine,
            measure: Arc::new(Measure::new(engine, name.clone())),
            name,
            servers: Arc::new(servers),
            committed: watch::Sender::new(0),
        };
        if engine == Engine::Postgres {
            probe::keep_asking(&inner.servers);
        }
        Ok(Self { inner: Arc::new(inner) })
    }

    async fn migrate(&self, migrations: &[&[Migration]]) -> Result<usize, DataError> {
        let primary = self.inner.servers.primary();
        let shown = format!("the database {}", primary.shown);
        let engine = self.engine();
        let exists = match engine {
            Engine::Sqlite => sqlite::HAS_MIGRATIONS,
            Engine::Postgres => postgres::HAS_MIGRATIONS,
        };
        let applied = migration::applied(&primary.reader, exists)
            .await
            .map_err(|error| DataError::Startup(format!("cannot read {shown}: {error}")))?;
        if migration::missing(&applied, migrations, &shown)?.is_empty() {
            return Ok(0);
        }
        let lists: Vec<Vec<Migration>> = migrations.iter().map(|list| list.to_vec()).collect();
        let database = shown.clone();
        let result: Result<usize, DataError> = self
            .write_within(LONGEST_MIGRATION, move |tx| {
                Box::pin(async move {
                    if engine == Engine::Postgres {
                        // Steps may take long; the lock ends with the transaction.
                        tx.run("SET LOCAL statement_timeout = 0", []).await?;
                        tx.run("SET LOCAL lock_timeout = '60s'", []).await?;
                        tx.run("SELECT pg_advisory_xact_lock(4702394921427289928)", []).await?;
                    }
                    let lists: Vec<&[Migration]> = lists.iter().map(Vec::as_slice).collect();
                    migration::apply(tx, engine, &lists, &database, exists).await
                })
            })
            .await;
        result.map_err(|error| match error {
            DataError::Startup(_) => error,
            error => DataError::Startup(format!("cannot migrate {shown}: {error}")),
        })
    }

    /// The engine it stands on.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.inner.engine
    }

    /// Its name in metrics: that of the file, or of the database on the server.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Runs `work` in a transaction: kept if it answers `Ok`, forgotten if it answers `Err`.
    ///
    /// It runs on a task of its own, with the caller's [`Context`], and is finished even if the
    /// caller is dropped. Do not call `write` of the same database inside: on SQLite the inner
    /// one would wait for the outer one, and fail after 5 s.
    ///
    /// # Errors
    /// What `work` answered; [`DataError::Unavailable`] when no connection was free within some
    /// seconds, when the database went away, or when `work` took 30 s; [`DataError::Busy`] when
    /// another process held SQLite's lock for 5 s; whatever a deferred constraint says at the
    /// commit.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: for<'t> FnOnce(&'t Tx) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<DataError> + Send + 'static,
    {
        self.write_within(LONGEST, work).await
    }

    async fn write_within<T, E, F>(&self, longest: Duration, work: F) -> Result<T, E>
    where
        F: for<'t> FnOnce(&'t Tx) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<DataError> + Send + 'static,
    {
        match self.spawn(longest, work).await {
            Ok(result) => result,
            Err(gone) if gone.is_panic() => std::panic::resume_unwind(gone.into_panic()),
            Err(_) => Err(DataError::Unavailable("the process is stopping".into()).into()),
        }
    }

    /// As [`Self::write`], with a panic of `work` as an error.
    pub(crate) async fn write_caught<T, E, F>(&self, work: F) -> Result<Result<T, E>, JoinError>
    where
        F: for<'t> FnOnce(&'t Tx) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<DataError> + Send + 'static,
    {
        self.spawn(LONGEST, work).await
    }

    async fn spawn<T, E, F>(&self, longest: Duration, work: F) -> Result<Result<T, E>, JoinError>
    where
        F: for<'t> FnOnce(&'t Tx) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<DataError> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        let task = async move { inner.transaction(longest, work).await }.in_current_span();
        match Context::current() {
            Some(context) => tokio::spawn(context.scope(task)).await,
            None => tokio::spawn(task).await,
        }
    }

    /// Connections to read from; see [`Reader`] for what they see.
    #[must_use]
    pub fn read(&self) -> Reader {
        Reader {
            servers: Arc::clone(&self.inner.servers),
            fresh: Context::with_current(|context| context.fresh) == Some(true),
            measure: Arc::clone(&self.inner.measure),
        }
    }

    /// Connections to the primary to read from, whoever asks: for work that must not be misled by
    /// a replica that lags.
    #[must_use]
    pub fn read_primary(&self) -> Reader {
        Reader { fresh: true, ..self.read() }
    }

    /// Changes after every commit of this process, so that whoever waits for rows need not poll
    /// for those.
    #[must_use]
    pub fn committed(&self) -> watch::Receiver<u64> {
        self.inner.committed.subscribe()
    }

    /// Closes every connection, so that a SQLite file stands alone, without its `-wal` beside it.
    /// Requests that still use it fail. Dropping the last clone does so too, a moment later.
    pub async fn close(&self) {
        self.inner.servers.close().await;
    }

    pub(crate) fn measure(&self) -> &Measure {
        &self.inner.measure
    }
}
