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
        let cluster = self.is_cluster();
        let mut rest = messages.into_iter().peekable();
        while rest.peek().is_some() {
            let mut keys = HashSet::new();
            let mut wave = Vec::new();
            while let Some(next) = rest.next_if(|m| !cluster || keys.insert(m.key.clone())) {
                wave.push(next);
            }
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

fn reason(error: async_nats::jetstream::context::PublishError) -> BrokerError {
    match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => BrokerError::refused(format!(
            "an event is larger than the broker takes; raise its max_payload: {error}"
        )),
        _ => BrokerError::away(error),
    }
}
