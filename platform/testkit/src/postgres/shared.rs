//! Joining the current server, or starting it; databases on it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use data::DataSettings;
use data::sea_orm::sqlx::postgres::{PgConnectOptions, PgConnection};
use data::sea_orm::sqlx::{AssertSqlSafe, ConnectOptions, Connection, Error, Executor};

use super::programs::Programs;
use super::start::{folder, hold_lease, start, tail};

/// No PostgreSQL on this machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Absent;

/// The server, for as long as this process lives.
pub(crate) struct Shared {
    run: PathBuf,
    /// Held, not used: see [`super`].
    _lease: File,
}

static SERVER: OnceLock<Result<Shared, Absent>> = OnceLock::new();
/// How long a server may take to start, or its sockets to answer.
const PATIENCE: Duration = Duration::from_secs(60);

impl Shared {
    /// The server that the tests of this machine share, started if need be. Must not be called
    /// inside a tokio runtime.
    pub(crate) fn joined() -> Result<&'static Self, Absent> {
        let server = SERVER.get_or_init(|| {
            let programs = Programs::find().ok_or(Absent)?;
            match join_or_start(&programs) {
                Ok(server) => Ok(server),
                // It is here and does not work: that is no reason to skip.
                Err(error) => panic!("PostgreSQL for tests does not start: {error}"),
            }
        });
        server.as_ref().map_err(|absent| *absent)
    }

    /// The server, if this process has joined it.
    pub(crate) fn running() -> Option<&'static Self> {
        SERVER.get()?.as_ref().ok()
    }

    /// The socket it listens on.
    pub(crate) fn socket(&self) -> PathBuf {
        self.run.join(".s.PGSQL.5432")
    }

    /// A name that no other test has.
    pub(crate) fn new_name(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        format!("t{}_{count}_{:08x}", std::process::id(), rand::random::<u32>())
    }

    /// Makes an empty database.
    pub(crate) async fn create(&self, name: &str) -> DataSettings {
        let sql = format!("CREATE DATABASE {name} TEMPLATE template0");
        self.admin(sql).await.unwrap();
        let folder = self.run.display().to_string().replace('%', "%25").replace('/', "%2F");
        DataSettings::postgres(format!("postgres://postgres@localhost/{name}?host={folder}"))
    }

    /// The name of the database at an address that [`Self::create`] made.
    pub(crate) fn name_of(&self, settings: &DataSettings) -> String {
        let path = settings.primary.split('?').next().unwrap_or_default();
        path.rsplit('/').next().unwrap_or_default().to_owned()
    }

    /// Removes a database and its siblings, whoever is still connected.
    pub(crate) async fn drop_all(&self, settings: &DataSettings) {
        let name = self.name_of(settings);
        let mut connection = connect(&self.run).await.unwrap();
        let like = format!("{}\\_%", name.replace('_', "\\_"));
        let found: Vec<(String,)> = data::sea_orm::sqlx::query_as(
            "SELECT datname FROM pg_database WHERE datname = $1 OR datname LIKE $2",
        )
        .bind(&name)
        .bind(&like)
        .fetch_all(&mut connection)
        .await
        .unwrap();
        for (name,) in found {
            let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
            connection.execute(AssertSqlSafe(sql)).await.unwrap();
        }
        connection.close().await.ok();
    }

    async fn admin(&self, sql: String) -> Result<(), Error> {
        let mut connection = connect(&self.run).await?;
        connection.execute(AssertSqlSafe(sql)).await?;
        connection.close().await
    }
}

async fn connect(run: &Path) -> Result<PgConnection, Error> {
    PgConnectOptions::new()
        .socket(run)
        .username("postgres")
        .database("postgres")
        .disable_statement_logging()
        .connect()
        .await
}

/// Whether the server in `run` answers; `child` is the one that was started there just now, which
/// is waited for.
fn answers(run: &Path, mut child: Option<&mut Child>) -> io::Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let began = Instant::now();
    runtime.block_on(async {
        loop {
            let probe = async { connect(run).await?.close().await };
            let answers =
                matches!(tokio::time::timeout(Duration::from_secs(5), probe).await, Ok(Ok(())));
            let Some(child) = child.as_mut().filter(|_| !answers) else { return Ok(answers) };
            if child.try_wait()?.is_some() || began.elapsed() > PATIENCE {
                return Ok(false);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
}

fn join_or_start(programs: &Programs) -> io::Result<Shared> {
    let base = base()?;
    let lock = File::create(base.join("lock"))?;
    // One process at a time; the others then join what it started.
    lock.lock()?;
    if let Some(server) = join(&base) {
        return Ok(server);
    }
    // What a server left that was killed together with its supervisor.
    fs::remove_file(base.join("current")).ok();
    let name = format!("run-{}-{:08x}", std::process::id(), rand::random::<u32>());
    let run = base.join(&name);
    let mut started = start(programs, &base, &name)?;
    if !answers(&run, Some(&mut started.child))? {
        return Err(io::Error::other(tail(&run)));
    }
    symlink(&name, base.join("current"))?;
    Ok(Shared { run, _lease: started.lease })
}

/// Joins the current server, if there is one that lives.
fn join(base: &Path) -> Option<Shared> {
    let current = base.join("current");
    let name = fs::read_link(&current).ok()?;
    let run = base.join(&name);
    let lease = hold_lease(&run).ok()?;
    // Still the current one now that the pipe is held: its supervisor will wait for us.
    let lives = fs::read_link(&current).ok()? == name && answers(&run, None).ok()?;
    lives.then_some(Shared { run, _lease: lease })
}

/// A folder for this user alone. Short, since the path of a socket has at most 107 bytes.
fn base() -> io::Result<PathBuf> {
    let probe = tempfile::tempdir()?;
    let user = fs::metadata(probe.path())?.uid();
    let base = std::env::temp_dir().join(format!("atelier-postgres-{user}"));
    folder(&base)?;
    if fs::symlink_metadata(&base)?.uid() != user {
        return Err(io::Error::other(format!("{} belongs to someone else", base.display())));
    }
    Ok(base)
}
