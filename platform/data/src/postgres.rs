//! Opening a PostgreSQL database: connections that write, and connections that only read.

use std::str::FromStr;
use std::time::{Duration, Instant};

use sea_orm::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sea_orm::sqlx::{ConnectOptions, Connection, Error, PgPool};
use sea_orm::{DatabaseConnection, SqlxPostgresConnector};
use tracing::log::LevelFilter;

use crate::error::one_line;
use crate::settings::masked;
use crate::{DataError, DataSettings};

/// How long a request waits for a connection before it is [`DataError::Unavailable`].
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a start waits for a server that is itself starting.
const STARTUP_PATIENCE: Duration = Duration::from_secs(5);
/// A connection that rested longer is asked whether it still lives before it is used.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

pub(crate) const HAS_MIGRATIONS: &str =
    "SELECT CAST(1 AS BIGINT) FROM pg_class WHERE oid = to_regclass('schema_migrations')";

/// The connections of one database.
pub(crate) struct Pools {
    pub(crate) writer: DatabaseConnection,
    pub(crate) reader: DatabaseConnection,
    pub(crate) replicas: Vec<DatabaseConnection>,
}

/// The name of the database that a URL names.
pub(crate) fn name(url: &str) -> String {
    PgConnectOptions::from_str(url)
        .ok()
        .and_then(|options| options.get_database().map(str::to_owned))
        .unwrap_or_else(|| "postgres".to_owned())
}

/// Connects to the primary. Replicas are connected to when they are first read from.
pub(crate) async fn open(settings: &DataSettings) -> Result<Pools, DataError> {
    let primary = options(&settings.primary)?;
    let read_only =
        |options: PgConnectOptions| options.options([("default_transaction_read_only", "on")]);
    let writer = connect(settings, primary.clone()).await?;
    let reader = pool(settings.readers).connect_lazy_with(read_only(primary));
    let replicas = settings
        .replicas
        .iter()
        .map(|url| {
            let pool = pool(settings.readers).acquire_timeout(Duration::from_secs(1));
            Ok(connection(pool.connect_lazy_with(read_only(options(url)?))))
        })
        .collect::<Result<_, DataError>>()?;
    Ok(Pools {
        writer: connection(writer),
        reader: connection(reader),
        replicas,
    })
}

fn connection(pool: PgPool) -> DatabaseConnection {
    SqlxPostgresConnector::from_sqlx_postgres_pool(pool)
}

/// Statements, locks and idle transactions are bounded on the server as well, so that a process
/// that hangs does not hold what others need.
fn options(url: &str) -> Result<PgConnectOptions, DataError> {
    let options = PgConnectOptions::from_str(url).map_err(|error| {
        DataError::Startup(format!(
            "`{}` is no PostgreSQL address: {}",
            masked(url),
            one_line(error)
        ))
    })?;
    Ok(options
        .application_name("atelier")
        .statement_cache_capacity(200)
        .options([
            ("statement_timeout", "30s"),
            ("lock_timeout", "10s"),
            ("idle_in_transaction_session_timeout", "60s"),
        ])
        .disable_statement_logging()
        .log_slow_statements(LevelFilter::Warn, Duration::from_secs(1)))
}

fn pool(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections.max(1))
        .acquire_timeout(PATIENCE)
        .idle_timeout(Duration::from_secs(300))
        .max_lifetime(Duration::from_secs(1800))
        .test_before_acquire(false)
        .before_acquire(|connection, about| {
            Box::pin(async move {
                if connection.is_in_transaction() {
                    return Ok(false);
                }
                Ok(about.idle_for < TRUSTED_FOR || connection.ping().await.is_ok())
            })
        })
}

async fn connect(settings: &DataSettings, options: PgConnectOptions) -> Result<PgPool, DataError> {
    let began = Instant::now();
    loop {
        match pool(settings.pool).connect_with(options.clone()).await {
            Ok(pool) => return Ok(pool),
            Err(error) if is_starting(&error) && began.elapsed() < STARTUP_PATIENCE => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => {
                return Err(DataError::Startup(format!(
                    "cannot open the database {}: {}",
                    masked(&settings.primary),
                    one_line(error)
                )));
            }
        }
    }
}

/// Refused, or `cannot_connect_now`.
fn is_starting(error: &Error) -> bool {
    match error {
        Error::Io(io) => io.kind() == std::io::ErrorKind::ConnectionRefused,
        Error::Database(inner) => inner.code().is_some_and(|code| code == "57P03"),
        _ => false,
    }
}
