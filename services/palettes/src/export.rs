//! A palette as a file for another program.
//!
//! One small file a format. A palette's name is somebody's free text: each format
//! takes it in the form that cannot be anything but a name there. Formats without
//! transparency get the colours without their alpha.

mod aco;
mod ase;
mod css;
mod gpl;
mod json;
mod png;
mod scss;
mod svg;
mod tailwind;

use std::fmt::Write as _;
use std::str::FromStr;

use contracts::ids::PaletteId;

use crate::model::{Color, Palette};

/// What a palette can be exported to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Custom properties on `:root`.
    Css,
    /// Sass variables and a list.
    Scss,
    /// A configuration of Tailwind CSS, read by versions 3 and 4.
    Tailwind,
    /// The palette with its channels.
    Json,
    /// A drawing of swatches.
    Svg,
    /// A picture of swatches.
    Png,
    /// A palette of GIMP, Inkscape, Krita and Aseprite.
    Gpl,
    /// An Adobe Swatch Exchange file.
    Ase,
    /// Swatches of Photoshop.
    Aco,
}

/// There is no such format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a palette can be exported as css, scss, tailwind, json, svg, png, gpl, ase or aco")]
pub struct UnknownFormat;

impl Format {
    /// Every format.
    pub const ALL: [Self; 9] = [
        Self::Css,
        Self::Scss,
        Self::Tailwind,
        Self::Json,
        Self::Svg,
        Self::Png,
        Self::Gpl,
        Self::Ase,
        Self::Aco,
    ];

    /// The name in the path.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Css => "css",
            Self::Scss => "scss",
            Self::Tailwind => "tailwind",
            Self::Json => "json",
            Self::Svg => "svg",
            Self::Png => "png",
            Self::Gpl => "gpl",
            Self::Ase => "ase",
            Self::Aco => "aco",
        }
    }

    /// The `Content-Type`. Where no type is registered, the one that programs use.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Css => "text/css; charset=utf-8",
            Self::Scss => "text/x-scss; charset=utf-8",
            Self::Tailwind => "text/javascript; charset=utf-8",
            Self::Json => "application/json",
            Self::Svg => "image/svg+xml",
            Self::Png => "image/png",
            Self::Gpl => "application/x-gimp-palette",
            Self::Ase => "application/x-adobe-ase",
            Self::Aco => "application/x-adobe-aco",
        }
    }

    /// How the file's name ends. `.cjs`, because it is CommonJS also inside a package of modules.
    const fn ending(self) -> &'static str {
        match self {
            Self::Tailwind => "tailwind.config.cjs",
            other => other.name(),
        }
    }

    /// The palette in this format.
    #[must_use]
    pub fn render(self, palette: &Palette) -> Vec<u8> {
        let sheet = Sheet::of(palette);
        match self {
            Self::Css => css::write(&sheet).into(),
            Self::Scss => scss::write(&sheet).into(),
            Self::Tailwind => tailwind::write(&sheet).into(),
            Self::Json => json::write(&sheet).into(),
            Self::Svg => svg::write(&sheet).into(),
            Self::Png => png::write(&sheet),
            Self::Gpl => gpl::write(&sheet).into(),
            Self::Ase => ase::write(&sheet),
            Self::Aco => aco::write(&sheet),
        }
    }

    /// The `Content-Disposition`: a name every system can store, and the palette's
    /// own name for those that understand it (RFC 6266, RFC 8187).
    #[must_use]
    pub fn disposition(self, palette: &Palette) -> String {
        let sheet = Sheet::of(palette);
        let mut header = format!("attachment; filename=\"{}.{}\"", sheet.slug, self.ending());
        if palette.name.is_some() {
            header.push_str("; filename*=UTF-8''");
            let safe: String = sheet
                .title
                .chars()
                .map(|c| if "/\\:*?\"<>|".contains(c) { '-' } else { c })
                .collect();
            for byte in format!("{}.{}", safe.trim_start_matches('.'), self.ending()).bytes() {
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                    header.push(char::from(byte));
                } else {
                    // Writing to a string cannot fail.
                    let _ = write!(header, "%{byte:02X}");
                }
            }
        }
        header
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        Self::ALL.into_iter().find(|format| format.name() == name).ok_or(UnknownFormat)
    }
}

/// What the formats draw on.
struct Sheet<'a> {
    id: PaletteId,
    /// The name for people, on one line: no control characters; never empty.
    title: String,
    /// The name for programs: lower-case letters, digits and single dashes, a letter first.
    slug: String,
    category: Option<&'a str>,
    name: Option<&'a str>,
    colors: &'a [Color],
}

impl<'a> Sheet<'a> {
    fn of(palette: &'a Palette) -> Self {
        let name = palette.name.as_deref();
        let title = name.map(one_line).filter(|title| !title.is_empty());
        Self {
            id: palette.id,
            slug: name.and_then(slug).unwrap_or_else(|| format!("palette-{}", palette.id)),
            title: title.unwrap_or_else(|| format!("Palette {}", palette.id)),
            category: palette.category.as_deref(),
            name,
            colors: &palette.colors,
        }
    }

    /// The colours with their numbers, from 1.
    fn numbered(&self) -> impl Iterator<Item = (usize, Color)> {
        (1..).zip(self.colors.iter().copied())
    }
}

/// A text on one line, without what no format can show: control characters, line and paragraph
/// separators, and the two code points that XML forbids.
fn one_line(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() || "\u{2028}\u{2029}\u{FFFE}\u{FFFF}".contains(c) { ' ' } else { c }
    };
    text.chars().map(shown).collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A name that CSS, Sass, JavaScript and file systems take as it is, of at most 40 characters.
fn slug(text: &str) -> Option<String> {
    let mut slug = String::new();
    for c in text.chars() {
        if slug.len() >= 40 {
            break;
        }
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    match slug.chars().next()? {
        'a'..='z' => Some(slug.to_owned()),
        _ => Some(format!("palette-{slug}")),
    }
}

/// UTF-16, big-endian, with the NUL that ends it; and how many units that is.
fn utf16_nul(text: &str) -> (u16, Vec<u8>) {
    let units: Vec<u16> = text.encode_utf16().chain([0]).collect();
    let count = u16::try_from(units.len()).unwrap_or(u16::MAX);
    (count, units.into_iter().take(usize::from(count)).flat_map(u16::to_be_bytes).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn slugs_are_identifiers_everywhere() {
        assert_eq!(slug("Sunset 🌅 at 5").unwrap(), "sunset-at-5");
        assert_eq!(slug("--Über_Größe--").unwrap(), "ber-gr-e");
        assert_eq!(slug("70s").unwrap(), "palette-70s");
        assert_eq!(slug("日本"), None);
        assert_eq!(slug(""), None);
        assert_eq!(slug(&"a ".repeat(100)).unwrap().len(), 39);
    }

    proptest! {
        #[test]
        fn any_name_makes_a_slug_of_safe_characters(name in "\\PC{0,80}") {
            if let Some(slug) = slug(&name) {
                prop_assert!(slug.starts_with(|c: char| c.is_ascii_lowercase()));
                prop_assert!(slug.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
                prop_assert!(!slug.ends_with('-') && slug.len() <= 48);
            }
        }

        #[test]
        fn any_name_makes_a_header(name: String) {
            let palette = Palette {
                id: PaletteId::new(7), user: 1.into(), colors: vec![Color::rgb(0, 0, 0)], category: None, name: Some(name),
                created_at: 0, updated_at: 0, version: 1,
            };
            for format in Format::ALL {
                prop_assert!(http::HeaderValue::from_str(&format.disposition(&palette)).is_ok());
                prop_assert!(http::HeaderValue::from_static(format.media_type()).to_str().is_ok());
            }
        }
    }
}
