//! The rules of popularity, without IO: what a vote changes, how scores fade, what ranks above
//! what, and who likes what others like.
//!
//! Invariant: everything here is a pure function of its arguments; time comes in as a number.

pub(crate) mod ballot;
pub(crate) mod decay;
pub(crate) mod ranking;
pub(crate) mod similarity;
pub(crate) mod slots;

use contracts::Kind;

/// Milliseconds of an hour, the grain of the windows.
pub(crate) const HOUR_MS: i64 = 3_600_000;

/// How long hours of activity are kept: the longest window is 30 days.
pub(crate) const RETENTION_HOURS: i64 = 32 * 24;

/// The hour (since 1970 UTC) that holds a moment.
#[must_use]
pub(crate) const fn hour_of(at_ms: i64) -> i64 {
    at_ms.div_euclid(HOUR_MS)
}

/// A category as it is compared: lower case, and every run of blanks one space.
#[must_use]
pub(crate) fn heading(category: &str) -> String {
    category.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// What can be liked: an id within its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Item {
    /// What it is.
    pub kind: Kind,
    /// Which.
    pub id: i64,
}

/// All that is kept about an item.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ItemState {
    /// Whose it is.
    pub owner: i64,
    /// Under which heading.
    pub category: Option<String>,
    /// How many people like it.
    pub likes: i64,
    /// How often others looked at it.
    pub views: i64,
    /// The fading sum of both.
    pub trend: decay::Trend,
    /// Grows with each change: of two states, the one with the larger version is the newer.
    pub version: i64,
}

/// What happened to an item within an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Activity {
    /// Likes given in that hour that still stand; negative where one of them is taken back.
    pub likes: i64,
    /// Views.
    pub views: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_ignore_case_and_spacing() {
        assert_eq!(heading("  Warm \n ÉTÉ "), "warm été");
    }

    #[test]
    fn hours_begin_on_the_hour_on_both_sides_of_1970() {
        assert_eq!(hour_of(0), 0);
        assert_eq!(hour_of(HOUR_MS - 1), 0);
        assert_eq!(hour_of(HOUR_MS), 1);
        assert_eq!(hour_of(-1), -1);
    }
}
