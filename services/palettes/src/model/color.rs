//! One sRGB colour as people write it: `#RGB`, `#RRGGBB` or `#RRGGBBAA`.
//!
//! Invariant: displaying a parsed colour gives the upper-case long form, and
//! parsing that form gives the same colour. An alpha that was written stays,
//! `FF` included: what somebody stored is what they get back.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A colour of eight bits a channel in sRGB, with an alpha where one was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Color {
    /// Red, 0 to 255.
    pub red: u8,
    /// Green, 0 to 255.
    pub green: u8,
    /// Blue, 0 to 255.
    pub blue: u8,
    /// Opacity, 0 (clear) to 255; `None` when it was not written, which is opaque.
    pub alpha: Option<u8>,
}

/// The text is not a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a colour like #ABC, #AABBCC or #AABBCCDD")]
pub struct ColorError;

impl Color {
    /// An opaque colour.
    #[must_use]
    pub const fn rgb(red: u8, green: u8, blue: u8) -> Self {
        Self { red, green, blue, alpha: None }
    }

    /// Opacity from 0.0 (clear) to 1.0.
    #[must_use]
    pub fn opacity(self) -> f64 {
        f64::from(self.alpha.unwrap_or(u8::MAX)) / 255.0
    }

    /// `#RRGGBB`, without the alpha, for formats that have none.
    #[must_use]
    pub fn opaque_code(self) -> String {
        format!("#{:02X}{:02X}{:02X}", self.red, self.green, self.blue)
    }
}

impl FromStr for Color {
    type Err = ColorError;

    fn from_str(text: &str) -> Result<Self, ColorError> {
        // Ten bytes hold the longest form; more is refused before it is looked at.
        let digits = text.strip_prefix('#').filter(|rest| rest.len() <= 8).ok_or(ColorError)?;
        let mut nibbles = [0u8; 8];
        for (slot, digit) in nibbles.iter_mut().zip(digits.chars()) {
            *slot = u8::try_from(digit.to_digit(16).ok_or(ColorError)?).map_err(|_| ColorError)?;
        }
        let [a, b, c, d, e, f, g, h] = nibbles;
        let long = |red, green, blue, alpha| Self { red, green, blue, alpha };
        match digits.len() {
            3 => Ok(long(a * 17, b * 17, c * 17, None)),
            6 => Ok(long(a * 16 + b, c * 16 + d, e * 16 + f, None)),
            8 => Ok(long(a * 16 + b, c * 16 + d, e * 16 + f, Some(g * 16 + h))),
            _ => Err(ColorError),
        }
    }
}

/// A colour as text, on the stack: a list of palettes holds hundreds.
struct Code {
    bytes: [u8; 9],
    length: usize,
}

impl Code {
    fn of(color: Color) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        let channels = [color.red, color.green, color.blue, color.alpha.unwrap_or_default()];
        let mut bytes = [b'#'; 9];
        for (pair, channel) in bytes[1..].chunks_exact_mut(2).zip(channels) {
            pair[0] = DIGITS[usize::from(channel >> 4)];
            pair[1] = DIGITS[usize::from(channel & 15)];
        }
        Self { bytes, length: if color.alpha.is_some() { 9 } else { 7 } }
    }

    fn as_str(&self) -> &str {
        // Digits and a hash are UTF-8.
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Code::of(*self).as_str())
    }
}

impl Serialize for Color {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(Code::of(*self).as_str())
    }
}

impl<'de> Deserialize<'de> for Color {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_is_stored_upper_case_and_long() {
        for (written, stored) in [
            ("#abc", "#AABBCC"),
            ("#AbC", "#AABBCC"),
            ("#a1b2c3", "#A1B2C3"),
            ("#a1b2c3d4", "#A1B2C3D4"),
            ("#ffffffff", "#FFFFFFFF"),
            ("#000", "#000000"),
        ] {
            assert_eq!(written.parse::<Color>().unwrap().to_string(), stored);
        }
    }

    #[test]
    fn what_is_no_colour_is_refused() {
        for text in [
            "",
            "#",
            "abc",
            "#a",
            "#ab",
            "#abcd",
            "#abcde",
            "#abcdefa",
            "#abcdefabc",
            "#ggg",
            " #abc",
            "#abc ",
            "##abc",
            "#+12",
            "#-12345",
            "#ａｂｃ",
            "#١٢٣",
            "red",
            "rgb(1,2,3)",
            "#ab\0",
            "#é",
            "#éa",
            "#12345678901234567890",
        ] {
            assert_eq!(text.parse::<Color>(), Err(ColorError), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn display_and_parse_are_inverse(red: u8, green: u8, blue: u8, alpha: Option<u8>) {
            let color = Color { red, green, blue, alpha };
            let code = color.to_string();
            prop_assert_eq!(code.parse::<Color>(), Ok(color));
            prop_assert_eq!(code.to_lowercase().parse::<Color>(), Ok(color));
        }

        #[test]
        fn parsing_never_panics_and_accepts_only_its_three_forms(text in "\\PC{0,12}") {
            if let Ok(color) = text.parse::<Color>() {
                prop_assert!([4, 7, 9].contains(&text.len()));
                prop_assert_eq!(color.to_string().parse::<Color>(), Ok(color));
            }
        }

        #[test]
        fn every_short_form_is_its_digits_doubled(text in "#[0-9a-fA-F]{3}") {
            let long: String = text.chars().skip(1).flat_map(|digit| [digit, digit]).collect();
            prop_assert_eq!(text.parse::<Color>(), format!("#{long}").parse::<Color>());
        }
    }
}
