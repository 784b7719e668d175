//! Crashes on demand: a driver that reaches a chosen point stops there as if its process had
//! died, leaving the lease to run out. With it a test can crash a saga at every point there is.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use uuid::Uuid;

/// Where a driver is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// Before a step.
    Step,
    /// After a step's effect and before its record: inside the transaction if the step is local.
    Effect,
    /// After the record of a step.
    Recorded,
    /// A step failed for good and nothing says so yet.
    Refused,
    /// It is recorded that the saga is to be undone.
    Turned,
    /// Before an undo.
    Undo,
    /// After an undo's effect and before its record.
    UndoEffect,
    /// After the record of an undo.
    UndoRecorded,
    /// Before a saga is given back to be tried later.
    Release,
}

/// A point that a driver has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reached {
    /// By which saga.
    pub saga: Uuid,
    /// In which step.
    pub step: &'static str,
    /// Where in it.
    pub point: Point,
}

/// Decides which drivers die where.
#[derive(Clone)]
pub struct Faults {
    dies: Arc<dyn Fn(&Reached) -> bool + Send + Sync>,
    reached: Arc<AtomicUsize>,
    died: Arc<AtomicUsize>,
}

impl Faults {
    /// Dies wherever `dies` says so.
    pub fn new(dies: impl Fn(&Reached) -> bool + Send + Sync + 'static) -> Self {
        Self { dies: Arc::new(dies), reached: Arc::default(), died: Arc::default() }
    }

    /// Dies once, at the `n`th point reached, counted from 0. With `n` rising
    /// until nobody has [`Faults::died`], every point has been tried.
    #[must_use]
    pub fn at(n: usize) -> Self {
        let count = AtomicUsize::new(0);
        Self::new(move |_| count.fetch_add(1, Ordering::SeqCst) == n)
    }

    /// Whether a driver has died.
    #[must_use]
    pub fn died(&self) -> bool {
        self.died.load(Ordering::SeqCst) > 0
    }

    /// How many points have been reached.
    #[must_use]
    pub fn reached(&self) -> usize {
        self.reached.load(Ordering::SeqCst)
    }

    pub(crate) fn strike(&self, reached: &Reached) -> bool {
        self.reached.fetch_add(1, Ordering::SeqCst);
        let dies = (self.dies)(reached);
        self.died.fetch_add(usize::from(dies), Ordering::SeqCst);
        dies
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").field("reached", &self.reached()).finish_non_exhaustive()
    }
}
