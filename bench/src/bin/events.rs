//! The event path, from outbox to handled: embedded and on JetStream, in turn.
//!
//! Each round makes a new service's database and a new log. First the backlog: so many events wait
//! in the outbox, then relay and consumer start; the time until the last one's effect is committed.
//! Then the way of one event: emitted alone, until its effect is committed.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Parser;
use data::{DataError, DataSettings, Database, Migration, Sql, Tx, values};
use events::{Consumer, Log, LogSettings};
use tasks::Tasks;
use testkit::Nats;
use tokio::sync::watch;

/// As in the program that is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures both engines in alternation.
#[derive(Parser)]
struct Arguments {
    /// Rounds of each
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Events that wait in the outbox
    #[arg(long, default_value_t = 20_000)]
    events: i64,
    /// Events emitted alone
    #[arg(long, default_value_t = 200)]
    singles: i64,
    /// Bytes in a payload
    #[arg(long, default_value_t = 200)]
    size: usize,
    /// How many different keys
    #[arg(long, default_value_t = 1_000)]
    keys: i64,
    /// A broker that runs; left out, one is started
    #[arg(long)]
    nats: Option<String>,
    /// How many servers of its cluster keep the stream
    #[arg(long, default_value_t = 1)]
    replicas: usize,
}

const NAME: &str = "bench.happened.v1";
const EFFECTS: &[Migration] = &[Migration {
    name: "bench/0001",
    sql: "CREATE TABLE effects (n BIGINT NOT NULL PRIMARY KEY, text TEXT NOT NULL)",
}];

/// What a round came to.
struct Figures {
    a_second: f64,
    median: Duration,
    slow: Duration,
}

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let mut own = None;
    let broker = match arguments.nats.clone() {
        Some(broker) => broker,
        None => {
            let nats = Nats::start().await.ok_or("there is no nats-server in the PATH")?;
            own.insert(nats).url()
        }
    };
    let mut out = std::io::stdout();
    for round in 1..=arguments.rounds {
        for engine in ["embedded", "jetstream"] {
            let folder = tempfile::tempdir()?;
            let log = match engine {
                "embedded" => LogSettings::sqlite(folder.path().join("log.db")),
                _ => LogSettings {
                    stream: format!("bench-{round}-{}", std::process::id()),
                    stream_replicas: arguments.replicas,
                    ..LogSettings::nats(broker.as_str())
                },
            };
            let Figures { a_second, median, slow } = run(&arguments, folder.path(), log).await?;
            writeln!(
                out,
                "{engine:9} round {round}: {a_second:8.0} events/s outbox to handled; one event \
                 {:.1} ms median, {:.1} ms at 99 %",
                median.as_secs_f64() * 1e3,
                slow.as_secs_f64() * 1e3,
            )?;
        }
    }
    Ok(())
}

async fn run(arguments: &Arguments, folder: &Path, log: LogSettings) -> Result<Figures, Failure> {
    let settings = DataSettings::sqlite(folder.join("service.db"));
    let db = Database::open(&settings, &[events::MIGRATIONS, EFFECTS]).await?;
    let (log, tasks) = (Log::open(log).await?, Tasks::new());
    // A broker's first connection is not what is measured.
    log.head().await?;
    let text = "x".repeat(arguments.size);
    for first in (0..arguments.events).step_by(500) {
        let many = first..(first + 500).min(arguments.events);
        emit(&db, many, arguments.keys, &text).await?;
    }

    let mut handled = Handled::of(&db);
    let began = Instant::now();
    events::relay(db.clone(), log.clone(), &tasks);
    Consumer::new("bench", db.clone(), log)
        .on(NAME, |tx, event| {
            Box::pin(async move {
                let (n, text): (i64, String) = event.decode()?;
                tx.run("INSERT INTO effects (n, text) VALUES ($1, $2)", values![n, text]).await?;
                Ok(())
            })
        })
        .spawn(&tasks);
    handled.until(arguments.events).await?;
    let a_second = arguments.events as f64 / began.elapsed().as_secs_f64();

    let mut ways = Vec::new();
    for n in arguments.events..arguments.events + arguments.singles {
        emit(&db, n..n + 1, arguments.keys, &text).await?;
        let emitted = Instant::now();
        handled.until(n + 1).await?;
        ways.push(emitted.elapsed());
    }
    tasks.stop().await;
    db.close().await;
    ways.sort();
    let at = |share: usize| ways.get(ways.len() * share / 100).copied().unwrap_or_default();
    Ok(Figures { a_second, median: at(50), slow: at(99) })
}

async fn emit(
    db: &Database,
    numbers: std::ops::Range<i64>,
    keys: i64,
    text: &str,
) -> Result<(), DataError> {
    let text = text.to_owned();
    db.write(move |tx: &Tx| {
        Box::pin(async move {
            let events = numbers.map(|n| ((n % keys).to_string(), (n, text.as_str())));
            events::emit_all(tx, NAME, events).await
        })
    })
    .await
}

/// How many effects are committed, looked at after each commit.
struct Handled {
    db: Database,
    commits: watch::Receiver<u64>,
}

impl Handled {
    fn of(db: &Database) -> Self {
        Self { db: db.clone(), commits: db.committed() }
    }

    async fn until(&mut self, count: i64) -> Result<(), DataError> {
        loop {
            self.commits.mark_unchanged();
            // The last one: counting would cost more than what is measured.
            let sql = "SELECT n FROM effects WHERE n = $1";
            let last: Option<(i64,)> = self.db.read_primary().row(sql, values![count - 1]).await?;
            if last.is_some() {
                return Ok(());
            }
            drop(tokio::time::timeout(Duration::from_millis(50), self.commits.changed()).await);
        }
    }
}
