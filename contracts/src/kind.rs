//! The kinds of item that can be liked, viewed and ranked.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::popularity;

/// A kind of item.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A palette of colours.
    Palette,
    /// A picture.
    Image,
    /// A piece of music.
    Track,
    /// Something for sale.
    Product,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Palette, Self::Image, Self::Track, Self::Product];

    /// The kind's name, as the public contract writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Palette => "palette",
            Self::Image => "image",
            Self::Track => "track",
            Self::Product => "product",
        }
    }

    /// The kind's number, as databases keep it and gRPC sends it.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::Palette => popularity::Kind::Palette as i32,
            Self::Image => popularity::Kind::Image as i32,
            Self::Track => popularity::Kind::Track as i32,
            Self::Product => popularity::Kind::Product as i32,
        }
    }

    /// The kind with this number, if there is one.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no kind has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownKind;

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or(UnknownKind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back() {
        for kind in Kind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
            assert_eq!(Kind::from_number(kind.number()), Some(kind));
        }
        assert_eq!(Kind::from_number(0), None);
        assert_eq!("Palette".parse::<Kind>(), Err(UnknownKind));
    }
}
