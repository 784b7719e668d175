//! Idle connections to one instance: the one used last is used first, so that the rest grow old
//! and are closed.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use crate::transport::h1::Connection;

/// Idle connections.
pub(crate) struct Pool {
    /// The longest idle first.
    idle: Mutex<VecDeque<(Connection, Instant)>>,
    most: usize,
    expiry: Duration,
}

impl Pool {
    pub(crate) fn new(most: usize, expiry: Duration) -> Self {
        Self { idle: Mutex::default(), most, expiry }
    }

    /// A connection that was open a moment ago.
    pub(super) fn take(&self) -> Option<Connection> {
        loop {
            let (mut connection, since) = self.lock().pop_back()?;
            if since.elapsed() >= self.expiry {
                // The others are older still.
                drop(std::mem::take(&mut *self.lock()));
                return None;
            }
            if is_silent(&mut connection) {
                return Some(connection);
            }
        }
    }

    pub(super) fn put(&self, connection: Connection) {
        let oldest = {
            let mut idle = self.lock();
            idle.push_back((connection, Instant::now()));
            if idle.len() > self.most { idle.pop_front() } else { None }
        };
        // Closed outside of the lock.
        drop(oldest);
    }

    /// Closes what has been idle for too long.
    pub(crate) fn expire(&self) {
        let mut idle = self.lock();
        let old = idle.iter().take_while(|(_, since)| since.elapsed() >= self.expiry).count();
        let expired: Vec<_> = idle.drain(..old).collect();
        drop(idle);
        drop(expired);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Connection, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an idle connection is open and nothing came that nobody asked for. Asks the system
/// only if it has announced something since the last read.
fn is_silent(connection: &mut Connection) -> bool {
    let mut byte = [0; 1];
    let mut buf = ReadBuf::new(&mut byte);
    let mut cx = Context::from_waker(Waker::noop());
    matches!(Pin::new(&mut connection.io).poll_read(&mut cx, &mut buf), Poll::Pending)
}
