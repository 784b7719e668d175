//! A durable consumer: follows the log and applies events to a service's database, each once.
//!
//! Several instances on one database may run; the position is moved by compare-and-set in the
//! transaction of the effect, so one of them wins and the other takes up where the winner is.

mod apply;
mod attempts;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use data::{DataError, Database, Tx};
use futures::future::BoxFuture;
use tasks::Tasks;
use telemetry::Context;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::handler::{Handler, HandlerError};
use crate::log::{Gap, Log, Mark, Recorded, Start, Tail};

/// How a consumer works.
#[derive(Clone, Debug)]
pub struct ConsumerSettings {
    /// Attempts at an event before it becomes a dead letter. Default 8: about a minute.
    pub attempts: u32,
    /// Pause after the first failure; each further one is three times as long, with jitter.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// Events handled in one transaction while all goes well.
    pub batch: usize,
    /// How often it looks for dead letters to replay.
    pub replay_every: Duration,
}

impl Default for ConsumerSettings {
    fn default() -> Self {
        Self {
            attempts: 8,
            first_pause: Duration::from_millis(50),
            longest_pause: Duration::from_secs(30),
            batch: 64,
            replay_every: Duration::from_secs(2),
        }
    }
}

/// A consumer in the making: name it, say what it handles, [`Consumer::spawn`] it.
pub struct Consumer {
    pub(crate) work: Work,
    log: Log,
}

/// What the transactions of a consumer need.
#[derive(Clone)]
pub(crate) struct Work {
    name: Arc<str>,
    db: Database,
    handlers: Arc<HashMap<String, Handler>>,
    settings: Arc<ConsumerSettings>,
}

/// Passed-over events after which the position is saved all the same.
const SAVE_AFTER: i64 = 1000;
/// Or this much time.
const SAVE_EVERY: Duration = Duration::from_secs(10);
const PRUNE_EVERY: Duration = Duration::from_secs(1800);
const PAUSE: Duration = Duration::from_millis(500);

impl Consumer {
    /// A consumer named `name`, unique within `db`, that follows `log`. Its first instance ever
    /// starts at the log's beginning.
    pub fn new(name: &str, db: Database, log: Log) -> Self {
        let work = Work {
            name: name.into(),
            db,
            handlers: Arc::default(),
            settings: Arc::new(ConsumerSettings::default()),
        };
        Self { work, log }
    }

    /// Handles events named `name`. What the handler writes with `tx` is committed with the
    /// consumer's position, or not at all. It may run again after a failure, so it has no other
    /// effect than those writes. Events run one after another in the log's order.
    #[must_use]
    pub fn on<F>(mut self, name: &str, handler: F) -> Self
    where
        F: for<'a> Fn(&'a Tx, &'a Recorded) -> BoxFuture<'a, Result<(), HandlerError>>
            + Send
            + Sync
            + 'static,
    {
        Arc::make_mut(&mut self.work.handlers).insert(name.to_owned(), Arc::new(handler));
        self
    }

    /// Works with other settings than the default.
    #[must_use]
    pub fn with(mut self, settings: ConsumerSettings) -> Self {
        self.work.settings = Arc::new(settings);
        self
    }

    /// Starts it; it ends when `tasks` stop.
    pub fn spawn(self, tasks: &Tasks) {
        let stopping = tasks.stopping();
        let Self { work, log } = self;
        tasks.spawn_loop("consumer", move || {
            let run = work.clone().run(log.clone(), stopping.clone());
            Context { fresh: true, ..Context::background() }.scope(run)
        });
    }
}

impl Work {
    async fn run(self, log: Log, stopping: CancellationToken) {
        let follow = async {
            loop {
                if let Err(error) = self.follow(&log).await {
                    tracing::warn!(consumer = &*self.name, %error, "consumer failed, going on");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        // Dropped between two awaits: a transaction that has begun is finished by its own task.
        tokio::select! {
            () = stopping.cancelled() => {}
            () = follow => {}
        }
    }

    /// Follows the log from the stored position until something fails.
    async fn follow(&self, log: &Log) -> Result<(), DataError> {
        let mut replay = ticks(self.settings.replay_every);
        let mut save = ticks(SAVE_EVERY);
        let mut prune = ticks(PRUNE_EVERY);
        let mut stored = self.position().await?;
        let mut passed = stored.clone();
        let mut tail = log.tail(Start::After(stored.clone()));
        loop {
            tokio::select! {
                biased;
                _ = replay.tick() => self.replay().await?,
                _ = prune.tick() => apply::prune_inbox(&self.db).await?,
                _ = save.tick() => {}
                event = tail.next() => {
                    let handled = match event {
                        Ok(event) => {
                            let batch = self.collect(event, &mut tail, &mut passed);
                            self.handle(&mut stored, batch).await?
                        }
                        Err(gap) => self.bridge(gap, &stored).await?,
                    };
                    if !handled {
                        stored = self.position().await?;
                        passed = stored.clone();
                        tail = log.tail(Start::After(stored.clone()));
                    }
                    if passed.seq - stored.seq < SAVE_AFTER {
                        continue;
                    }
                }
            }
            if passed.seq > stored.seq && self.pass_over(&stored, &passed).await? {
                stored = passed.clone();
            }
        }
    }

    /// Says loudly what is wrong with the log. False: the stored position is another one now. A log
    /// that was replaced is read from its beginning, and the inbox knows what was handled.
    async fn bridge(&self, gap: Gap, stored: &Mark) -> Result<bool, DataError> {
        let kind = match gap {
            Gap::Missed { .. } => "missed",
            Gap::Replaced { .. } => "replaced",
        };
        tracing::error!(consumer = &*self.name, %gap, "events may have been lost to a consumer");
        metrics::counter!("events_gaps_total", "consumer" => self.name.to_string(), "kind" => kind)
            .increment(1);
        if matches!(gap, Gap::Missed { .. }) {
            return Ok(true);
        }
        self.pass_over(stored, &Mark::start()).await?;
        Ok(false)
    }

    /// Takes what is at hand, up to a batch; what has no handler is passed over.
    fn collect(
        &self,
        first: Arc<Recorded>,
        tail: &mut Tail,
        passed: &mut Mark,
    ) -> Vec<Arc<Recorded>> {
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(event) = next {
            *passed = Mark::of(&event);
            if self.handlers.contains_key(&event.name) {
                batch.push(event);
            }
            if batch.len() >= self.settings.batch {
                break;
            }
            next = tail.ready();
        }
        batch
    }
}

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
