//! A stream: what it keeps and for how long, and what is in it.

use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, pull};
use async_nats::jetstream::context::CreateStreamErrorKind;
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use async_nats::jetstream::{self, ErrorCode};
use bytes::Bytes;
use futures::StreamExt;

use crate::{BrokerError, Link};

/// The server forgets a reader that has gone after this time.
pub(crate) const FORGET_AFTER: Duration = Duration::from_secs(10);
/// More than any stream is kept.
const LONGEST_AGE: Duration = Duration::from_secs(3650 * 24 * 3600);
const READ_WITHIN: Duration = Duration::from_secs(10);
/// How long the server looks for messages that it has counted, before they are counted anew.
const DELIVER_WITHIN: Duration = Duration::from_secs(1);

/// How a stream is kept.
#[derive(Clone, Debug)]
pub struct StreamSettings {
    config: Box<Config>,
}

impl StreamSettings {
    /// A log named `name`, of everything whose subject begins with `name.`, on disk.
    #[must_use]
    pub fn log(name: &str, keep: Duration, duplicates: Duration, replicas: usize) -> Self {
        let config = Config {
            name: name.to_owned(),
            subjects: vec![format!("{name}.>")],
            max_age: keep,
            duplicate_window: duplicates.min(keep),
            num_replicas: replicas,
            storage: StorageType::File,
            ..Config::default()
        };
        Self { config: Box::new(config) }
    }

    /// The key-value bucket named `name`, in memory, whose values live for `max_age`. Made as the
    /// stream that it is, since what clients of today ask for is more than 2.9 knows.
    #[must_use]
    pub fn bucket(name: &str, max_age: Duration, replicas: usize) -> Self {
        let config = Config {
            name: format!("KV_{name}"),
            subjects: vec![format!("$KV.{name}.>")],
            max_messages_per_subject: 1,
            max_age,
            duplicate_window: max_age.min(Duration::from_secs(120)),
            num_replicas: replicas,
            storage: StorageType::Memory,
            discard: DiscardPolicy::New,
            allow_rollup: true,
            deny_delete: true,
            ..Config::default()
        };
        Self { config: Box::new(config) }
    }
}

/// A message in a stream.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its place in the stream.
    pub seq: u64,
    /// Where it was published to.
    pub subject: String,
    headers: async_nats::HeaderMap,
    /// What it says.
    pub payload: Bytes,
}

impl Message {
    /// A header, if it has it.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.as_str())
    }

    pub(crate) fn of(message: async_nats::Message, seq: u64) -> Self {
        let async_nats::Message { subject, payload, headers, .. } = message;
        let headers = headers.unwrap_or_default();
        Self { seq, subject: subject.to_string(), headers, payload }
    }
}

/// A stream, over one link.
#[derive(Clone)]
pub struct Stream {
    pub(crate) link: Link,
    pub(crate) stream: jetstream::stream::Stream,
}

impl Link {
    /// The stream, made or changed to be as `settings` say.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn stream(&self, settings: &StreamSettings) -> Result<Stream, BrokerError> {
        let config = (*settings.config).clone();
        let name = config.name.clone();
        let stream = match self.jetstream.create_stream(config.clone()).await {
            Ok(stream) => stream,
            Err(error) => match error.kind() {
                CreateStreamErrorKind::JetStream(why)
                    if why.error_code() == ErrorCode::STREAM_NAME_EXIST =>
                {
                    if let Err(error) = self.jetstream.update_stream(config).await {
                        tracing::warn!(stream = name, %error, "the stream stays as it is");
                    }
                    self.jetstream.get_stream(&name).await.map_err(BrokerError::away)?
                }
                CreateStreamErrorKind::JetStream(why) => return Err(BrokerError::refused(why)),
                _ => return Err(BrokerError::away(error)),
            },
        };
        Ok(Stream { link: self.clone(), stream })
    }
}

impl Stream {
    /// The number of the last message ever taken; 0 when there was none.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn head(&self) -> Result<u64, BrokerError> {
        let info = self.stream.get_info().await.map_err(BrokerError::away)?;
        Ok(info.state.last_sequence)
    }

    /// The number of the first message that was taken within `age`, or a moment before. Only the
    /// broker's clock counts.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn first_within(&self, age: Duration) -> Result<Option<u64>, BrokerError> {
        // It says when the consumer was made: that is its clock. It was some time between asking and
        // the answer; the earlier is meant, for the later would leave out what came in between.
        let asked = Instant::now();
        let consumer = self.reader(DeliverPolicy::New).await?;
        let now = consumer.cached_info().created;
        let start_time = now - (age + asked.elapsed()).min(LONGEST_AGE);
        let found = self.fetch(DeliverPolicy::ByStartTime { start_time }, 1).await?;
        Ok(found.first().map(|message| message.seq))
    }

    /// The messages from number `seq` on, at most `limit`.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn read(&self, seq: u64, limit: usize) -> Result<Vec<Message>, BrokerError> {
        let start_sequence = seq.max(1);
        self.fetch(DeliverPolicy::ByStartSequence { start_sequence }, limit).await
    }

    async fn reader(&self, from: DeliverPolicy) -> Result<Consumer<pull::Config>, BrokerError> {
        let config = pull::Config {
            deliver_policy: from,
            ack_policy: AckPolicy::None,
            inactive_threshold: FORGET_AFTER,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        self.stream.create_consumer(config).await.map_err(BrokerError::away)
    }

    async fn fetch(&self, from: DeliverPolicy, limit: usize) -> Result<Vec<Message>, BrokerError> {
        let reading = async {
            let mut from = from;
            let mut found: Vec<Message> = Vec::new();
            loop {
                let consumer = self.reader(from).await?;
                let info = consumer.cached_info();
                let pending = usize::try_from(info.num_pending).unwrap_or(usize::MAX);
                let wanted = pending.min(limit - found.len());
                let before = found.len();
                drain(&consumer, wanted, &mut found).await?;
                // Only to be tidy: it would be forgotten anyway.
                drop(self.stream.delete_consumer(&info.name).await);
                if found.len() - before == wanted {
                    return Ok(found);
                }
                from = found.last().map_or(from, |last| DeliverPolicy::ByStartSequence {
                    start_sequence: last.seq + 1,
                });
            }
        };
        tokio::select! {
            read = tokio::time::timeout(READ_WITHIN, reading) => {
                read.unwrap_or_else(|_| Err(BrokerError::away("no answer in time")))
            }
            () = self.link.broken() => Err(BrokerError::away("the connection was lost")),
        }
    }
}

/// Takes up to `wanted` messages of a consumer: fewer when the server is slow, or when some are no
/// longer kept. Up to 2.9 a consumer goes on counting those, and without a bound the server would
/// wait for them for ever.
async fn drain(
    consumer: &Consumer<pull::Config>,
    wanted: usize,
    found: &mut Vec<Message>,
) -> Result<(), BrokerError> {
    if wanted == 0 {
        return Ok(());
    }
    let asked = consumer.fetch().max_messages(wanted).expires(DELIVER_WITHIN);
    let mut messages = asked.messages().await.map_err(BrokerError::away)?;
    while let Some(message) = messages.next().await {
        let message = message.map_err(BrokerError::away)?;
        let seq = message.info().map_err(BrokerError::away)?.stream_sequence;
        found.push(Message::of(message.message, seq));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use testkit::{Nats, engine_or_skip};

    use super::*;
    use crate::{Outgoing, Servers};

    #[test]
    fn what_is_dropped_between_counting_and_reading_is_not_waited_for() {
        testkit::run(async {
            let nats = engine_or_skip!(Nats::start().await);
            let link = Link::connect(&Servers::parse(&nats.url()).unwrap(), "test").await.unwrap();
            let minute = Duration::from_secs(60);
            let settings = StreamSettings::log("log", minute, minute, 1);
            let stream = link.stream(&settings).await.unwrap();
            let message = |n: u64| Outgoing {
                id: n.to_string(),
                subject: "log.happened".into(),
                key: String::new(),
                payload: Bytes::new(),
            };
            link.publish("log", (1..=4).map(message).collect()).await.unwrap();
            for (gone, left) in [(1..=2, vec![3, 4]), (3..=4, vec![])] {
                let consumer = stream.reader(DeliverPolicy::All).await.unwrap();
                let counted = consumer.cached_info().num_pending;
                for seq in gone {
                    stream.stream.delete_message(seq).await.unwrap();
                }
                let mut found = Vec::new();
                let all = usize::try_from(counted).unwrap();
                let draining = drain(&consumer, all, &mut found);
                tokio::time::timeout(READ_WITHIN, draining).await.expect("it ends").unwrap();
                assert_eq!(found.iter().map(|m| m.seq).collect::<Vec<_>>(), left);
            }
        });
    }
}
