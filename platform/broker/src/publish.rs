//! Publishing many messages in order, without waiting for each.

use std::collections::HashSet;

use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
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
    /// [`BrokerError`]; then any of them may be kept or not, the link has been given up, and all
    /// should be published again on another one.
    pub async fn publish(&self, stream: &str, messages: Vec<Outgoing>) -> Result<u64, BrokerError> {
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
            waiting.push(sent.map_err(reason)?);
        }
        let mut new = 0;
        for acknowledged in waiting {
            let kept = tokio::select! {
                biased;
                kept = acknowledged.into_future() => kept.map_err(reason)?,
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

fn reason(error: async_nats::jetstream::context::PublishError) -> BrokerError {
    match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => BrokerError::refused(format!(
            "an event is larger than the broker takes; raise its max_payload: {error}"
        )),
        _ => BrokerError::away(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
