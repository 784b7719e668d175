//! The time of day, as tokens and revocations count it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix time in milliseconds. A clock set before 1970 reads as 1970.
pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| millis(since.as_millis()))
}

/// Milliseconds as stored, saturating.
pub(crate) fn millis(raw: u128) -> i64 {
    i64::try_from(raw).unwrap_or(i64::MAX)
}
