//! What several registries share: a bucket of key and value in NATS.
//!
//! Nothing waits for it. Each registry decides by what it knows; what it is told itself goes into
//! the bucket on the side, and what the others are told comes out of it. Values live for a little
//! longer than an instance without heartbeats, so a registry that starts finds those who are alive.
//! A value that is lost matters to nobody for longer than a second: heartbeats repeat themselves.

mod news;

use std::time::Duration;

use broker::{BrokerError, Link, Servers, Stream, StreamSettings};
use tokio::sync::{Mutex, mpsc};

use crate::Settings;
use crate::model::{Heard, TTL};
use crate::state::{State, random};

pub(crate) use news::News;
use news::What;

/// News on their way to the bucket. More than that are dropped: then it is away or too slow.
const WAITING: usize = 4_096;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// A broker that comes back is noticed within this time.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
const CLIENT: &str = "atelier discovery";

/// Where a registry puts what it is told; nowhere when it is alone.
pub(crate) struct Outbox(Option<mpsc::Sender<News>>);

impl Outbox {
    pub(crate) fn tell(&self, news: News) {
        if let Some(bucket) = &self.0
            && bucket.try_send(news).is_err()
        {
            metrics::counter!("discovery_news_dropped_total").increment(1);
        }
    }
}

/// The bucket, and what is to be put into it.
pub(crate) struct Bucket {
    servers: Servers,
    name: String,
    how: StreamSettings,
    /// Tells this registry's own news from those of others.
    me: String,
    inner: Mutex<Inner>,
}

struct Inner {
    outbox: mpsc::Receiver<News>,
    /// The number of the last news that was read.
    seen: u64,
}

/// What `settings` ask for.
pub(crate) fn of(settings: &Settings) -> (Outbox, Option<Bucket>) {
    let Some(servers) = settings.registry.clone() else { return (Outbox(None), None) };
    let (sender, outbox) = mpsc::channel(WAITING);
    let name = settings.bucket.clone();
    // A second more than a life: what is on its way is not to be lost to the broker's clock.
    let how =
        StreamSettings::bucket(&name, Duration::from_millis(TTL + 1_000), settings.bucket_replicas);
    let me = format!("{:016x}", random());
    let inner = Mutex::new(Inner { outbox, seen: 0 });
    (Outbox(Some(sender)), Some(Bucket { servers, name, how, me, inner }))
}

impl Bucket {
    /// Keeps `state` in touch with the other registries, for ever.
    pub(crate) async fn agree(&self, state: &State) {
        let mut inner = self.inner.lock().await;
        let mut pause = FIRST_PAUSE;
        // Said once for each outage.
        let mut told = false;
        loop {
            match self.connect(&mut inner).await {
                Err(error) => self.away(&error, &mut told),
                Ok((link, stream)) => {
                    (told, pause) = (false, FIRST_PAUSE);
                    let error = self.exchange(state, &mut inner, &link, &stream).await;
                    state.change(|registry, _| registry.lose_touch());
                    self.away(&error, &mut told);
                }
            }
            // What is told meanwhile will be old: heartbeats come again.
            let waiting = tokio::time::sleep(pause);
            tokio::pin!(waiting);
            loop {
                tokio::select! {
                    () = &mut waiting => break,
                    Some(_) = inner.outbox.recv() => {}
                }
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn away(&self, error: &BrokerError, told: &mut bool) {
        metrics::gauge!("discovery_bucket_reached").set(0.0);
        if !std::mem::replace(told, true) {
            tracing::warn!(broker = %self.servers, %error, "other registries are not heard");
        }
    }

    async fn connect(&self, inner: &mut Inner) -> Result<(Link, Stream), BrokerError> {
        let link = Link::connect(&self.servers, CLIENT).await?;
        let stream = link.stream(&self.how).await?;
        if stream.head().await? < inner.seen {
            // It was emptied: its numbers begin anew.
            inner.seen = 0;
        }
        Ok((link, stream))
    }

    /// Reads and writes until the link breaks.
    async fn exchange(
        &self,
        state: &State,
        inner: &mut Inner,
        link: &Link,
        stream: &Stream,
    ) -> BrokerError {
        let exchange = async {
            // Each key's last value, if it is younger than what was seen.
            let mut news = stream.follow(inner.seen + 1).await?;
            state.change(|registry, now| registry.regain_touch(now));
            metrics::gauge!("discovery_bucket_reached").set(1.0);
            tracing::info!(broker = %self.servers, "registries agree in the bucket");
            let known: Vec<News> = state.read(|registry| {
                registry
                    .heard_here()
                    .map(|(name, i)| News::beat(name, &i.said, i.beat_at))
                    .collect()
            });
            for known in known {
                self.put(link, known).await?;
            }
            loop {
                tokio::select! {
                    message = news.next() => {
                        let message = message?;
                        inner.seen = message.seq;
                        match news::read(&message.payload) {
                            Ok((by, _)) if by == self.me => {}
                            Ok((_, what)) => apply(state, what),
                            Err(error) => {
                                tracing::warn!(key = message.subject, %error, "unreadable news");
                            }
                        }
                    }
                    Some(news) = inner.outbox.recv() => self.put(link, news).await?,
                }
            }
        };
        let ended: Result<(), BrokerError> = exchange.await;
        link.fail();
        ended.err().unwrap_or_else(|| BrokerError::Away("the exchange ended".into()))
    }

    async fn put(&self, link: &Link, news: News) -> Result<(), BrokerError> {
        let subject = format!("$KV.{}.{}", self.name, news.key());
        // What clients of buckets call a key that was deleted.
        let deleted = news.is_end().then(|| ("KV-Operation", "DEL".to_owned()));
        link.send(subject, deleted, news.written(&self.me)).await
    }
}

/// What another registry was told.
fn apply(state: &State, what: What) {
    state.change(|registry, now| match what {
        What::Beat { service, instance, last_heartbeat } => {
            let heard = Heard::Elsewhere;
            if registry.register(&service, instance, now, last_heartbeat, heard).is_err() {
                tracing::debug!(service, "the registry is full");
            }
        }
        What::Left { service, host } => {
            registry.leave(&service, &host, now);
        }
        What::Opened { ticket, service, host } => registry.opened(&ticket, &service, &host, now),
        What::Closed { ticket } => {
            registry.close(&ticket);
        }
    });
}
