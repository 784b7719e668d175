//! Opening a SQLite file: one connection that writes, several that read.
//!
//! WAL with `synchronous=FULL`: readers never wait for the writer, and a commit is on disk before
//! it is answered. Several processes may share the file; who writes is settled by SQLite's lock,
//! taken at `BEGIN IMMEDIATE`.

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sea_orm::sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sea_orm::sqlx::{ConnectOptions, Connection, Error, SqlitePool, query};
use sea_orm::{DatabaseConnection, SqlxSqliteConnector};
use tracing::log::LevelFilter;

use crate::error::one_line;
use crate::servers::{Server, Servers};
use crate::trust::Trust;
use crate::{DataError, DataSettings, Migration, migration};

/// How long a statement waits for another process before it is [`DataError::Busy`].
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// SQLite sleeps ever longer between its tries (1, 2, 5, 10 … 100 ms), so that a process that
/// writes all the time would starve its siblings. The writer is told to give up early, and asks
/// again with short sleeps: see [`crate::Database::write`].
const WRITER_PATIENCE: Duration = Duration::from_millis(8);
/// The file is checked as a whole at each start up to this size, in about 20 ms.
const QUICK_CHECK_BYTES: u64 = 16 << 20;

pub(crate) const HAS_MIGRATIONS: &str =
    "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_migrations'";

/// The file that `sqlite:PATH` names.
pub(crate) fn path(settings: &DataSettings) -> PathBuf {
    let path = settings.primary.trim_start_matches("sqlite:");
    let path = path.strip_prefix("//").unwrap_or(path);
    PathBuf::from(path.split_once('?').map_or(path, |(path, _)| path))
}

/// Looks before it writes: a file that is damaged, or newer than `migrations`, is left as it is.
pub(crate) async fn open(
    settings: &DataSettings,
    migrations: &[&[Migration]],
) -> Result<Servers, DataError> {
    let began = Instant::now();
    let path = path(settings);
    prepare_folder(&path)?;
    if looks_like_sqlite(&path)? {
        loop {
            let alone = is_alone(&path);
            match inspect(&path, migrations, alone).await {
                Err(error) if in_the_way(&error, began).await => {}
                // Someone opened it while it was read as if it stood alone.
                Err(_) if alone && !is_alone(&path) => {}
                result => break result.map_err(|error| startup(&path, &error))?,
            }
        }
    }
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .foreign_keys(true)
        .synchronous(SqliteSynchronous::Full)
        .statement_cache_capacity(200)
        .pragma("temp_store", "memory")
        .disable_statement_logging()
        .log_slow_statements(LevelFilter::Warn, Duration::from_secs(1));
    let write = options
        .clone()
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .pragma("journal_size_limit", (64 << 20).to_string())
        .busy_timeout(WRITER_PATIENCE)
        .thread_name(|_| "sqlite-writer".into());
    let read =
        options.read_only(true).busy_timeout(PATIENCE).thread_name(|_| "sqlite-reader".into());

    let writer = loop {
        let pool = pool(1).min_connections(1);
        match pool.connect_with(write.clone()).await {
            Err(error) if in_the_way(&error, began).await => {}
            result => break result.map_err(|error| startup(&path, &error))?,
        }
    };
    let reader = pool(settings.readers.max(1)).connect_lazy_with(read);
    let shown = path.display().to_string();
    let file = Server::new(shown, connection(writer), connection(reader), Trust::new(), None);
    Ok(Servers::new(file, Vec::new()))
}

fn connection(pool: SqlitePool) -> DatabaseConnection {
    SqlxSqliteConnector::from_sqlx_sqlite_pool(pool)
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(PATIENCE)
        // No task of sqlx: see the pool of PostgreSQL.
        .max_lifetime(None)
        .idle_timeout(None)
        // Nothing can break a file's connection while it rests, except a transaction that could
        // be neither committed nor rolled back (SQLite ends it by itself on a full disk).
        .test_before_acquire(false)
        .before_acquire(|connection, _| {
            let usable = !connection.is_in_transaction();
            Box::pin(async move { Ok(usable) })
        })
}

/// Whether to try again, after a pause: switching a new file to WAL takes a lock for which SQLite
/// does not wait by itself.
async fn in_the_way(error: &Error, since: Instant) -> bool {
    let again = DataError::from(error) == DataError::Busy && since.elapsed() < PATIENCE;
    if again {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    again
}

/// Whether no process has the file open, and none left it in the middle of its work.
fn is_alone(path: &Path) -> bool {
    !["-wal", "-journal"].iter().any(|suffix| {
        let mut beside = path.as_os_str().to_owned();
        beside.push(suffix);
        Path::new(&beside).exists()
    })
}

/// Opens the file read-only, checks it, and compares its steps with those here. A file that stands
/// alone is opened so that nothing is made beside it.
async fn inspect(path: &Path, migrations: &[&[Migration]], alone: bool) -> Result<(), Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .immutable(alone)
        .busy_timeout(PATIENCE)
        .disable_statement_logging();
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
    let size = fs::metadata(path).map_or(0, |meta| meta.len());
    if size <= QUICK_CHECK_BYTES {
        let report = query("PRAGMA quick_check(1)").fetch_all(&pool).await?;
        let verdict: String = sea_orm::sqlx::Row::try_get(&report[0], 0)?;
        if verdict != "ok" {
            return Err(Error::Configuration(format!("corrupt: {}", one_line(verdict)).into()));
        }
    }
    let connection = connection(pool);
    let refusal = match migration::applied(&connection, HAS_MIGRATIONS).await {
        Ok(applied) => migration::missing(&applied, migrations, &name(path)).err(),
        Err(DataError::Busy) => None,
        Err(error) => Some(error),
    };
    connection.close().await.ok();
    refusal.map_or(Ok(()), |error| Err(Error::Configuration(Box::new(error))))
}

fn name(path: &Path) -> String {
    format!("the database {}", path.display())
}

fn prepare_folder(path: &Path) -> Result<(), DataError> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else {
        return Ok(());
    };
    fs::create_dir_all(folder).map_err(|error| {
        DataError::Startup(format!("cannot make the folder {}: {error}", folder.display()))
    })
}

/// False for a file that is not there yet, or empty.
fn looks_like_sqlite(path: &Path) -> Result<bool, DataError> {
    let mut head = Vec::with_capacity(100);
    match fs::File::open(path) {
        Ok(file) => file.take(100).read_to_end(&mut head),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => Err(error),
    }
    .map_err(|error| DataError::Startup(format!("cannot read {}: {error}", name(path))))?;
    if head.is_empty() {
        Ok(false)
    } else if head.len() == 100 && head.starts_with(b"SQLite format 3\0") {
        Ok(true)
    } else {
        Err(corrupt(path, "it is no SQLite file"))
    }
}

fn corrupt(path: &Path, why: &str) -> DataError {
    DataError::Startup(format!(
        "{} is damaged ({why}); nothing was changed, restore it from a backup",
        name(path)
    ))
}

/// One line that tells what to do.
pub(crate) fn startup(path: &Path, error: &Error) -> DataError {
    if let Error::Configuration(inner) = error {
        return match inner.downcast_ref::<DataError>() {
            Some(refusal @ DataError::Startup(_)) => refusal.clone(),
            _ => corrupt(path, inner.to_string().trim_start_matches("corrupt: ")),
        };
    }
    let code = error
        .as_database_error()
        .and_then(|e| e.code()?.parse::<i32>().ok())
        .map_or(0, |code| code & 0xff);
    let name = name(path);
    match code {
        11 | 26 => corrupt(path, &one_line(error)),
        13 => DataError::Startup(format!("no space is left on the disk of {name}")),
        8 | 14 => DataError::Startup(format!(
            "{name} cannot be written; check who owns its folder and may write there"
        )),
        10 => {
            DataError::Startup(format!("the disk of {name} fails or is full: {}", one_line(error)))
        }
        5 | 6 => DataError::Startup(format!("{name} is locked by another process")),
        _ => DataError::Startup(format!("{name} cannot be opened: {}", one_line(error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_task_of_sqlx_looks_after_the_connections() {
        let options = pool(1);
        assert_eq!((options.get_idle_timeout(), options.get_max_lifetime()), (None, None));
    }
}
