//! How a handler says that it could not.

use std::fmt::Display;
use std::sync::Arc;

use data::{DataError, Tx};
use futures::future::BoxFuture;

use crate::log::Recorded;

/// Why an event could not be handled. Whatever the handler wrote is rolled back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandlerError {
    /// Try again after a pause; counts towards the attempts after which it is a dead letter.
    #[error("{0}")]
    Retry(String),
    /// The database is away: try again for ever, it is not the event's fault.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// No attempt will ever succeed: a dead letter at once.
    #[error("{0}")]
    Poison(String),
}

impl HandlerError {
    /// A failure that may pass.
    pub fn retry(reason: impl Display) -> Self {
        Self::Retry(reason.to_string())
    }

    /// A failure that will not pass.
    pub fn poison(reason: impl Display) -> Self {
        Self::Poison(reason.to_string())
    }
}

impl From<DataError> for HandlerError {
    fn from(error: DataError) -> Self {
        match error {
            DataError::Unavailable(_) | DataError::Busy => Self::Unavailable(error.to_string()),
            other => Self::Retry(other.to_string()),
        }
    }
}

impl From<serde_json::Error> for HandlerError {
    fn from(error: serde_json::Error) -> Self {
        Self::Poison(error.to_string())
    }
}

/// What [`crate::Consumer::on`] takes.
pub(crate) type Handler = Arc<
    dyn for<'a> Fn(&'a Tx, &'a Recorded) -> BoxFuture<'a, Result<(), HandlerError>> + Send + Sync,
>;
