//! What can go wrong with a blob, told apart by what a caller can do about it.

use std::fmt::Display;
use std::io;

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// There is no blob of that key.
    #[error("there is no such blob")]
    NotFound,
    /// More than is accepted.
    #[error("more than {limit} bytes")]
    TooLarge {
        /// The most that is accepted, in bytes.
        limit: u64,
    },
    /// The blob has none of the bytes that were asked for.
    #[error("a blob of {size} bytes has none of those")]
    BadRange {
        /// The blob's size in bytes.
        size: u64,
    },
    /// Another write of the same key came between; of this one nothing was written.
    #[error("the blob was written by somebody else meanwhile")]
    Superseded,
    /// The store cannot be reached, is out of space, overloaded or too slow. The outcome of what
    /// was being finished is not known.
    #[error("the store of files is unavailable: {0}")]
    Unavailable(String),
    /// Who sent the bytes stopped in the middle.
    #[error("what was to be stored broke off: {0}")]
    Source(String),
    /// The store cannot be opened: one line that says what to do.
    #[error("{0}")]
    Startup(String),
    /// Anything else: a defect, or a store that refuses us.
    #[error("{0}")]
    Other(String),
}

impl BlobError {
    /// Whether another try may go better.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// The name used in metrics.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::TooLarge { .. } => "too_large",
            Self::BadRange { .. } => "bad_range",
            Self::Superseded => "superseded",
            Self::Unavailable(_) => "unavailable",
            Self::Source(_) => "source",
            Self::Startup(_) => "startup",
            Self::Other(_) => "other",
        }
    }
}

impl From<io::Error> for BlobError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind as Kind;
        match error.kind() {
            Kind::NotFound => Self::NotFound,
            // Full, over its quota, read-only after an error of the disk, or that error itself.
            Kind::StorageFull
            | Kind::QuotaExceeded
            | Kind::ReadOnlyFilesystem
            | Kind::TimedOut
            | Kind::Interrupted
            | Kind::ResourceBusy => Self::Unavailable(error.to_string()),
            // Input/output error, too many open files in the process and in the system.
            _ if matches!(error.raw_os_error(), Some(5 | 23 | 24)) => {
                Self::Unavailable(error.to_string())
            }
            _ => Self::Other(error.to_string()),
        }
    }
}

/// A line of bounded length; stores answer with pages of XML.
pub(crate) fn one_line(error: impl Display) -> String {
    let mut line = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(400) {
        line.truncate(end);
        line.push('…');
    }
    line
}
