//! What the threads tell each other while they run.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// What the readers are to do.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// Read only, while members join and after the last word
    Listen,
    /// Speak too
    Speak,
    /// Speak, and take down how long deliveries take
    Measure,
    /// Be done
    Stop,
}

/// Counts as of now.
pub(super) struct Progress {
    phase: AtomicU8,
    began: Instant,
    pub(super) joined: AtomicU64,
    pub(super) left: AtomicU64,
    pub(super) said: AtomicU64,
    pub(super) heard: AtomicU64,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            phase: AtomicU8::new(Phase::Listen as u8),
            began: Instant::now(),
            joined: AtomicU64::new(0),
            left: AtomicU64::new(0),
            said: AtomicU64::new(0),
            heard: AtomicU64::new(0),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Listen,
            1 => Phase::Speak,
            2 => Phase::Measure,
            _ => Phase::Stop,
        }
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
    }

    /// Nanoseconds since the beginning.
    pub(super) fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }
}
