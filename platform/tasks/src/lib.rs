//! Background work of a process: started by name, stopped together.
//!
//! Invariant: after [`Tasks::stop`] returns, every task has ended or has been given up on after
//! [`STOP_WITHIN`]; nothing started here outlives the process' wish to end.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long [`Tasks::stop`] waits for tasks to end.
pub const STOP_WITHIN: Duration = Duration::from_secs(10);

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The background tasks of a process. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stopping: CancellationToken,
}

impl Tasks {
    /// No tasks yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `task` to its end; a panic is logged under `name` and goes no further.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(async move {
            if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
                tracing::error!(task = name, panic = reason(&*panic), "task panicked");
            }
        });
    }

    /// Runs what `make` makes; if it panics, makes it anew after a pause that doubles up to 30 s.
    /// Ends when a run returns, or when [`Tasks::stop`] is called during a pause.
    pub fn spawn_loop<F, Fut>(&self, name: &'static str, mut make: F)
    where
        F: FnMut() -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send,
    {
        let stopping = self.stopping.clone();
        self.tracker.spawn(async move {
            let mut pause = FIRST_PAUSE;
            while let Err(panic) = AssertUnwindSafe(make()).catch_unwind().await {
                tracing::error!(
                    task = name,
                    panic = reason(&*panic),
                    "task panicked, starting it again"
                );
                tokio::select! {
                    () = stopping.cancelled() => return,
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                }
            }
        });
    }

    /// Fires when the process wants to end; every loop selects on its `cancelled()`.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Tells every task to stop and waits for them, at most [`STOP_WITHIN`].
    pub async fn stop(&self) {
        self.stopping.cancel();
        self.tracker.close();
        if tokio::time::timeout(STOP_WITHIN, self.tracker.wait()).await.is_err() {
            tracing::warn!(left = self.tracker.len(), "tasks did not stop in time");
        }
    }
}

fn reason(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no reason given")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn stop_waits_for_what_runs() {
        let tasks = Tasks::new();
        let done = Arc::new(AtomicUsize::new(0));
        let (stopping, seen) = (tasks.stopping(), done.clone());
        tasks.spawn("worker", async move {
            stopping.cancelled().await;
            tokio::task::yield_now().await;
            seen.fetch_add(1, Ordering::SeqCst);
        });
        tasks.stop().await;
        assert_eq!(done.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_panics_is_started_again() {
        let tasks = Tasks::new();
        let runs = Arc::new(AtomicUsize::new(0));
        let (finished, wait) = tokio::sync::oneshot::channel();
        let mut finished = Some(finished);
        let seen = runs.clone();
        tasks.spawn_loop("flaky", move || {
            let run = seen.fetch_add(1, Ordering::SeqCst);
            let finished = (run == 2).then(|| finished.take()).flatten();
            async move {
                assert!(run == 2, "not yet");
                finished.map(|f| f.send(()));
            }
        });
        wait.await.expect("the third run ends");
        assert_eq!(runs.load(Ordering::SeqCst), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn stop_gives_up_on_what_never_ends() {
        let tasks = Tasks::new();
        tasks.spawn("stubborn", std::future::pending());
        tasks.stop().await;
        assert!(tasks.stopping().is_cancelled());
    }
}
