//! A primary and the replica that follows it.

use std::fs;

use data::DataSettings;
use data::sea_orm::sqlx::Row;

use super::own::{Postgres, copy};
use super::programs::run;
use crate::faults::eventually;
use crate::server::blocking;

/// A PostgreSQL primary and a streaming replica, each with a folder of its own.
pub struct PostgresPair {
    primary: Postgres,
    replica: Postgres,
}

impl PostgresPair {
    /// Starts both; [`None`] after a loud skip where there is no PostgreSQL. Replication is
    /// asynchronous until [`PostgresPair::synchronous`] says otherwise.
    pub async fn start() -> Option<Self> {
        let primary = Postgres::start().await?;
        let replica = Postgres::following(&primary).await;
        Some(Self { primary, replica })
    }

    /// The server that began as the primary.
    #[must_use]
    pub fn primary(&self) -> &Postgres {
        &self.primary
    }

    /// The server that began as the replica.
    #[must_use]
    pub fn replica(&self) -> &Postgres {
        &self.replica
    }

    /// Where a database of that name is, as it was in the beginning: services are told once, and
    /// find the new primary themselves.
    #[must_use]
    pub fn settings(&self, database: &str) -> DataSettings {
        let replicas = vec![self.replica.url(database)];
        DataSettings { replicas, ..DataSettings::postgres(self.primary.url(database)) }
    }

    /// Makes an empty database and waits until the replica has it too.
    ///
    /// # Panics
    /// When there is one of that name, or the primary is gone.
    pub async fn database(&self, name: &str) -> DataSettings {
        self.primary.database(name).await;
        self.caught_up().await;
        self.settings(name)
    }

    /// Whether a commit waits until the replica has it on disk: then no acknowledged write is lost
    /// with the primary, and none is acknowledged without the replica.
    pub async fn synchronous(&self, yes: bool) {
        let names = if yes { "*" } else { "" };
        let sql = format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'");
        self.primary.execute(&sql).await;
        self.primary.execute("SELECT pg_reload_conf()").await;
        let state = if yes { "sync" } else { "async" };
        eventually("the replica is followed so", async || {
            let sql = "SELECT coalesce(min(sync_state), '') FROM pg_stat_replication";
            self.primary.row(sql).await.is_ok_and(|row| row.get::<String, _>(0) == state)
        })
        .await;
    }

    /// Waits until the replica has applied all that the primary had written when this was called.
    pub async fn caught_up(&self) {
        let row = self.primary.row("SELECT pg_current_wal_insert_lsn()::text").await.unwrap();
        let written: String = row.get(0);
        let sql = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'::pg_lsn");
        eventually("the replica has caught up", async || {
            self.replica.row(&sql).await.is_ok_and(|row| row.get(0))
        })
        .await;
    }

    /// Kills the server that began as the primary.
    pub async fn kill_primary(&self) {
        self.primary.kill().await;
    }

    /// Starts the server that began as the primary again as it was. After a promotion there are
    /// two primaries then, which is a fault of its own; see [`PostgresPair::rejoin_primary`].
    pub async fn restart_primary(&self) {
        self.primary.restart().await;
    }

    /// Kills the server that began as the replica.
    pub async fn kill_replica(&self) {
        self.replica.kill().await;
    }

    /// Starts the server that began as the replica again; it catches up by itself.
    pub async fn restart_replica(&self) {
        self.replica.restart().await;
    }

    /// Makes the replica a primary, and waits until it is one.
    ///
    /// # Panics
    /// When that fails.
    pub async fn promote_replica(&self) {
        let mut promote = self.replica.programs.command("pg_ctl");
        promote.args(["promote", "-w", "-s", "-D"]).arg(self.replica.folder().join("data"));
        let log = self.replica.folder().join("log");
        let log = fs::File::options().append(true).open(log).unwrap();
        blocking(move || run(promote, log).unwrap()).await;
    }

    /// Brings the old primary back as a replica of the new one: a new copy, as an operator would
    /// make it.
    ///
    /// # Panics
    /// When that fails.
    pub async fn rejoin_primary(&self) {
        self.primary.kill().await;
        let (from, programs) = (self.replica.address(), self.primary.programs.clone());
        let folder = self.primary.folder().to_owned();
        blocking(move || {
            // What it left in memory is removed with the folder, by what is written here.
            let left = folder.join(format!("left-{:08x}", rand::random::<u32>()));
            fs::create_dir(&left).unwrap();
            let (data, pid) = (folder.join("data"), "postmaster.pid");
            fs::rename(data.join(pid), left.join(pid)).unwrap();
            fs::remove_dir_all(data).unwrap();
            copy(&programs, &folder, from).unwrap();
        })
        .await;
        self.primary.restart().await;
    }
}
