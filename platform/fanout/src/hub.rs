//! The hub: where services publish and sockets join.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, timeout};

use crate::conn::Conn;
use crate::count::{Count, Permit};
use crate::handler::Ignore;
use crate::host::{Host, Key, Meta};
use crate::mailbox::{Command, Mailbox};
use crate::shard::Shard;
use crate::transport::Transport;
use crate::upgrade::Refusal;
use crate::{Close, Frame, Handler, Settings, Socket, Upgrade};

/// The first frames of a socket.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Sent before anything that is published, in this order.
    pub frames: Vec<Frame>,
    /// Frames published with a sequence up to this are part of it and are left out. Sequences
    /// belong to the socket: give one only where all its topics count in one sequence.
    pub upto: Option<u64>,
}

impl From<Vec<Frame>> for Snapshot {
    fn from(frames: Vec<Frame>) -> Self {
        Self { frames, upto: None }
    }
}

/// A place where frames are published to topics `K` and sockets read them; `M` is what the
/// service knows of a socket. Clones share it. When the last is dropped, its sockets close.
pub struct Hub<K: Key, M: Meta = ()> {
    inner: Arc<Inner<K, M>>,
}

struct Inner<K: Key, M: Meta> {
    settings: Settings,
    mailboxes: Vec<Arc<Mailbox<K, M>>>,
    count: Arc<Count>,
    next: AtomicU64,
    draining: AtomicBool,
}

impl<K: Key, M: Meta> Hub<K, M> {
    /// A hub whose clients only listen. Its loops run on the present tokio runtime.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self::with_handler(settings, Ignore)
    }

    /// A hub that gives its clients' messages to `handler`. A handler that holds the hub keeps
    /// it until [`Self::drain`].
    #[must_use]
    pub fn with_handler(settings: Settings, handler: impl Handler<K, M>) -> Self {
        let handler: Arc<dyn Handler<K, M>> = Arc::new(handler);
        let mailboxes: Vec<_> =
            (0..settings.loops()).map(|_| Arc::new(Mailbox::new(settings.max_backlog))).collect();
        for mailbox in &mailboxes {
            let host = Host::new(settings.clone(), Arc::clone(&handler));
            tokio::spawn(unconstrained(Shard::new(Arc::clone(mailbox), host).run()));
        }
        Self {
            inner: Arc::new(Inner {
                count: Count::new(settings.name),
                settings,
                mailboxes,
                next: AtomicU64::new(0),
                draining: AtomicBool::new(false),
            }),
        }
    }

    /// Makes the request a socket that reads `key`. 503 where there is no room.
    pub fn join(&self, upgrade: Upgrade, key: K, meta: M) -> Response {
        self.accept(upgrade, meta, |socket| async move {
            socket.join(key);
            Ok(())
        })
    }

    /// As [`Self::join`], with first frames. What is published from the moment at which `first`
    /// is called is kept back and follows them: nothing between a history read in it and the
    /// live frames is lost. Where an error comes of it, the socket is closed so. It runs on a
    /// task of its own, outside of the request's context.
    pub fn join_with<F, Fut>(&self, upgrade: Upgrade, key: K, meta: M, first: F) -> Response
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Snapshot, Close>> + Send + 'static,
    {
        self.accept(upgrade, meta, |socket| async move {
            socket.hold();
            socket.join(key);
            socket.release(first().await?);
            Ok(())
        })
    }

    /// Makes the request a socket and lets `set_up` prepare it: join topics, hold, send,
    /// release. Messages of the client are read when it is done; an error closes the socket.
    pub fn accept<F, Fut>(&self, upgrade: Upgrade, meta: M, set_up: F) -> Response
    where
        F: FnOnce(Socket<K, M>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), Close>> + Send + 'static,
    {
        let permit = match self.admit(&upgrade) {
            Ok(permit) => permit,
            Err(refusal) => return refusal.into_response(),
        };
        let id = self.inner.next.fetch_add(1, Ordering::Relaxed);
        let mailbox = &self.inner.mailboxes[(id % self.inner.mailboxes.len() as u64) as usize];
        let mailbox = Arc::clone(mailbox);
        let max_message = self.inner.settings.max_message;
        let within = self.inner.settings.setup_within;
        let response = upgrade.agree();
        tokio::spawn(async move {
            let upgraded = match timeout(within, upgrade.on).await {
                Ok(Ok(upgraded)) => upgraded,
                // The client has gone, or never read the answer.
                Ok(Err(_)) | Err(_) => return,
            };
            let socket = Socket::new(id, Arc::clone(&mailbox), meta);
            let transport = Transport::new(upgraded);
            let conn = Conn::new(socket.clone(), upgrade.begun, transport, max_message, permit);
            mailbox.push(Command::Attach(Box::new(conn)));
            drop(mailbox);
            let ready = AssertUnwindSafe(set_up(socket.clone())).catch_unwind();
            match timeout(within, ready).await {
                Ok(Ok(Ok(()))) => socket.resume(),
                Ok(Ok(Err(close))) => socket.close(close),
                Ok(Err(_)) => {
                    tracing::error!("setting up a socket panicked");
                    socket.close(Close::FAILED);
                }
                Err(_) => socket.close(Close::TOO_SLOW.because("not ready in time: connect again")),
            }
        });
        response
    }

    fn admit(&self, upgrade: &Upgrade) -> Result<Permit, Refusal> {
        if self.inner.draining.load(Ordering::Acquire) {
            return Err(Refusal::full(upgrade, "this instance is going away: connect again"));
        }
        let permit = self.inner.count.admit(self.inner.settings.max_sockets);
        permit.ok_or_else(|| Refusal::full(upgrade, "too many open sockets: try again later"))
    }

    /// Sends a frame to all who read `key`. Never waits; a socket gets what is published to its
    /// topics in the order in which one publisher publishes it.
    pub fn publish(&self, key: &K, frame: impl Into<Frame>) {
        self.publish_seq(key, 0, frame);
    }

    /// As [`Self::publish`], with a place in a sequence (from 1), so that a socket whose
    /// [`Snapshot`] reached this far does not get it again.
    pub fn publish_seq(&self, key: &K, seq: u64, frame: impl Into<Frame>) {
        let frame = frame.into();
        for mailbox in &self.inner.mailboxes {
            mailbox.publish(key, seq, &frame);
        }
    }

    /// Closes the sockets that `matches` picks, those included whose handshake is under way and
    /// began before.
    pub fn close_where(&self, close: Close, matches: impl Fn(&M) -> bool + Send + Sync + 'static) {
        let matches: Arc<dyn Fn(&M) -> bool + Send + Sync> = Arc::new(matches);
        for mailbox in &self.inner.mailboxes {
            mailbox.push(Command::CloseWhere {
                at: Instant::now(),
                close: close.clone(),
                matches: Arc::clone(&matches),
            });
        }
    }

    /// How many sockets are open or about to be.
    #[must_use]
    pub fn sockets(&self) -> usize {
        self.inner.count.open()
    }

    /// Takes no more sockets, tells all to connect again (1012), waits until they have gone, at
    /// most a second longer than a closing handshake may take, and ends.
    pub async fn drain(&self) {
        self.inner.draining.store(true, Ordering::Release);
        self.tell_all(|| Command::Drain);
        let within = self.inner.settings.close_within + Duration::from_secs(1);
        if timeout(within, self.inner.count.none()).await.is_err() {
            let left = self.sockets();
            tracing::info!(hub = self.inner.settings.name, left, "sockets left after draining");
        }
        self.tell_all(|| Command::Stop);
    }

    fn tell_all(&self, command: impl Fn() -> Command<K, M>) {
        self.inner.tell_all(command);
    }
}

impl<K: Key, M: Meta> Inner<K, M> {
    fn tell_all(&self, command: impl Fn() -> Command<K, M>) {
        for mailbox in &self.mailboxes {
            mailbox.push(command());
        }
    }
}

impl<K: Key, M: Meta> Drop for Inner<K, M> {
    fn drop(&mut self) {
        self.tell_all(|| Command::Stop);
    }
}

impl<K: Key, M: Meta> Clone for Hub<K, M> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<K: Key, M: Meta> fmt::Debug for Hub<K, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("name", &self.inner.settings.name)
            .field("sockets", &self.sockets())
            .finish_non_exhaustive()
    }
}
