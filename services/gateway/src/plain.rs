//! HTTP/1.1 by hand for the plainest of requests: a whole `GET` or `HEAD` without a body. With the
//! first request that is anything else (a body, an upgrade, a byte that is not as it should be),
//! the connection and what was read of it go to hyper, which knows all of HTTP.
//!
//! Most of what a gateway passes on is plain, and hyper's machinery for all the rest was a
//! measurable part of what such a request costs (see `bench/README.md`). Invariant: whatever is
//! decided here hyper would have decided in the same way; when in doubt, hyper decides.

mod answer;
mod head;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use http::header::HeaderMap;
use tokio::io::AsyncWriteExt;
use tokio_util::io::poll_read_buf;

use crate::connection::Connection;
use crate::proxy;
use crate::server::Draining;
use crate::transport::{Stream, Transport};
use head::Parsed;

/// What is read at once, at least.
const READ: usize = 8 * 1024;
/// A head that is longer is hyper's to judge.
const LONGEST_HEAD: usize = 48 * 1024;

/// A connection as long as its requests are plain.
pub(crate) struct Plain<S> {
    transport: Transport<S>,
    /// What was read and not yet looked at.
    read: BytesMut,
    /// What is to be written.
    write: Vec<u8>,
    /// The memory of the last headers, for the next.
    spare: HeaderMap,
}

impl<S: Stream> Plain<S> {
    pub(crate) fn new(transport: Transport<S>) -> Self {
        Self { transport, read: BytesMut::new(), write: Vec::new(), spare: HeaderMap::new() }
    }

    /// Serves requests as long as they are plain. Gives the connection back for hyper to go on
    /// with; `None` when it has ended.
    pub(crate) async fn serve(
        mut self,
        connection: &Arc<Connection>,
        draining: &Draining,
    ) -> Option<Transport<S>> {
        loop {
            let parts = match head::parse(&mut self.read, &mut self.spare) {
                Parsed::Plain(parts) => parts,
                Parsed::Other => return Some(self.transport.with_ahead(self.read.freeze())),
                Parsed::Partial => {
                    self.read_more(draining).await?;
                    continue;
                }
            };
            let method = parts.method.clone();
            connection.wire.request_began();
            let answer = pin!(proxy::serve(connection, parts, None));
            let answer = self.unless_left(answer).await;
            let written = match answer {
                Some(answer) => self.send(&method, answer, connection, draining).await,
                None => Ok(false),
            };
            connection.wire.request_ended();
            match written {
                Ok(true) => {}
                Ok(false) => {
                    let _ = self.transport.shutdown().await;
                    return None;
                }
                Err(_) => return None,
            }
        }
    }

    /// Waits for bytes; `None` when none will come, or none are wanted any more.
    async fn read_more(&mut self, draining: &Draining) -> Option<()> {
        self.read.reserve(READ);
        let got = poll_fn(|cx| {
            if draining.has_begun() && self.read.is_empty() {
                return Poll::Ready(Ok(0));
            }
            poll_read_buf(Pin::new(&mut self.transport), cx, &mut self.read)
        });
        got.await.ok().filter(|got| *got > 0).map(|_| ())
    }

    /// Waits for an answer, unless the client leaves before. What it sends meanwhile is kept.
    async fn unless_left<T>(&mut self, mut answer: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        poll_fn(|cx| match answer.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending if self.has_left(cx) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    fn has_left(&mut self, cx: &mut Context<'_>) -> bool {
        // The next request has come already: the client is there.
        if !self.read.is_empty() {
            return false;
        }
        if self.read.capacity() == 0 {
            self.read.reserve(READ);
        }
        let polled = poll_read_buf(Pin::new(&mut self.transport), cx, &mut self.read);
        matches!(polled, Poll::Ready(Ok(0) | Err(_)))
    }
}

#[cfg(test)]
mod tests;
