//! Events end to end: outbox, relay, log, consumers, streams; with the log in a table of SQLite and of
//! PostgreSQL, and in a stream of NATS.

#![allow(clippy::unwrap_used)]

/// Makes of one test three: the log in a table of SQLite and of PostgreSQL, and in NATS.
macro_rules! on_each_log {
    ($name:ident, $test:expr $(,)?) => {
        mod $name {
            use super::*;

            async fn on_table(data: DataSettings) {
                ($test)(Engines::table(data).await).await
            }

            async fn on_stream(data: DataSettings) {
                let nats = engine_or_skip!(Nats::shared().await);
                ($test)(Engines::stream(data, &nats.url())).await
            }

            #[test]
            fn sqlite() {
                testkit::run_on_sqlite(on_table);
            }

            #[test]
            fn postgres() {
                testkit::run_on_postgres(concat!(module_path!(), "::postgres"), on_table);
            }

            #[test]
            fn nats() {
                testkit::run_on_sqlite(on_stream);
            }
        }
    };
}

mod consumers;
mod live;
mod outages;
mod outbox;
mod processes;

use std::sync::Arc;
use std::time::Duration;

use data::{DataError, DataSettings, Database, Migration, Sql, Tx, values};
use serde::{Deserialize, Serialize};
use tasks::Tasks;
use testkit::{Nats, engine_or_skip, eventually, sibling};

use crate::{Consumer, ConsumerSettings, Entry, HandlerError, Log, LogSettings, Recorded};

/// What a service of these tests keeps: sums that handlers add to.
const SUMS: &[Migration] = &[Migration {
    name: "test/0001",
    sql: "CREATE TABLE sums (name TEXT NOT NULL, event_id TEXT NOT NULL, n BIGINT NOT NULL, \
          place {{id}})",
}];

const COUNTED: &str = "test.counted.v1";

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Counted {
    n: i64,
}

/// Where a test keeps a service's data and the log.
#[derive(Clone)]
struct Engines {
    data: DataSettings,
    log: LogSettings,
}

impl Engines {
    /// The log is a table on the same engine as the data.
    async fn table(data: DataSettings) -> Self {
        let log = sibling(&data, "log").await.into();
        Self { data, log }
    }

    /// The log is a stream that nobody else has.
    fn stream(data: DataSettings, broker: &str) -> Self {
        let stream = format!("test-{}", uuid::Uuid::new_v4());
        Self { data, log: LogSettings { stream, ..LogSettings::nats(broker) } }
    }

    fn buffered(mut self, buffer: usize) -> Self {
        self.log.buffer = buffer;
        self
    }

    /// An empty one of the same kind.
    async fn another_log(&self) -> LogSettings {
        if self.log.primary.starts_with("nats:") {
            return Self::stream(self.data.clone(), &self.log.primary).log;
        }
        sibling(&self.data, "newlog").await.into()
    }
}

/// A service's database and the log beside it.
struct House {
    db: Database,
    log: Log,
    tasks: Tasks,
    engines: Engines,
}

impl House {
    async fn build(engines: Engines) -> Self {
        let db = Database::open(&engines.data, &[crate::MIGRATIONS, SUMS]).await.unwrap();
        let log = Log::open(&engines.log).await.unwrap();
        Self { db, log, tasks: Tasks::new(), engines }
    }

    /// The same databases as another process would have them.
    async fn again(&self) -> Self {
        Self::build(self.engines.clone()).await
    }

    fn relay(&self) {
        crate::relay(self.db.clone(), self.log.clone(), &self.tasks);
    }

    /// Emits one event in a transaction of its own.
    async fn emit(&self, n: i64) {
        emit(&self.db, n).await;
    }

    /// Appends `range` to the log directly.
    async fn append(&self, range: std::ops::Range<i64>) {
        let entries = range.map(|n| entry(COUNTED, n)).collect();
        self.log.append(entries).await.unwrap();
    }

    /// A consumer that writes what it sees into `sums`.
    fn summing(&self, name: &str) -> Consumer {
        Consumer::new(name, self.db.clone(), self.log.clone())
            .with(impatient())
            .on(COUNTED, |tx, event| Box::pin(add(tx, event)))
    }

    /// What the handlers wrote, in the order of writing.
    async fn sums(&self) -> Vec<i64> {
        let rows: Vec<(i64,)> =
            self.db.read().rows("SELECT n FROM sums ORDER BY place", values![]).await.unwrap();
        rows.into_iter().map(|(n,)| n).collect()
    }

    async fn until_sums(&self, count: usize) {
        eventually("all is handled", || async { self.sums().await.len() >= count }).await;
    }

    async fn logged(&self) -> Vec<i64> {
        let events = self.log.read_after(0, 100_000).await.unwrap();
        events.iter().map(|event| event.decode::<Counted>().unwrap().n).collect()
    }

    async fn waiting(&self) -> usize {
        crate::outbox::waiting(&self.db, 100_000).await.unwrap().len()
    }
}

async fn emit(db: &Database, n: i64) {
    let done: Result<(), DataError> = db
        .write(move |tx: &Tx| {
            Box::pin(async move { crate::emit(tx, COUNTED, "key", &Counted { n }).await })
        })
        .await;
    done.unwrap();
}

async fn add(tx: &Tx, event: &Recorded) -> Result<(), HandlerError> {
    let Counted { n } = event.decode()?;
    let sql = "INSERT INTO sums (name, event_id, n) VALUES ('sum', $1, $2)";
    tx.run(sql, values![event.id.as_str(), n]).await?;
    Ok(())
}

fn entry(name: &str, n: i64) -> Entry {
    Entry::new(name, "key", &Counted { n }).unwrap()
}

fn impatient() -> ConsumerSettings {
    ConsumerSettings {
        attempts: 3,
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(5),
        batch: 16,
        replay_every: Duration::from_millis(20),
    }
}

fn range(range: std::ops::Range<i64>) -> Vec<i64> {
    range.collect()
}

/// What a test shares with its handlers.
type Shared<T> = Arc<std::sync::Mutex<T>>;
