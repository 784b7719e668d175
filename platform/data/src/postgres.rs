//! Opening a PostgreSQL database: connections that write, and connections that only read.

use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sea_orm::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sea_orm::sqlx::{ConnectOptions, Connection, Error, PgConnection, PgPool};
use sea_orm::{DatabaseConnection, SqlxPostgresConnector};
use tracing::log::LevelFilter;

use crate::error::one_line;
use crate::probe::Probe;
use crate::servers::{Server, Servers};
use crate::settings::masked;
use crate::trust::Trust;
use crate::{DataError, DataSettings};

/// How long a request waits for a connection before it is [`DataError::Unavailable`]. With
/// replicas it is also how long it takes to look for another primary.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a start waits for a server that is itself starting.
const STARTUP_PATIENCE: Duration = Duration::from_secs(5);
/// A connection that rested for longer, or lives for longer, is exchanged when it is next needed.
const LONGEST_REST: Duration = Duration::from_secs(300);
const LONGEST_LIFE: Duration = Duration::from_secs(1800);

pub(crate) const HAS_MIGRATIONS: &str =
    "SELECT CAST(1 AS BIGINT) FROM pg_class WHERE oid = to_regclass('schema_migrations')";

/// The name of the database that a URL names.
pub(crate) fn name(url: &str) -> String {
    PgConnectOptions::from_str(url)
        .ok()
        .and_then(|options| options.get_database().map(str::to_owned))
        .unwrap_or_else(|| "postgres".to_owned())
}

/// Waits until a server answers that takes writes. The others are connected to when needed.
pub(crate) async fn open(settings: &DataSettings) -> Result<Servers, DataError> {
    // Where there is somewhere else to read, it is not waited for long.
    let patience = if settings.replicas.is_empty() { PATIENCE } else { PATIENCE / 3 };
    let server = |url: &String| {
        let (options, trust) = (options(url)?, Trust::new());
        let probe = Probe::new(options.clone());
        let writer = pool(settings.pool, &trust).connect_lazy_with(options.clone());
        let reader = options.options([("default_transaction_read_only", "on")]);
        let reader =
            pool(settings.readers, &trust).acquire_timeout(patience).connect_lazy_with(reader);
        let (writer, reader) = (connection(writer), connection(reader));
        Ok(Server::new(masked(url), writer, reader, trust, Some(probe)))
    };
    let first = server(&settings.primary)?;
    let others = settings.replicas.iter().map(server).collect::<Result<_, DataError>>()?;
    let servers = Servers::new(first, others);
    let address = options(&settings.primary)?;
    let began = Instant::now();
    loop {
        servers.ask_until_primary(PATIENCE).await;
        if servers.has_primary() {
            break;
        }
        // Past the pool, which would try a server that is not there until its patience ends.
        let refusal = match PgConnection::connect_with(&address).await {
            Ok(connection) => {
                connection.close().await.ok();
                None
            }
            Err(error) => Some(error),
        };
        let starting = refusal.as_ref().is_none_or(is_starting);
        if !starting || began.elapsed() > STARTUP_PATIENCE {
            return Err(DataError::Startup(format!(
                "cannot open the database {}: {}",
                masked(&settings.primary),
                refusal.map_or("no server takes writes".into(), one_line)
            )));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(servers)
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

fn pool(connections: u32, trust: &Arc<Trust>) -> PgPoolOptions {
    let trust = Arc::clone(trust);
    PgPoolOptions::new()
        .max_connections(connections.max(1))
        .acquire_timeout(PATIENCE)
        // sqlx (0.9.0) counts the resting ones after others may have taken them: for a moment there
        // are 2^64 - 1, and its task for these two bounds goes over all of them, without a pause.
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .before_acquire(move |connection, about| {
            let trusted = trust.holds(about.idle_for);
            let worn = about.idle_for > LONGEST_REST || about.age > LONGEST_LIFE;
            Box::pin(async move {
                if worn || connection.is_in_transaction() {
                    return Ok(false);
                }
                Ok(trusted || connection.ping().await.is_ok())
            })
        })
}

/// Refused, or `cannot_connect_now`.
fn is_starting(error: &Error) -> bool {
    match error {
        Error::Io(io) => io.kind() == std::io::ErrorKind::ConnectionRefused,
        Error::Database(inner) => inner.code().is_some_and(|code| code == "57P03"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_task_of_sqlx_looks_after_the_connections() {
        let options = pool(1, &Trust::new());
        assert_eq!((options.get_idle_timeout(), options.get_max_lifetime()), (None, None));
    }
}
