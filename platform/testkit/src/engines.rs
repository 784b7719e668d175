//! An empty database for each test.

use std::future::Future;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use data::{DataSettings, Engine};
use futures::FutureExt;
use tempfile::TempDir;

use crate::postgres::{Absent, Server};

/// No test takes longer; one that does hangs.
const LONGEST: Duration = Duration::from_secs(120);

/// An empty SQLite database; it goes with the folder.
#[must_use]
pub fn temp_sqlite() -> (DataSettings, TempDir) {
    let folder = tempfile::Builder::new().prefix("atelier-test-").tempdir().unwrap();
    (DataSettings::sqlite(folder.path().join("test.db")), folder)
}

/// Another empty database beside `settings`, for a test that needs two: the same server or folder,
/// gone with the first.
pub async fn sibling(settings: &DataSettings, name: &str) -> DataSettings {
    match settings.engine().unwrap() {
        Engine::Sqlite => {
            let path = settings.primary.strip_suffix(".db").unwrap_or(&settings.primary);
            DataSettings { primary: format!("{path}-{name}.db"), ..settings.clone() }
        }
        Engine::Postgres => {
            let server = Server::running().expect("the first database is on it");
            let first = server.name_of(settings);
            server.create(&format!("{first}_{name}")).await
        }
    }
}

/// Runs a test on SQLite; see [`crate::on_each_engine!`].
pub fn run_on_sqlite<F: Future<Output = ()>>(test: impl FnOnce(DataSettings) -> F) {
    let (settings, _folder) = temp_sqlite();
    runtime().block_on(bounded(test(settings)));
}

/// Runs a test on PostgreSQL; see [`crate::on_each_engine!`].
pub fn run_on_postgres<F: Future<Output = ()>>(name: &str, test: impl FnOnce(DataSettings) -> F) {
    let server = match Server::shared() {
        Ok(server) => server,
        Err(Absent) if std::env::var_os("ATELIER_REQUIRE_ENGINES").is_some_and(|v| v == "1") => {
            panic!("{name}: ATELIER_REQUIRE_ENGINES=1, and there is no PostgreSQL on this machine");
        }
        Err(Absent) => {
            // Not `eprintln!`: the test harness would hide it.
            writeln!(std::io::stderr(), "SKIPPED {name}: no PostgreSQL on this machine").ok();
            return;
        }
    };
    runtime().block_on(async {
        let settings = server.create(&server.new_name()).await;
        let outcome = AssertUnwindSafe(bounded(test(settings.clone()))).catch_unwind().await;
        server.drop_all(&settings).await;
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

async fn bounded(test: impl Future<Output = ()>) {
    assert!(
        tokio::time::timeout(LONGEST, test).await.is_ok(),
        "the test hangs: it has run for {} s",
        LONGEST.as_secs()
    );
}
