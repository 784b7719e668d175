//! What a step is given and how it says that it could not.

use std::fmt;

use data::DataError;
use rest::Problem;
use tonic::{Code, Status};
use uuid::Uuid;

/// Names one step of one saga: the same at every attempt, so that a service that is called twice
/// knows it. In an undo it names the step that is to be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StepKey {
    saga: Uuid,
    round: i64,
    step: &'static str,
}

impl StepKey {
    pub(crate) fn new(saga: Uuid, round: i64, step: &'static str) -> Self {
        Self { saga, round, step }
    }

    /// The saga's id.
    #[must_use]
    pub fn saga(&self) -> Uuid {
        self.saga
    }

    pub(crate) fn round(&self) -> i64 {
        self.round
    }

    /// The step's name.
    #[must_use]
    pub fn step(&self) -> &'static str {
        self.step
    }

    /// The key as one id (UUID v5 of its text within the saga).
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        Uuid::new_v5(&self.saga, self.to_string().as_bytes())
    }
}

impl fmt::Display for StepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.round {
            0 => write!(f, "{}/{}", self.saga, self.step),
            round => write!(f, "{}.{round}/{}", self.saga, self.step),
        }
    }
}

/// Why a step did not happen.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StepError {
    /// It was refused: undo what came before and tell the caller this. After the pivot, where
    /// nothing is undone, the same as `Retry`.
    #[error("{0}")]
    Undo(Problem),
    /// It may or may not have happened: try again with the same key.
    #[error("{0}")]
    Retry(String),
}

impl From<Problem> for StepError {
    fn from(problem: Problem) -> Self {
        match problem.status().as_u16() {
            408 | 429 | 503 | 504 => Self::Retry(problem.to_string()),
            _ => Self::Undo(problem),
        }
    }
}

impl From<DataError> for StepError {
    fn from(error: DataError) -> Self {
        match error {
            DataError::Unavailable(_) | DataError::Busy => Self::Retry(error.to_string()),
            error => Self::Undo(error.into()),
        }
    }
}

impl From<Status> for StepError {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Aborted
            | Code::ResourceExhausted => {
                Self::Retry(format!("{:?}: {}", status.code(), status.message()))
            }
            _ => Self::Undo(status.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_tried_again() {
        let retried = |error: StepError| matches!(error, StepError::Retry(_));
        assert!(retried(Status::unavailable("down").into()));
        assert!(retried(Status::deadline_exceeded("slow").into()));
        assert!(retried(DataError::Busy.into()));
        assert!(retried(Problem::unavailable(1, "down").into()));
        assert!(!retried(Status::invalid_argument("no").into()));
        assert!(!retried(Status::from(Problem::conflict("taken")).into()));
        assert!(!retried(DataError::ForeignKey.into()));
        assert!(!retried(Problem::not_found("gone").into()));
    }

    #[test]
    fn keys_tell_sagas_steps_and_rounds_apart() {
        let id = Uuid::from_u128(7);
        let keys = [
            StepKey::new(id, 0, "a"),
            StepKey::new(id, 1, "a"),
            StepKey::new(id, 0, "b"),
            StepKey::new(Uuid::from_u128(8), 0, "a"),
        ];
        for (n, key) in keys.iter().enumerate() {
            for other in &keys[..n] {
                assert_ne!(key.to_string(), other.to_string());
                assert_ne!(key.uuid(), other.uuid());
            }
        }
        assert_eq!(keys[0].uuid(), StepKey::new(id, 0, "a").uuid());
    }
}
