//! What a service does with the messages of its clients.

use std::future::Future;
use std::sync::Arc;

use crate::host::{Key, Meta};
use crate::{Close, Message, Socket};

/// What happens after a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Read on.
    Read,
    /// Read no more of this socket until [`Socket::resume`]; the peer feels it as back-pressure.
    Pause,
    /// Close the socket.
    Close(Close),
}

/// Takes what clients send. Called on the hub's loop, so it must be quick and never block; work
/// that waits goes through [`one_at_a_time`]. A panic closes the socket with 1011.
pub trait Handler<K, M>: Send + Sync + 'static {
    /// A whole message of a client.
    fn message(&self, socket: &Socket<K, M>, message: Message) -> Next;

    /// A socket is gone; called once for each that was accepted.
    fn closed(&self, socket: &Socket<K, M>) {
        let _ = socket;
    }
}

/// For feeds: what clients say is not listened to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ignore;

impl<K: Key, M: Meta> Handler<K, M> for Ignore {
    fn message(&self, _: &Socket<K, M>, _: Message) -> Next {
        Next::Read
    }
}

/// A [`Handler`] around an async function, made by [`one_at_a_time`].
#[derive(Debug)]
pub struct OneAtATime<F>(Arc<F>);

/// Runs `handle` for each message as a task of its own, one at a time for each socket and in the
/// order in which they came: the next message of a socket is read when the last one is done. So
/// what is under way is bounded by the number of sockets. A panic closes the socket with 1011.
pub fn one_at_a_time<F>(handle: F) -> OneAtATime<F> {
    OneAtATime(Arc::new(handle))
}

impl<K, M, F, Fut> Handler<K, M> for OneAtATime<F>
where
    K: Key,
    M: Meta,
    F: Fn(Socket<K, M>, Message) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send,
{
    fn message(&self, socket: &Socket<K, M>, message: Message) -> Next {
        let handle = Arc::clone(&self.0);
        let turn = Turn(socket.clone());
        tokio::spawn(async move {
            let turn = turn;
            handle(turn.0.clone(), message).await;
        });
        Next::Pause
    }
}

/// Reads on when the message has been dealt with, one way or the other.
struct Turn<K: Key, M: Meta>(Socket<K, M>);

impl<K: Key, M: Meta> Drop for Turn<K, M> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.close(Close::FAILED);
        } else {
            self.0.resume();
        }
    }
}
