//! A palette, what makes one, and what changes one.

use contracts::ids::{PaletteId, UserId};
use serde::{Deserialize, Deserializer, Serialize};

use super::Color;

/// Most colours in a palette.
pub const MAX_COLORS: usize = 64;
/// Longest name, in characters.
pub const MAX_NAME_CHARS: usize = 100;
/// Longest category, in characters.
pub const MAX_CATEGORY_CHARS: usize = 50;
/// "Near" a colour: within this distance in Oklab. Shades of one colour are
/// within it, the neighbouring hues of a twelve-part colour wheel are not.
pub const NEAR: f64 = 0.1;

/// A palette as it stands in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Palette {
    /// Its id.
    pub id: PaletteId,
    /// Who made it, and alone may change it.
    pub user: UserId,
    /// 1 to [`MAX_COLORS`] colours, in the order given.
    pub colors: Vec<Color>,
    /// As written; compared through [`fold`].
    pub category: Option<String>,
    /// As written.
    pub name: Option<String>,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds.
    pub updated_at: i64,
    /// 1, and one more with every change.
    pub version: i64,
}

/// A palette that does not exist yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// 1 to [`MAX_COLORS`] colours.
    pub colors: Vec<Color>,
    /// Tidied, see [`tidy`].
    pub category: Option<String>,
    /// Tidied, see [`tidy`].
    pub name: Option<String>,
}

/// What to change; `None` leaves a thing as it is, `Some(None)` takes it away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    /// New colours.
    pub colors: Option<Vec<Color>>,
    /// New category.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub category: Option<Option<String>>,
    /// New name.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub name: Option<Option<String>>,
}

/// Tells `null`, which takes a thing away, from a member that is not there; for use with
/// `#[serde(default)]`.
///
/// # Errors
/// Those of the value itself.
pub fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

impl Change {
    /// The palette as it is afterwards, but for its time and version.
    #[must_use]
    pub fn apply(self, mut palette: Palette) -> Palette {
        if let Some(colors) = self.colors {
            palette.colors = colors;
        }
        if let Some(category) = self.category {
            palette.category = category;
        }
        if let Some(name) = self.name {
            palette.name = name;
        }
        palette
    }
}

/// One thing that is wrong with what was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The field's path in the body, as `color_codes[2]`.
    pub field: String,
    /// What it should have been.
    pub reason: String,
}

impl Invalid {
    fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}

/// The colours of a palette, or everything that is wrong with them.
///
/// # Errors
/// None at all, more than [`MAX_COLORS`], or texts that are no colours.
pub fn parse_colors(codes: &[String]) -> Result<Vec<Color>, Vec<Invalid>> {
    if codes.is_empty() || codes.len() > MAX_COLORS {
        return Err(vec![Invalid::new(
            "color_codes",
            format!("must hold 1 to {MAX_COLORS} colours"),
        )]);
    }
    let mut wrong = Vec::new();
    let mut colors = Vec::with_capacity(codes.len());
    for (at, code) in codes.iter().enumerate() {
        match code.parse() {
            Ok(color) => colors.push(color),
            Err(error) => wrong.push(Invalid::new(
                format!("color_codes[{at}]"),
                super::ColorError::to_string(&error),
            )),
        }
    }
    if wrong.is_empty() { Ok(colors) } else { Err(wrong) }
}

/// A free text as it is stored: outer blanks gone, and nothing left is nothing.
/// What is inside is kept to the letter.
///
/// # Errors
/// More than `most` characters, or a NUL, which PostgreSQL cannot store.
pub fn tidy(field: &str, text: &str, most: usize) -> Result<Option<String>, Invalid> {
    let text = text.trim();
    if text.contains('\0') {
        return Err(Invalid::new(field, "must not contain a NUL character"));
    }
    if text.chars().nth(most).is_some() {
        return Err(Invalid::new(field, format!("must be at most {most} characters long")));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// The form in which categories and searched texts are compared: lower case, and
/// every run of blanks one space.
#[must_use]
pub fn fold(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::Oklab;
    use super::*;

    #[test]
    fn every_wrong_colour_is_named() {
        let codes = ["#FFF", "nope", "#12345678", "#1"].map(str::to_owned);
        let fields: Vec<_> =
            parse_colors(&codes).unwrap_err().into_iter().map(|wrong| wrong.field).collect();
        assert_eq!(fields, ["color_codes[1]", "color_codes[3]"]);
    }

    #[test]
    fn a_palette_has_one_to_sixty_four_colours() {
        let many = |count| parse_colors(&vec!["#FFF".to_owned(); count]);
        assert!(many(0).is_err());
        assert_eq!(many(1).unwrap().len(), 1);
        assert_eq!(many(64).unwrap().len(), 64);
        assert!(many(65).is_err());
    }

    #[test]
    fn texts_are_trimmed_limited_and_otherwise_verbatim() {
        assert_eq!(
            tidy("name", "  '; DROP TABLE x; -- <b>\n ", 100).unwrap().unwrap(),
            "'; DROP TABLE x; -- <b>"
        );
        assert_eq!(tidy("name", " \t\n", 100).unwrap(), None);
        assert_eq!(tidy("name", &"é".repeat(100), 100).unwrap().unwrap().chars().count(), 100);
        assert_eq!(tidy("name", &"é".repeat(101), 100).unwrap_err().field, "name");
        assert!(tidy("name", "a\0b", 100).is_err());
    }

    #[test]
    fn a_change_on_record_still_tells_nothing_from_null() {
        for name in [None, Some(None), Some(Some("x".to_owned()))] {
            let change = Change { name, ..Change::default() };
            let read: Change =
                serde_json::from_str(&serde_json::to_string(&change).unwrap()).unwrap();
            assert_eq!(read, change);
        }
    }

    #[test]
    fn folding_ignores_case_and_spacing() {
        assert_eq!(fold("  Warm \n ÉTÉ "), "warm été");
    }

    #[test]
    fn near_takes_in_shades_and_not_the_next_hue() {
        let near = |x: &str, y: &str| {
            let [x, y] = [x, y].map(|code| Oklab::from(code.parse::<Color>().unwrap()));
            x.distance(y) <= NEAR
        };
        assert!(near("#FF0000", "#E60F10"));
        assert!(near("#3366CC", "#3B6FD0"));
        assert!(near("#FFFFFF", "#EEEEEE"));
        assert!(!near("#FF0000", "#FF8000"));
        assert!(!near("#FFFFFF", "#FFFF00"));
        assert!(!near("#000000", "#333333"));
    }
}
