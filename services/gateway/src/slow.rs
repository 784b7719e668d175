//! The watch over slow clients: one sweep over all connections four times a second, in place of
//! several timers for each.
//!
//! Invariant: a client that sends nothing of a head, stays below the slowest accepted rate while a
//! body is awaited or an answer is written, or keeps an idle connection too long, is cut off at
//! most two sweeps after its time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::task::AbortHandle;

use crate::measure;
use crate::settings::Settings;
use crate::wire::{Mode, Reading, Ticks, Wire};

/// How often connections are looked at.
pub(crate) const SWEEP: Duration = Duration::from_millis(250);
/// How long what follows an early answer is thrown away.
const LINGER: Duration = Duration::from_secs(3);

/// The connections under watch.
pub(crate) struct Watch {
    pub(crate) ticks: Arc<Ticks>,
    patience: Patience,
    next: AtomicU64,
    date: ArcSwap<String>,
    watched: Mutex<HashMap<u64, Watched>>,
}

struct Watched {
    wire: Arc<Wire>,
    task: AbortHandle,
    progress: Progress,
}

/// How long what is waited for, in ticks.
#[derive(Clone, Copy, Debug)]
struct Patience {
    head: u32,
    idle: u32,
    stall: u32,
    linger: u32,
    /// The bytes that must move in the time of a stall.
    stall_bytes: u64,
}

/// What the last sweeps saw of a connection: where the present windows of its body and of its
/// answer began.
#[derive(Debug, Default)]
struct Progress {
    body: Window,
    answer: Window,
}

/// A stretch of time in which the client is waited for; `since` 0: it is not.
#[derive(Debug, Default)]
struct Window {
    since: u32,
    bytes: u64,
}

impl Watch {
    pub(crate) fn new(settings: &Settings) -> Self {
        let ticks = |ms: u64| {
            u32::try_from(Duration::from_millis(ms).as_millis() / SWEEP.as_millis())
                .unwrap_or(u32::MAX)
                .max(1)
        };
        let patience = Patience {
            head: ticks(settings.header_timeout_ms),
            idle: ticks(settings.idle_timeout_ms),
            stall: ticks(settings.stall_timeout_ms),
            linger: ticks(u64::try_from(LINGER.as_millis()).unwrap_or(u64::MAX)),
            stall_bytes: settings.min_bytes_per_second.saturating_mul(settings.stall_timeout_ms)
                / 1000,
        };
        Self {
            ticks: Arc::default(),
            patience,
            next: AtomicU64::new(0),
            date: ArcSwap::from_pointee(http_date()),
            watched: Mutex::default(),
        }
    }

    /// Watches a connection that `task` serves, as long as the guard lives.
    pub(crate) fn over(self: &Arc<Self>, wire: Arc<Wire>, task: AbortHandle) -> Guard {
        let id = self.next.fetch_add(1, Relaxed);
        let watched = Watched { wire, task, progress: Progress::default() };
        self.lock().insert(id, watched);
        Guard { id, watch: self.clone() }
    }

    /// Sweeps until it is dropped.
    pub(crate) async fn run(&self) {
        let mut pace = tokio::time::interval(SWEEP);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            pace.tick().await;
            self.ticks.advance();
            let date = http_date();
            if **self.date.load() != date {
                self.date.store(Arc::new(date));
            }
            self.sweep();
        }
    }

    /// The value of `Date` now, up to a sweep late.
    pub(crate) fn date(&self) -> Arc<String> {
        self.date.load_full()
    }

    fn sweep(&self) {
        let now = self.ticks.now();
        for watched in self.lock().values_mut() {
            if let Some(why) =
                verdict(&watched.wire.read(), &mut watched.progress, now, &self.patience)
            {
                measure::cut_off(why);
                watched.task.abort();
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Watched>> {
        // Entries are put in and taken out whole: a panic leaves nothing torn.
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn http_date() -> String {
    httpdate::fmt_http_date(SystemTime::now())
}

/// Ends the watch over one connection when dropped.
pub(crate) struct Guard {
    id: u64,
    watch: Arc<Watch>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.watch.lock().remove(&self.id);
    }
}

/// Why a connection is to be cut off, if it is.
fn verdict(
    seen: &Reading,
    progress: &mut Progress,
    now: u32,
    patience: &Patience,
) -> Option<&'static str> {
    let past = |since: u32, patience: u32| since != 0 && now.saturating_sub(since) > patience;
    match seen.mode {
        // Whoever writes to sockets watches them.
        Mode::Socket => return None,
        Mode::Linger => return past(seen.idle_since, patience.linger).then_some("linger"),
        Mode::Http1 if !seen.busy && past(seen.head_since, patience.head) => return Some("head"),
        Mode::Http1 | Mode::Http2 if !seen.busy && past(seen.idle_since, patience.idle) => {
            return Some("idle");
        }
        Mode::Http1 | Mode::Http2 => {}
    }
    if progress.body.stalled(seen.body_awaited, seen.received, now, patience) {
        return Some("body");
    }
    progress.answer.stalled(seen.write_blocked, seen.sent, now, patience).then_some("answer")
}

impl Window {
    /// Whether the client is waited for since long, and has moved too little in that time.
    fn stalled(&mut self, awaited: bool, bytes: u64, now: u32, patience: &Patience) -> bool {
        if !awaited {
            self.since = 0;
            return false;
        }
        if self.since == 0 {
            *self = Self { since: now, bytes };
            return false;
        }
        if now - self.since < patience.stall {
            return false;
        }
        let moved = bytes.saturating_sub(self.bytes);
        *self = Self { since: now, bytes };
        moved < patience.stall_bytes.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience =
        Patience { head: 4, idle: 10, stall: 8, linger: 2, stall_bytes: 100 };

    fn idle() -> Reading {
        Reading {
            mode: Mode::Http1,
            busy: false,
            idle_since: 1,
            head_since: 0,
            received: 0,
            sent: 0,
            body_awaited: false,
            write_blocked: false,
        }
    }

    /// The first tick at which the connection is cut off, and why.
    fn cut(of: impl Fn(u32) -> Reading) -> Option<(u32, &'static str)> {
        let mut progress = Progress::default();
        (1..200)
            .find_map(|now| verdict(&of(now), &mut progress, now, &PATIENCE).map(|why| (now, why)))
    }

    #[test]
    fn each_kind_of_slowness_has_its_end() {
        assert_eq!(cut(|_| idle()), Some((12, "idle")));
        assert_eq!(cut(|_| Reading { head_since: 1, ..idle() }), Some((6, "head")));
        assert_eq!(cut(|_| Reading { mode: Mode::Linger, ..idle() }), Some((4, "linger")));
        let busy = Reading { busy: true, ..idle() };
        assert_eq!(cut(|_| busy), None, "a service may take its time");
        assert_eq!(cut(|_| Reading { body_awaited: true, ..busy }), Some((9, "body")));
        assert_eq!(cut(|_| Reading { write_blocked: true, ..busy }), Some((9, "answer")));
        assert_eq!(cut(|_| Reading { mode: Mode::Socket, write_blocked: true, ..busy }), None);
    }

    #[test]
    fn a_drip_is_not_progress_and_a_steady_stream_is() {
        let body = |per_tick: u64| {
            move |now: u32| Reading {
                busy: true,
                body_awaited: true,
                received: u64::from(now) * per_tick,
                ..idle()
            }
        };
        assert!(cut(body(1)).is_some());
        assert_eq!(cut(body(20)), None);
    }

    #[test]
    fn a_body_that_is_not_awaited_all_the_time_starts_anew() {
        assert_eq!(cut(|now| Reading { busy: true, body_awaited: now % 5 != 0, ..idle() }), None);
    }
}
