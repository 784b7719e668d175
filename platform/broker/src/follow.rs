//! Following a stream as it grows.
//!
//! The server pushes, with flow control, and shows twice a second that it is there. The messages
//! of a consumer are numbered without holes, so a lost one is noticed by the next one, or by the
//! next sign of life: the follower fails then, and its holder begins anew where it was.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, push};
use async_nats::{StatusCode, Subscriber};
use bytes::Bytes;
use futures::StreamExt;

use crate::stream::{Message, Stream};
use crate::{BrokerError, Link};

const HEARTBEAT: Duration = Duration::from_millis(500);
/// Two heartbeats missed, and a little.
const SILENT: Duration = Duration::from_millis(1_200);
const STALLED: &str = "Nats-Consumer-Stalled";
const LAST: &str = "Nats-Last-Consumer";

/// Every message of a stream from some place on, as long as nothing breaks.
pub struct Follow {
    link: Link,
    subscriber: Subscriber,
    /// The number, among those delivered here, of the next message.
    next: u64,
}

impl Stream {
    /// Every message from number `seq` on.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn follow(&self, seq: u64) -> Result<Follow, BrokerError> {
        let client = &self.link.client;
        let inbox = client.new_inbox();
        let subscriber = client.subscribe(inbox.clone()).await.map_err(BrokerError::away)?;
        let config = push::Config {
            deliver_subject: inbox,
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: seq.max(1) },
            ack_policy: AckPolicy::None,
            max_deliver: 1,
            flow_control: true,
            idle_heartbeat: HEARTBEAT,
            memory_storage: true,
            num_replicas: 1,
            ..push::Config::default()
        };
        self.stream.create_consumer(config).await.map_err(BrokerError::away)?;
        Ok(Follow { link: self.link.clone(), subscriber, next: 1 })
    }
}

impl Follow {
    /// The next message. May be dropped while it waits: nothing is lost.
    ///
    /// # Errors
    /// [`BrokerError::Away`] when the link broke, the broker fell silent or a message was lost:
    /// this follower is of no use any more.
    pub async fn next(&mut self) -> Result<Message, BrokerError> {
        loop {
            let received = tokio::select! {
                biased;
                received = tokio::time::timeout(SILENT, self.subscriber.next()) => received,
                () = self.link.broken() => return Err(BrokerError::away("the connection was lost")),
            };
            let Ok(Some(message)) = received else {
                return Err(BrokerError::away("it has fallen silent"));
            };
            if let Some(status) = message.status {
                self.sign_of_life(status, message).await?;
                continue;
            }
            let message =
                async_nats::jetstream::Message { message, context: self.link.jetstream.clone() };
            let info = message.info().map_err(BrokerError::away)?;
            let (seq, number) = (info.stream_sequence, info.consumer_sequence);
            if number != self.next {
                return Err(BrokerError::away("a message was lost on the way"));
            }
            self.next += 1;
            return Ok(Message::of(message.message, seq));
        }
    }

    async fn sign_of_life(
        &mut self,
        status: StatusCode,
        message: async_nats::Message,
    ) -> Result<(), BrokerError> {
        if status != StatusCode::IDLE_HEARTBEAT {
            let why = message.description.unwrap_or_default();
            return Err(BrokerError::away(format!("reading ended: {status} {why}")));
        }
        let headers = message.headers.unwrap_or_default();
        let header = |name| headers.get(name).map(|value| value.as_str().to_owned());
        if let Some(last) = header(LAST)
            && last.parse() != Ok(self.next - 1)
        {
            return Err(BrokerError::away("a message was lost on the way"));
        }
        // Flow control: the server goes on when it hears that all before this has arrived.
        let go_on = message.reply.map(|reply| reply.to_string()).or(header(STALLED));
        if let Some(subject) = go_on {
            self.link.client.publish(subject, Bytes::new()).await.map_err(BrokerError::away)?;
        }
        Ok(())
    }
}
