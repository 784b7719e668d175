//! A PostgreSQL server of a test's own.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::os::unix::fs::chown;
use std::path::Path;

use data::DataSettings;
use data::sea_orm::sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use data::sea_orm::sqlx::{AssertSqlSafe, ConnectOptions, Connection, Error, Executor};

use super::programs::{Programs, run};
use crate::absent::skip_here;
use crate::server::process::Launch;
use crate::server::{Server, ask};

/// A PostgreSQL server of a test's own. It can stand alone, lead a replica and follow a primary. It
/// keeps what it acknowledged when it is killed, though not when the machine is. Dropping it ends
/// it.
pub struct Postgres {
    server: Server,
    pub(super) programs: Programs,
}

impl Postgres {
    /// Starts one; [`None`] after a loud skip where there is no PostgreSQL.
    pub async fn start() -> Option<Self> {
        let Some(programs) = Programs::find() else { return skip_here("PostgreSQL") };
        Some(
            Self::with(programs, |programs, folder| {
                programs.initdb(&folder.join("data"), File::create(folder.join("log"))?)
            })
            .await,
        )
    }

    /// One that follows `primary`, from a copy of it.
    pub(super) async fn following(primary: &Self) -> Self {
        let from = primary.address();
        Self::with(primary.programs.clone(), move |programs, folder| copy(programs, folder, from))
            .await
    }

    async fn with(
        programs: Programs,
        fill: impl Fn(&Programs, &Path) -> io::Result<()> + Send + 'static,
    ) -> Self {
        let own = programs.clone();
        let server = Server::start("PostgreSQL", is_ready, move |folder, address| {
            if let Some((user, group)) = own.user {
                chown(folder, Some(user), Some(group))?;
            }
            fill(&own, folder)?;
            let port = address.port().to_string();
            let mut launch = Launch::new(own.path("postgres"), ["-D"]);
            launch.arguments.push(folder.join("data").into());
            let mut more = vec!["-p", &port, "-h", "127.0.0.1", "-k", "", "-N", "200", "-F"];
            for setting in [
                "wal_level=replica",
                "hot_standby=on",
                "max_wal_senders=8",
                "wal_keep_size=256MB",
                // A replica comes back soon, and a lost peer is noticed.
                "wal_retrieve_retry_interval=100ms",
                "wal_receiver_timeout=5s",
                "wal_sender_timeout=5s",
                "full_page_writes=off",
                "autovacuum=off",
                "shared_buffers=32MB",
                "jit=off",
                // In its folder, and not in /dev/shm, where it stays behind when it is killed.
                "dynamic_shared_memory_type=mmap",
            ] {
                more.extend(["-c", setting]);
            }
            launch.arguments.extend(more.into_iter().map(Into::into));
            launch.user = own.user;
            Ok(launch)
        });
        Self { server: server.await, programs }
    }

    /// The address of a database of that name, which may not be there yet.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@{}/{database}", self.address())
    }

    /// Makes an empty database.
    ///
    /// # Panics
    /// When there is one of that name.
    pub async fn database(&self, name: &str) -> DataSettings {
        self.execute(&format!("CREATE DATABASE {name} TEMPLATE template0")).await;
        DataSettings::postgres(self.url(name))
    }

    /// Executes a statement as the administrator.
    ///
    /// # Panics
    /// When it fails.
    pub async fn execute(&self, sql: &str) {
        let mut connection = self.connect().await.unwrap();
        connection.execute(AssertSqlSafe(sql)).await.unwrap();
        connection.close().await.ok();
    }

    /// The only row of a query.
    pub(super) async fn row(&self, sql: &str) -> Result<PgRow, Error> {
        let mut connection = self.connect().await?;
        let row = connection.fetch_one(AssertSqlSafe(sql)).await;
        connection.close().await.ok();
        row
    }

    async fn connect(&self) -> Result<PgConnection, Error> {
        PgConnectOptions::new()
            .host("127.0.0.1")
            .port(self.address().port())
            .username("postgres")
            .database("postgres")
            .disable_statement_logging()
            .connect()
            .await
    }
}

impl Deref for Postgres {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

/// Fills `folder` with a copy of the server at `from` that follows it.
pub(super) fn copy(programs: &Programs, folder: &Path, from: SocketAddr) -> io::Result<()> {
    let mut copy = programs.command("pg_basebackup");
    copy.args(["--host=127.0.0.1", "--username=postgres", "--no-password", "--port"])
        .arg(from.port().to_string())
        .args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--pgdata"])
        .arg(folder.join("data"));
    run(copy, File::options().create(true).append(true).open(folder.join("log"))?)
}

/// Whether it lets an administrator in; a replica does once it can be read.
fn is_ready(address: SocketAddr) -> io::Result<bool> {
    let parameters = b"user\0postgres\0database\0postgres\0\0";
    let length = u32::try_from(8 + parameters.len()).map_err(io::Error::other)?;
    // Length, protocol 3.0, parameters:
    // <https://www.postgresql.org/docs/current/protocol-message-formats.html>.
    let mut question = [length.to_be_bytes(), 196_608_u32.to_be_bytes()].concat();
    question.extend_from_slice(parameters);
    ask(address, &question, |answer| answer.ends_with(b"Z\0\0\0\x05I"))
}
