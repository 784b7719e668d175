//! A WebSocket passed on to another process: bytes both ways, unread.
//!
//! Invariant: a pair at rest holds no buffer; a side that takes no more stops the reading of the
//! other, so at most one read waits in each direction. Only where frames end is watched, so that
//! a close frame can be put between two of them when the process is to stop.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::upgrade::Upgraded;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::transport::Transport;
use crate::{Close, Frame};

mod direction;

use direction::Direction;

/// How long a relayed pair may be silent, and when it is to end.
#[derive(Clone, Debug)]
pub struct RelaySettings {
    /// Silence of both sides that ends the pair with 1001, after at most twice this time. Longer
    /// than the time between pings.
    pub idle: Duration,
    /// How long one side may go on after the other has ended its stream.
    pub half_closed: Duration,
    /// How long the closing may take once `stop` is cancelled.
    pub close_within: Duration,
    /// When cancelled, both sides are sent `close` between two frames.
    pub stop: CancellationToken,
    /// What they are told; the client also where the upstream ends without a word.
    pub close: Close,
}

impl Default for RelaySettings {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(120),
            half_closed: Duration::from_secs(10),
            close_within: Duration::from_secs(5),
            stop: CancellationToken::new(),
            close: Close::RESTART,
        }
    }
}

/// How a relayed pair ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayEnd {
    /// Both sides ended their streams.
    Closed,
    /// Nothing came for too long, or one side did not end after the other.
    Idle,
    /// It was stopped.
    Stopped,
}

/// What has been relayed.
#[derive(Debug)]
pub struct Relayed {
    /// Bytes from the upstream to the client.
    pub to_client: u64,
    /// Bytes from the client to the upstream.
    pub to_upstream: u64,
    /// Why it ended.
    pub end: RelayEnd,
}

/// Passes bytes between a client and the service it talks to, until both are done, too long
/// silent, or told to stop. A side that fails counts as one that ended its stream.
pub async fn relay(client: Upgraded, upstream: Upgraded, settings: RelaySettings) -> Relayed {
    let (client, from_client) = Transport::new(client);
    let (upstream, from_upstream) = Transport::new(upstream);
    let mut pair = Pair {
        client,
        upstream,
        up: Direction::new(from_client, None),
        down: Direction::new(from_upstream, Some(Frame::close(&settings.close))),
    };
    let end = pair.run(&settings).await;
    Relayed { to_client: pair.down.moved(), to_upstream: pair.up.moved(), end }
}

struct Pair {
    client: Transport,
    upstream: Transport,
    up: Direction,
    down: Direction,
}

impl Pair {
    async fn run(&mut self, settings: &RelaySettings) -> RelayEnd {
        let mut stopping = pin!(settings.stop.cancelled());
        let mut timer = pin!(sleep_until(Instant::now() + settings.idle));
        // How it ends when the time is over; `None` while silence is what is timed.
        let mut ending: Option<RelayEnd> = None;
        let mut half_closed = false;
        let mut moved = 0;
        poll_fn(|cx| {
            if ending.is_none() && stopping.as_mut().poll(cx).is_ready() {
                self.say_close(&settings.close);
                timer.as_mut().reset(Instant::now() + settings.close_within);
                ending = Some(RelayEnd::Stopped);
            }
            loop {
                if self.poll_move(cx).is_ready() {
                    return Poll::Ready(ending.unwrap_or(RelayEnd::Closed));
                }
                if ending.is_none() && !half_closed && (self.up.is_over() || self.down.is_over()) {
                    half_closed = true;
                    timer.as_mut().reset(Instant::now() + settings.half_closed);
                }
                if timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                let now = self.up.moved() + self.down.moved();
                if let Some(end) = ending {
                    return Poll::Ready(end);
                } else if half_closed {
                    return Poll::Ready(RelayEnd::Idle);
                } else if now == moved {
                    self.say_close(&Close::GOING_AWAY.because("silent for too long"));
                    timer.as_mut().reset(Instant::now() + settings.close_within);
                    ending = Some(RelayEnd::Idle);
                } else {
                    moved = now;
                    timer.as_mut().reset(Instant::now() + settings.idle);
                }
            }
        })
        .await
    }

    fn say_close(&mut self, close: &Close) {
        self.down.end_with(Frame::close(close));
        self.up.end_with(Frame::masked_close(close, rand::random()));
    }

    fn poll_move(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let up = self.up.poll(cx, &mut self.client, &mut self.upstream);
        let down = self.down.poll(cx, &mut self.upstream, &mut self.client);
        // After both closes it is the server that ends the connection.
        if down.is_ready() && (up.is_ready() || self.down.is_closed() && self.up.is_closed()) {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}
