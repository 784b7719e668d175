//! What can go wrong with a broker, told apart by what a caller can do about it.

use std::fmt::Display;

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// It is not reached, or did not answer in time. What was published may be there or not.
    #[error("the event broker is away: {0}")]
    Away(String),
    /// It answers, and will not: a setting, a permission. Says what to do where it can.
    #[error("{0}")]
    Refused(String),
    /// It will not take these messages, by their ids, and would take others. Says what to do.
    #[error("{why}")]
    Unfit {
        /// Which; there may be more.
        ids: Vec<String>,
        /// Why.
        why: String,
    },
}

impl BrokerError {
    pub(crate) fn away(why: impl Display) -> Self {
        Self::Away(why.to_string())
    }

    pub(crate) fn refused(why: impl Display) -> Self {
        Self::Refused(why.to_string())
    }
}
