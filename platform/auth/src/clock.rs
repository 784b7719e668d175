//! The time of day, as tokens and revocations count it.

pub(crate) use wall_clock::now;

/// Milliseconds as stored, saturating.
pub(crate) fn millis(raw: u128) -> i64 {
    i64::try_from(raw).unwrap_or(i64::MAX)
}
