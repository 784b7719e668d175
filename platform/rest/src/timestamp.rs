//! Time at the edge: RFC 3339, UTC.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Milliseconds since 1970 UTC inside, `2026-01-31T10:00:00Z` outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, utoipa::ToSchema)]
#[schema(value_type = String, format = DateTime)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The present.
    #[must_use]
    pub fn now() -> Self {
        Self(wall_clock::now())
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::MAX);
        std::fmt::Display::fmt(&shown, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let read: jiff::Timestamp = text.parse().map_err(D::Error::custom)?;
        Ok(Self(read.as_millisecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_the_contract_shows_it() {
        let shown = serde_json::to_string(&Timestamp(1_769_853_600_000)).expect("json");
        assert_eq!(shown, "\"2026-01-31T10:00:00Z\"");
        let read: Timestamp = serde_json::from_str("\"2026-01-31T11:00:00+01:00\"").expect("time");
        assert_eq!(read, Timestamp(1_769_853_600_000));
    }
}
