//! One connection to one server, until it breaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::header::IntoHeaderName;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::{Client, ConnectOptions, Event, HeaderMap, HeaderValue, ReconnectToServer};
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::servers::Server;
use crate::{BrokerError, Servers};

/// Until a server that does not answer is given up for the next one.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// Until a request or a publication that is not answered has failed.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const PING_EVERY: Duration = Duration::from_secs(5);
/// Messages that wait to be read. Flow control keeps them to 32 MB; this is room for small ones.
const UNREAD: usize = 256 * 1024;
/// Where a client is sent that wants to reconnect: nobody can listen at port 0.
const NOWHERE: &str = "nats://127.0.0.1:0";

/// One connection to one server. Clones share it; dropping the last closes it.
#[derive(Clone)]
pub struct Link {
    pub(crate) client: Client,
    pub(crate) jetstream: Context,
    broken: CancellationToken,
}

impl Link {
    /// Connects to the first of `servers`, in a random order, that answers; `name` is what it lists
    /// this client as.
    ///
    /// # Errors
    /// [`BrokerError::Away`] when none does.
    pub async fn connect(servers: &Servers, name: &str) -> Result<Self, BrokerError> {
        let servers: Vec<Server> = servers.each().collect();
        // Enough for instances not to crowd at one server; they come at different times anyway.
        let first = usize::try_from(now_nanos() % servers.len().max(1) as u128).unwrap_or(0);
        let mut failure = BrokerError::away("no server is named");
        for server in servers.iter().cycle().skip(first).take(servers.len()) {
            match Self::to(server, name).await {
                Ok(link) => return Ok(link),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn to(server: &Server, name: &str) -> Result<Self, BrokerError> {
        let broken = CancellationToken::new();
        let ended = broken.clone();
        let mut options = ConnectOptions::new()
            .name(name)
            .connection_timeout(CONNECT_WITHIN)
            .request_timeout(Some(ANSWER_WITHIN))
            .ping_interval(PING_EVERY)
            .ignore_discovered_servers()
            .subscription_capacity(UNREAD)
            .max_reconnects(1)
            .event_callback(move |event| {
                if matches!(event, Event::Disconnected | Event::Closed | Event::LameDuckMode) {
                    ended.cancel();
                }
                std::future::ready(())
            });
        options = once(options);
        options = match server.user.clone() {
            Some((user, Some(password))) => options.user_and_password(user, password),
            Some((token, None)) => options.token(token),
            None => options,
        };
        let client = options
            .connect(vec![server.url.clone(), NOWHERE.to_owned()])
            .await
            .map_err(|error| BrokerError::away(format!("{}: {error}", server.url)))?;
        let jetstream = ContextBuilder::new().timeout(ANSWER_WITHIN).build(client.clone());
        Ok(Self { client, jetstream, broken })
    }

    /// Gives it up: something went wrong that a new link may not have.
    pub fn fail(&self) {
        self.broken.cancel();
    }

    /// Returns when the link is broken or was given up.
    pub async fn broken(&self) {
        self.broken.cancelled().await;
    }

    /// Whether it is broken.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.broken.is_cancelled()
    }

    /// Whether several servers make up the broker, so that what is published may reach a stream on
    /// more than one way.
    pub(crate) fn is_cluster(&self) -> bool {
        self.client.server_info().cluster.is_some()
    }

    /// Sends a message for which no acknowledgement is awaited.
    ///
    /// # Errors
    /// [`BrokerError::Away`] when the link is broken.
    pub async fn send(
        &self,
        subject: String,
        headers: impl IntoIterator<Item = (&'static str, String)>,
        payload: impl Into<Bytes>,
    ) -> Result<(), BrokerError> {
        if self.is_broken() {
            return Err(BrokerError::away("the connection is lost"));
        }
        let headers = headers
            .into_iter()
            .map(|(name, value)| Ok((name.into_header_name(), header(&value)?)))
            .collect::<Result<HeaderMap, BrokerError>>()?;
        self.client
            .publish_with_headers(subject, headers, payload.into())
            .await
            .map_err(BrokerError::away)
    }
}

/// Lets a client connect once. `max_reconnects(0)` would mean for ever, so whoever comes again is
/// sent to where nobody is, and gives up.
fn once(options: ConnectOptions) -> ConnectOptions {
    let connected = Arc::new(AtomicBool::new(false));
    options.reconnect_to_server_callback(move |servers, _| {
        let again = connected.swap(true, Ordering::AcqRel);
        let found = servers
            .into_iter()
            .find(|server| server.addr.port() == 0 && again || server.addr.port() != 0 && !again);
        std::future::ready(
            found
                .map(|server| ReconnectToServer { addr: server.addr, delay: Some(Duration::ZERO) }),
        )
    })
}

pub(crate) fn header(value: &str) -> Result<HeaderValue, BrokerError> {
    value.parse().map_err(|_| BrokerError::refused(format!("{value:?} fits no header")))
}

fn now_nanos() -> u128 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use testkit::{Nats, Proxy, engine_or_skip, eventually};

    use super::*;
    use crate::StreamSettings;

    #[test]
    fn what_is_queued_in_a_broken_link_is_never_sent() {
        testkit::run(async {
            let nats = engine_or_skip!(Nats::start().await);
            let proxy = Proxy::to(nats.address()).await;
            let servers = Servers::parse(&format!("nats://{}", proxy.address())).unwrap();
            let link = Link::connect(&servers, "test").await.unwrap();
            let settings =
                StreamSettings::log("log", Duration::from_secs(60), Duration::from_secs(60), 1);
            link.stream(&settings).await.unwrap();
            proxy.cut().await;
            // Past all care: straight into the client's queue.
            for _ in 0..10 {
                link.client.publish("log.late", Bytes::new()).await.ok();
            }
            link.broken().await;
            proxy.mend().await;
            let direct = Servers::parse(&nats.url()).unwrap();
            let other = Link::connect(&direct, "test").await.unwrap();
            let stream = other.stream(&settings).await.unwrap();
            // The client gives up, so that its task ends with it: no queue, no reconnection.
            eventually("it has given up", || async {
                link.client.publish("log.late", Bytes::new()).await.is_err()
            })
            .await;
            assert_eq!(stream.head().await.unwrap(), 0);
        });
    }
}
