//! The engines of a cluster, all on this machine and from PATH: PostgreSQL with a replica, one more
//! for a shard, three Redis nodes, NATS and S3.
//!
//! Invariant: each system gets databases, a stream, a registry and keys of its own, so that
//! many may share the servers.

use std::fmt::Write;

use data::DataSettings;
use testkit::{Nats, Postgres, PostgresPair, Redis, S3};
use tokio::sync::OnceCell;

/// How many Redis nodes the ring has.
const NODES: usize = 3;

/// Running engines; they end when this is dropped, or with the process.
pub struct Engines {
    /// The databases of all services.
    pub postgres: PostgresPair,
    /// The second half of the popularity slots.
    pub shard: Postgres,
    /// The ring.
    pub redis: Vec<Redis>,
    /// The event log and the registry.
    pub nats: Nats,
    /// For blobs, which no service has yet.
    pub s3: S3,
}

impl Engines {
    /// Starts all; [`None`], and a loud skip, where one of them is missing.
    pub async fn start() -> Option<Self> {
        let nodes = async {
            let mut nodes = Vec::new();
            for _ in 0..NODES {
                nodes.push(Redis::start().await?);
            }
            Some(nodes)
        };
        let (postgres, shard, redis, nats, s3) = tokio::join!(
            PostgresPair::start(),
            Postgres::start(),
            nodes,
            Nats::start(),
            S3::start()
        );
        Some(Self { postgres: postgres?, shard: shard?, redis: redis?, nats: nats?, s3: s3? })
    }

    /// Those that all scenarios of this process share: none may kill them.
    pub async fn shared() -> Option<&'static Self> {
        static SHARED: OnceCell<Option<Engines>> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await.as_ref()
    }

    /// The settings, as TOML, of a system called `name` (letters and digits), whose databases are
    /// made here.
    ///
    /// # Panics
    /// If a database cannot be made.
    pub async fn settings(&self, name: &str) -> String {
        let mut toml = String::new();
        for service in ["accounts", "palettes", "popularity", "chat"] {
            let database = self.postgres.database(&format!("{name}_{service}")).await;
            table(&mut toml, &format!("[database.{service}]"), &database);
        }
        let shard = self.shard.database(&format!("{name}_shard")).await;
        table(
            &mut toml,
            "[[popularity.shards]]\nslots = \"128-255\"\n[popularity.shards.database]",
            &shard,
        );
        let nodes: Vec<_> = self.redis.iter().map(Redis::url).collect();
        let nats = self.nats.url();
        let _ = write!(
            toml,
            "[events]\nprimary = \"{nats}\"\nstream = \"{name}-events\"\n\
             [discovery]\nregistry = \"{nats}\"\nbucket = \"{name}-registry\"\n\
             [cache]\nnodes = {nodes:?}\nprefix = \"{name}\"\n"
        );
        toml
    }
}

fn table(toml: &mut String, head: &str, database: &DataSettings) {
    let DataSettings { primary, replicas, .. } = database;
    // Small pools: many systems share the servers' connections.
    let _ = write!(
        toml,
        "{head}\nprimary = \"{primary}\"\nreplicas = {replicas:?}\npool = 3\nreaders = 2\n"
    );
}
