//! Which services this process holds and how they reach the others: the only place that sees every
//! service, and the only one that decides between the local and the remote way.
//!
//! Invariant: any grouping of services into processes works, because each is built the same way
//! and none waits for another.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;

use axum::Router;
use data::{DataError, Database, Migration};
use events::Log;
use gateway::Gateway;
use mesh::Mesh;
use tasks::Tasks;
use tokio::net::TcpListener;

use crate::config::Config;
use crate::{folder, openapi};

/// A service of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// The registry.
    Discovery,
    /// Accounts, sessions, keys.
    Accounts,
    /// Palettes of colours.
    Palettes,
    /// Likes, views, ranks.
    Popularity,
    /// Chats and lobbies.
    Chat,
    /// The one door.
    Gateway,
}

impl Service {
    /// Every service, in the order in which a split system starts them.
    pub const ALL: [Self; 6] = [
        Self::Discovery,
        Self::Accounts,
        Self::Palettes,
        Self::Popularity,
        Self::Chat,
        Self::Gateway,
    ];

    /// The service's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Discovery => "discovery",
            Self::Accounts => "accounts",
            Self::Palettes => "palettes",
            Self::Popularity => "popularity",
            Self::Chat => "chat",
            Self::Gateway => "gateway",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Service {
    type Err = StartError;

    fn from_str(name: &str) -> Result<Self, StartError> {
        Self::ALL
            .into_iter()
            .find(|service| service.name() == name)
            .ok_or_else(|| StartError::UnknownService(name.to_owned()))
    }
}

/// Why the system cannot start: one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No service has that name.
    #[error(
        "there is no service `{0}`; there are discovery, accounts, palettes, popularity, chat, gateway"
    )]
    UnknownService(String),
    /// An address cannot be listened on.
    #[error(
        "cannot listen on {address}: {error}; is another process there? Choose another with {how}"
    )]
    Listen {
        /// Which.
        address: String,
        /// Why.
        error: io::Error,
        /// How to choose another.
        how: &'static str,
    },
    /// The data folder cannot be used.
    #[error("cannot use the data folder: {0}; choose another with --data")]
    Folder(io::Error),
    /// A database cannot be opened.
    #[error("{service}: {error}")]
    Database {
        /// Whose.
        service: &'static str,
        /// Why.
        error: DataError,
    },
    /// A service cannot be built from its settings.
    #[error("{service}: {reason}")]
    Build {
        /// Which.
        service: &'static str,
        /// Why.
        reason: String,
    },
}

/// The gateway of this process.
struct Public {
    address: SocketAddr,
    gateway: Gateway,
}

/// The services of this process, running.
pub struct System {
    public: Option<Public>,
    /// Where siblings connect.
    pub private: SocketAddr,
    mesh: Mesh,
    edge: Tasks,
    inner: Tasks,
}

impl System {
    /// Starts `services` in this process.
    ///
    /// # Errors
    /// [`StartError`]; then nothing of it goes on running.
    pub async fn start(config: &Config, services: &[Service]) -> Result<Self, StartError> {
        let has = |service| services.contains(&service);
        folder::prepare(&config.data).map_err(StartError::Folder)?;
        let mut settings = config.mesh.clone();
        if settings.secret.is_empty() {
            settings.secret = folder::secret(&config.data).map_err(StartError::Folder)?;
        }

        // Every address first: a taken one is told before anything is written.
        let public = listen(has(Service::Gateway), &config.listen, "--listen").await?;
        let registry =
            listen(has(Service::Discovery), &config.discovery.listen, "[discovery] listen").await?;
        let private = bind(&config.mesh.listen, "[mesh] listen").await?;
        let private_address = address(&private)?;

        let (edge, inner) = (Tasks::new(), Tasks::new());
        let mesh = Mesh::new(settings);
        let log = Log::open(&config.event_log())
            .await
            .map_err(|error| StartError::Database { service: "events", error })?;
        let caches = cache::Store::open(&config.cache, &inner)
            .await
            .map_err(|error| StartError::Build { service: "cache", reason: error.to_string() })?;
        let building = Building { config, log: &log, mesh: &mesh, caches: &caches, tasks: &inner };
        tokio::try_join!(
            building.accounts(has(Service::Accounts)),
            building.palettes(has(Service::Palettes)),
            building.popularity(has(Service::Popularity)),
            building.chat(has(Service::Chat)),
        )?;

        let registries = match &registry {
            Some(listener) => vec![address(listener)?.to_string()],
            None => config.discovery.addresses(),
        };
        if let Some(listener) = registry {
            let router = discovery::build(&config.discovery, &inner);
            discovery::serve(listener, router, &inner);
        }
        mesh::serve(private, mesh.clone(), &inner);
        mesh.follow(registries, &inner);
        mesh.register(
            private_address,
            env!("CARGO_PKG_VERSION"),
            services.iter().map(|service| service.name()),
            &inner,
        );

        let public = match public {
            None => None,
            Some(listener) => {
                let at = address(&listener)?;
                let document = openapi::document().to_json().unwrap_or_default();
                let settings = config.gateway.clone();
                let gateway =
                    gateway::build(mesh.clone(), log, &caches, settings, document, &inner)
                        .map_err(|error| StartError::Build {
                            service: "gateway",
                            reason: error.to_string(),
                        })?;
                edge.spawn("gateway", gateway.clone().serve(listener, edge.stopping()));
                Some(Public { address: at, gateway })
            }
        };
        Ok(Self { public, private: private_address, mesh, edge, inner })
    }

    /// Where clients connect, if the gateway is here.
    #[must_use]
    pub fn public(&self) -> Option<SocketAddr> {
        self.public.as_ref().map(|public| public.address)
    }

    /// Whether clients can be served: whatever `GET /readyz` says.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.public.as_ref().is_none_or(|public| public.gateway.is_ready())
    }

    /// Drains: no new connections, running requests finish, sockets are told to reconnect, the
    /// services leave the registry, background work ends. Each step is bounded.
    pub async fn stop(self) {
        self.edge.stop().await;
        self.mesh.drain().await;
        self.inner.stop().await;
    }
}

/// What the services of a process are built with.
struct Building<'a> {
    config: &'a Config,
    log: &'a Log,
    mesh: &'a Mesh,
    caches: &'a cache::Store,
    tasks: &'a Tasks,
}

impl Building<'_> {
    async fn accounts(&self, here: bool) -> Result<(), StartError> {
        self.service(here, "accounts", accounts::MIGRATIONS, |db, log, mesh, tasks| {
            accounts::build(db, log, mesh, self.caches, tasks, self.config.accounts.clone())
        })
        .await
    }

    async fn palettes(&self, here: bool) -> Result<(), StartError> {
        self.service(here, "palettes", palettes::MIGRATIONS, |db, log, mesh, tasks| {
            palettes::build(db, log, mesh, tasks, self.config.palettes.clone())
        })
        .await
    }

    async fn popularity(&self, here: bool) -> Result<(), StartError> {
        self.service(here, "popularity", popularity::MIGRATIONS, |db, log, mesh, tasks| {
            let settings = self.config.popularity.clone();
            popularity::build(db, log, mesh, self.caches, tasks, settings)
        })
        .await
    }

    async fn chat(&self, here: bool) -> Result<(), StartError> {
        self.service(here, "chat", chat::MIGRATIONS, |db, _, mesh, tasks| {
            chat::build(db, mesh, tasks, self.config.chat.clone())
        })
        .await
    }

    /// Opens the service's database, builds it and makes it known to the mesh.
    async fn service<'a, E: fmt::Display>(
        &'a self,
        here: bool,
        service: &'static str,
        migrations: &[&[Migration]],
        build: impl AsyncFnOnce(Database, Log, Mesh, &'a Tasks) -> Result<Router, E>,
    ) -> Result<(), StartError> {
        if !here {
            return Ok(());
        }
        let db = Database::open(&self.config.database(service), migrations)
            .await
            .map_err(|error| StartError::Database { service, error })?;
        let router = build(db, self.log.clone(), self.mesh.clone(), self.tasks)
            .await
            .map_err(|error| StartError::Build { service, reason: error.to_string() })?;
        self.mesh.install(service, router);
        Ok(())
    }
}

async fn listen(
    wanted: bool,
    address: &str,
    how: &'static str,
) -> Result<Option<TcpListener>, StartError> {
    if wanted { bind(address, how).await.map(Some) } else { Ok(None) }
}

async fn bind(address: &str, how: &'static str) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|error| StartError::Listen {
        address: address.to_owned(),
        error,
        how,
    })
}

fn address(listener: &TcpListener) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|error| StartError::Listen {
        address: "?".into(),
        error,
        how: "--listen",
    })
}

/// Opens a service's database on its own, for the command line.
///
/// # Errors
/// [`StartError`] if the folder or the database cannot be used.
pub async fn open_database(
    config: &Config,
    service: &'static str,
    migrations: &[&[Migration]],
) -> Result<Database, StartError> {
    folder::prepare(&config.data).map_err(StartError::Folder)?;
    Database::open(&config.database(service), migrations)
        .await
        .map_err(|error| StartError::Database { service, error })
}
