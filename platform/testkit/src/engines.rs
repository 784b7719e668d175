//! An empty database for each test.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use data::{DataSettings, Engine};
use futures::FutureExt;
use tempfile::TempDir;

use crate::absent::skip;
use crate::postgres::{Absent, Shared};

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
            let server = Shared::running().expect("the first database is on it");
            let first = server.name_of(settings);
            server.create(&format!("{first}_{name}")).await
        }
    }
}

/// Runs a test on SQLite; see [`crate::on_each_engine!`].
pub fn run_on_sqlite<F: Future<Output = ()>>(test: impl FnOnce(DataSettings) -> F) {
    let (settings, _folder) = temp_sqlite();
    run(test(settings));
}

/// Runs a test that may use what it likes; see [`crate::on_each!`].
pub fn run(test: impl Future<Output = ()>) {
    runtime().block_on(bounded(test));
}

/// Runs a test on PostgreSQL; see [`crate::on_each_engine!`].
pub fn run_on_postgres<F: Future<Output = ()>>(name: &str, test: impl FnOnce(DataSettings) -> F) {
    let server = match Shared::joined() {
        Ok(server) => server,
        Err(Absent) => return skip(name, "PostgreSQL"),
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
