//! Publishing many messages in order, without waiting for each.

use std::collections::HashSet;

use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{Error, ErrorCode};
use bytes::Bytes;

use crate::link::header;
use crate::{BrokerError, Link};

/// A message to be published.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Unique: a second one is not taken within the stream's duplicate window.
    pub id: String,
    /// Where to.
    pub subject: String,
    /// Messages with the same key keep their order whatever happens.
    pub key: String,
    /// What it says.
    pub payload: Bytes,
}

impl Link {
    /// Publishes `messages` to `stream` and waits until all are kept. Returns how many were new.
    ///
    /// All are on their way before the first acknowledgement is awaited: on one connection to one
    /// server they arrive in order. In a cluster a message can be lost between two servers while
    /// the next one, a moment later, reaches a new leader; there, a message is sent only after all
    /// before it that have its key are kept.
    ///
    /// # Errors
    /// [`BrokerError`]; then any of them may be kept or not, the link may have been given up, and all
    /// should be published again, on another one if it was; without those that are unfit.
    pub async fn publish(&self, stream: &str, messages: Vec<Outgoing>) -> Result<u64, BrokerError> {
        let most = self.client.max_payload();
        let large = messages.iter().filter(|message| message.size() > most);
        let ids: Vec<String> = large.map(|message| message.id.clone()).collect();
        if !ids.is_empty() {
            let why =
                format!("larger than the {most} bytes the broker takes; raise its max_payload");
            return Err(BrokerError::Unfit { ids, why });
        }
        let mut new = 0;
        for wave in waves(messages, self.is_cluster()) {
            new += self.wave(stream, wave).await.inspect_err(|_| self.fail())?;
        }
        Ok(new)
    }

    async fn wave(&self, stream: &str, wave: Vec<Outgoing>) -> Result<u64, BrokerError> {
        let mut waiting = Vec::with_capacity(wave.len());
        for Outgoing { id, subject, payload, .. } in wave {
            if self.is_broken() {
                return Err(BrokerError::away("the connection is lost"));
            }
            let message =
                PublishMessage::build().header(NATS_MESSAGE_ID, header(&id)?).payload(payload);
            let sent = self.jetstream.send_publish(subject, message).await;
            waiting.push((sent.map_err(BrokerError::away)?, id));
        }
        let mut new = 0;
        for (acknowledged, id) in waiting {
            let kept = tokio::select! {
                biased;
                kept = acknowledged.into_future() => kept.map_err(|error| reason(error, id))?,
                () = self.broken() => return Err(BrokerError::away("the connection was lost")),
            };
            if kept.stream != stream {
                return Err(BrokerError::refused(format!(
                    "the stream `{}` takes what is meant for `{stream}`: their subjects overlap",
                    kept.stream
                )));
            }
            new += u64::from(!kept.duplicate);
        }
        Ok(new)
    }
}

/// Cuts `messages` into pieces that may be on their way together: all of them, or, `apart`, those
/// up to the next one whose key is among them already.
fn waves(messages: Vec<Outgoing>, apart: bool) -> impl Iterator<Item = Vec<Outgoing>> {
    let mut rest = messages.into_iter().peekable();
    std::iter::from_fn(move || {
        let mut keys = HashSet::new();
        let mut wave = Vec::new();
        while let Some(next) = rest.next_if(|m| !apart || keys.insert(m.key.clone())) {
            wave.push(next);
        }
        (!wave.is_empty()).then_some(wave)
    })
}

impl Outgoing {
    /// What the broker counts: the payload, and the header with the id.
    fn size(&self) -> usize {
        let header = "NATS/1.0\r\nNats-Msg-Id: \r\n\r\n".len() + self.id.len();
        header + self.payload.len()
    }
}

/// Why the message `id` was not kept.
fn reason(error: PublishError, id: String) -> BrokerError {
    let said = std::error::Error::source(&error).and_then(|why| why.downcast_ref::<Error>());
    match said.map(Error::error_code) {
        Some(ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM) => BrokerError::Unfit {
            ids: vec![id],
            why: "larger than the stream takes; raise its max_msg_size".into(),
        },
        _ => BrokerError::away(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use async_nats::jetstream::stream::Config;
    use testkit::{Nats, engine_or_skip};

    use super::*;
    use crate::{Servers, StreamSettings};

    fn of_length(id: &str, length: usize) -> Outgoing {
        let payload = vec![b'x'; length].into();
        Outgoing { id: id.into(), subject: "log.happened".into(), key: id.into(), payload }
    }

    async fn link(nats: &Nats) -> Link {
        Link::connect(&Servers::parse(&nats.url()).unwrap(), "test").await.unwrap()
    }

    #[test]
    fn what_is_unfit_is_named_and_costs_the_others_nothing() {
        testkit::run(async {
            let nats = engine_or_skip!(Nats::start().await);
            let link = link(&nats).await;
            let minute = Duration::from_secs(60);
            link.stream(&StreamSettings::log("log", minute, minute, 1)).await.unwrap();
            let most = link.client.max_payload() - of_length("a", 0).size();
            let three = |a, b, c| vec![of_length("a", a), of_length("b", b), of_length("c", c)];
            let unfit = link.publish("log", three(most + 1, 1, most + 1)).await.unwrap_err();
            assert!(
                matches!(&unfit, BrokerError::Unfit { ids, .. } if *ids == ["a", "c"]),
                "{unfit:?}"
            );
            assert!(!link.is_broken());
            assert_eq!(link.publish("log", three(most, 1, most)).await.unwrap(), 3);
        });
    }

    #[test]
    fn what_the_stream_will_not_take_is_named() {
        testkit::run(async {
            let nats = engine_or_skip!(Nats::start().await);
            let link = link(&nats).await;
            let config = Config {
                name: "log".into(),
                subjects: vec!["log.>".into()],
                max_message_size: 200,
                ..Config::default()
            };
            link.jetstream.create_stream(config).await.unwrap();
            let messages = vec![of_length("a", 1), of_length("b", 400), of_length("c", 1)];
            let unfit = link.publish("log", messages).await.unwrap_err();
            assert!(matches!(&unfit, BrokerError::Unfit { ids, .. } if *ids == ["b"]), "{unfit:?}");
        });
    }

    fn cut(keys: &str, apart: bool) -> Vec<String> {
        let message = |key: char| Outgoing {
            id: String::new(),
            subject: String::new(),
            key: key.into(),
            payload: Bytes::new(),
        };
        let waves = waves(keys.chars().map(message).collect(), apart);
        waves.map(|wave| wave.into_iter().map(|m| m.key).collect()).collect()
    }

    #[test]
    fn in_a_cluster_a_key_is_on_its_way_once() {
        assert_eq!(cut("abcabbc", true), ["abc", "ab", "bc"]);
        assert_eq!(cut("aaa", true), ["a", "a", "a"]);
        assert_eq!(cut("abcabbc", false), ["abcabbc"]);
        assert_eq!(cut("", true), [""; 0]);
    }
}
