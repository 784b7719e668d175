//! What is ranked by what, over which time, and how a reader goes on after a page.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::hour_of;

/// The time that counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Window {
    /// The last 24 hours.
    Day,
    /// The last 7 days.
    Week,
    /// The last 30 days.
    Month,
    /// Since ever.
    #[default]
    All,
}

impl Window {
    /// The first hour that counts at `now_ms`, that is the one in which the window begins; none for
    /// all of time.
    #[must_use]
    pub(crate) const fn first_hour(self, now_ms: i64) -> Option<i64> {
        let hours = match self {
            Self::Day => 24,
            Self::Week => 7 * 24,
            Self::Month => 30 * 24,
            Self::All => return None,
        };
        Some(hour_of(now_ms) - hours)
    }
}

/// What puts one item above another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum By {
    /// How many people like it.
    #[default]
    Likes,
    /// How often it was looked at.
    Views,
    /// Both, fading by half every day.
    Trending,
}

/// A place in a ranking.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ranked {
    /// Which item.
    pub id: i64,
    /// 1 is the top.
    pub rank: u64,
    /// What it ranks by; equal scores go to the newer item, by id.
    #[serde(with = "bits")]
    pub score: f64,
    /// Under which heading.
    pub category: Option<String>,
    /// Likes in all.
    pub likes: i64,
    /// Views in all.
    pub views: i64,
}

/// A score by its bits, so that not the last of them is lost on the way.
mod bits {
    use serde::{Deserialize, Deserializer, Serializer};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    pub(super) fn serialize<S: Serializer>(score: &f64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(score.to_bits())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        u64::deserialize(from).map(f64::from_bits)
    }
}

/// Where a page ended: the next begins below this place. Opaque to clients.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "Parts", try_from = "Parts")]
pub(crate) struct Cursor {
    /// The place of the last item.
    pub rank: u64,
    /// Its score.
    pub score: f64,
    /// Its id.
    pub id: i64,
    /// As of when the pages are ranked, in milliseconds since 1970 UTC: windows do not move while
    /// somebody turns pages.
    pub as_of: i64,
}

/// A cursor that no page gave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no page gave out this cursor")]
pub(crate) struct BadCursor;

/// A cursor as it travels: the score by its bits, so that not the last of them is lost.
type Parts = (u64, u64, i64, i64);

impl From<Cursor> for Parts {
    fn from(cursor: Cursor) -> Self {
        (cursor.rank, cursor.score.to_bits(), cursor.id, cursor.as_of)
    }
}

impl TryFrom<Parts> for Cursor {
    type Error = BadCursor;

    fn try_from((rank, score, id, as_of): Parts) -> Result<Self, BadCursor> {
        let score = f64::from_bits(score);
        // Far beyond what any ranking holds, and small enough for arithmetic.
        let sane = score.abs() <= 2f64.powi(53)
            && rank < u64::from(u32::MAX)
            && (0..1 << 53).contains(&as_of);
        if sane { Ok(Self { rank, score, id, as_of }) } else { Err(BadCursor) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn windows_begin_in_the_hour_that_holds_their_first_moment() {
        let now = 1_000 * super::super::HOUR_MS + 5;
        assert_eq!(Window::Day.first_hour(now), Some(976));
        assert_eq!(Window::Month.first_hour(now), Some(280));
        assert_eq!(Window::All.first_hour(now), None);
        const { assert!(30 * 24 + 48 <= super::super::RETENTION_HOURS) };
    }

    #[test]
    fn what_no_page_gave_out_is_refused() {
        let nan = f64::NAN.to_bits();
        for bad in [(1, nan, 1, 1), (1 << 40, 0, 1, 1), (1, 0, 1, -1), (1, 0, 1, i64::MAX)] {
            assert_eq!(Cursor::try_from(bad), Err(BadCursor), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn a_cursor_leads_back(rank in 0u64..1_000_000, score in -1e12..1e12f64, id: i64, as_of in 0..1i64 << 50) {
            let cursor = Cursor { rank, score, id, as_of };
            let text = serde_json::to_string(&cursor).unwrap();
            prop_assert_eq!(serde_json::from_str::<Cursor>(&text).unwrap(), cursor);
        }
    }
}
