//! Every export is read back by a reader written from the format's description,
//! for every hostile name: the colours and their number come back, and the name
//! stays a name.
#![allow(clippy::unwrap_used, missing_docs)]

use palettes::export::Format;
use palettes::model::{Color, Palette};
use proptest::prelude::*;

const NAMES: [&str; 12] = [
    "Sunset",
    "*/ } body { display: none } /* ",
    "</title><script>alert(1)</script>",
    "a\nb\r\nName: c\n0 0 0\tblack",
    "'; DROP TABLE palettes; --",
    "#{evil()} ${x} `y` \\' \\\" \\",
    "🌅 日本 ünï",
    "\u{1}\u{7f}\u{85}\u{2028}\u{FFFF}",
    "]]> &amp; <!-- -->",
    "../../etc/passwd",
    "%00 %n",
    "123",
];

fn palette(name: Option<&str>, codes: &[&str]) -> Palette {
    Palette {
        id: 7.into(),
        user: 1.into(),
        colors: codes.iter().map(|code| code.parse().unwrap()).collect(),
        category: Some("Warm".into()),
        name: name.map(str::to_owned),
        created_at: 1_769_853_600_000,
        updated_at: 1_769_853_600_000,
        version: 1,
    }
}

/// Every palette the tests draw: the hostile names, none, one colour and 64.
fn palettes() -> Vec<Palette> {
    let few = ["#FF0000", "#00FF0080", "#0102FEFF", "#000000"];
    let many: Vec<String> = (0..64).map(|n| format!("#{:06X}", n * 262_143)).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut all: Vec<_> = NAMES.iter().map(|name| palette(Some(name), &few)).collect();
    all.extend([palette(None, &["#ABCDEF"]), palette(Some("many"), &many)]);
    all
}

fn text(format: Format, palette: &Palette) -> String {
    String::from_utf8(format.render(palette)).unwrap()
}

fn codes(palette: &Palette) -> Vec<String> {
    palette.colors.iter().map(ToString::to_string).collect()
}

fn opaque(palette: &Palette) -> Vec<[u8; 3]> {
    palette.colors.iter().map(|color| [color.red, color.green, color.blue]).collect()
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

#[test]
fn css_has_one_comment_one_rule_and_its_properties() {
    for palette in palettes() {
        let css = text(Format::Css, &palette);
        let (comment, rest) = css.strip_prefix("/*").unwrap().split_once("*/").unwrap();
        assert!(!comment.contains('\n'));
        let body = rest.trim().strip_prefix(":root {").unwrap().strip_suffix('}').unwrap();
        let mut found = Vec::new();
        for declaration in body.trim().trim_end_matches(';').split(';') {
            let (property, value) = declaration.trim().split_once(": ").unwrap();
            assert!(is_identifier(property.strip_prefix("--").unwrap()), "{property}");
            found.push(value.to_owned());
        }
        assert_eq!(found, codes(&palette));
    }
}

#[test]
fn scss_has_its_variables_and_a_list_of_them() {
    for palette in palettes() {
        let scss = text(Format::Scss, &palette);
        let mut lines = scss.lines();
        assert!(lines.next().unwrap().starts_with("// "));
        let (mut names, mut found, mut list) = (Vec::new(), Vec::new(), Vec::new());
        for line in lines {
            let (name, value) = line.strip_suffix(';').unwrap().split_once(": ").unwrap();
            assert!(is_identifier(name.strip_prefix('$').unwrap()), "{name}");
            match value.strip_prefix('(') {
                None => {
                    names.push(name);
                    found.push(value.to_owned());
                }
                Some(items) => list = items.strip_suffix(",)").unwrap().split(", ").collect(),
            }
        }
        assert_eq!(found, codes(&palette));
        assert_eq!(list, names);
    }
}

#[test]
fn tailwind_is_a_comment_and_one_object_of_safe_strings() {
    for palette in palettes() {
        let js = text(Format::Tailwind, &palette);
        let (comment, js) = js.split_once('\n').unwrap();
        assert!(comment.starts_with("// "));
        assert!(!comment.contains(['\r', '\u{2028}', '\u{2029}']), "a line for JavaScript too");
        let (_, object) = js.split_once("module.exports = ").unwrap();
        // What is left is JSON but for its quotes, bare keys and trailing commas.
        let mut json = object.trim().trim_end_matches(';').replace('\'', "\"");
        for key in ["theme", "extend", "colors"] {
            json = json.replace(&format!(" {key}:"), &format!(" \"{key}\":"));
        }
        let json: String = json
            .lines()
            .map(|line| match line.trim().split_once(": ") {
                Some((number, value)) if number.parse::<u32>().is_ok() => {
                    format!("\"{number}\": {value}")
                }
                _ => line.to_owned(),
            })
            .collect();
        let json = json.replace(char::is_whitespace, "").replace(",}", "}");
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        let colors = read["theme"]["extend"]["colors"].as_object().unwrap();
        let (name, shades) = colors.iter().next().unwrap();
        assert!(is_identifier(name));
        let found: Vec<String> = (1..=palette.colors.len())
            .map(|number| shades[number.to_string()].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(found, codes(&palette));
    }
}

#[test]
fn json_keeps_everything_to_the_letter() {
    for palette in palettes() {
        let read: serde_json::Value = serde_json::from_str(&text(Format::Json, &palette)).unwrap();
        assert_eq!(read["name"].as_str(), palette.name.as_deref());
        assert_eq!(read["palette_id"], "7");
        assert_eq!(read["color_codes"], serde_json::json!(codes(&palette)));
        let channels: Vec<_> =
            ["red", "green", "blue"].map(|name| read["colors"][0][name].as_u64().unwrap()).into();
        assert_eq!(channels, opaque(&palette)[0].map(u64::from));
        assert_eq!(read["colors"].as_array().unwrap().len(), palette.colors.len());
    }
}

/// Reads XML as far as these drawings need it: the tags, checked to nest, and the text decoded.
fn xml(document: &str) -> Vec<(String, String)> {
    assert!(
        !document.chars().any(|c| c.is_control() && c != '\n'),
        "XML holds no control characters"
    );
    let mut rest = document.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").unwrap();
    let (mut open, mut found) = (Vec::new(), Vec::new());
    while let Some((before, after)) = rest.split_once('<') {
        assert!(!before.contains('>'), "{before:?}");
        let mut decoded = before.to_owned();
        for (entity, meant) in
            [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")]
        {
            decoded = decoded.replace(entity, meant);
        }
        let (tag, after) = after.split_once('>').unwrap();
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name));
            found.push((tag.to_owned(), decoded));
        } else {
            open.push(tag.split(' ').next().unwrap().to_owned());
            found.push((tag.to_owned(), String::new()));
        }
        rest = after;
    }
    assert!(open.is_empty() && rest.trim().is_empty());
    found
}

#[test]
fn svg_is_well_formed_and_draws_each_colour() {
    for palette in palettes() {
        let tags = xml(&text(Format::Svg, &palette));
        let fills: Vec<_> = tags
            .iter()
            .filter_map(|(tag, _)| {
                Some(
                    tag.strip_prefix("rect ")?
                        .split_once("fill=\"")?
                        .1
                        .split_once('"')?
                        .0
                        .to_owned(),
                )
            })
            .collect();
        assert_eq!(
            fills,
            palette.colors.iter().map(|color| color.opaque_code()).collect::<Vec<_>>()
        );
        let titles: Vec<_> =
            tags.iter().filter(|(tag, _)| tag == "/title").map(|(_, text)| text.clone()).collect();
        assert_eq!(titles[1..], codes(&palette));
        assert_eq!(tags.iter().filter(|(tag, _)| tag.starts_with("script")).count(), 0);
    }
}

#[test]
fn png_shows_each_colour_in_its_square() {
    for palette in palettes() {
        let picture = image::load_from_memory_with_format(
            &Format::Png.render(&palette),
            image::ImageFormat::Png,
        )
        .unwrap()
        .into_rgba8();
        let columns = palette.colors.len().min(8);
        assert_eq!(picture.width() as usize, columns * 64);
        for (at, color) in palette.colors.iter().enumerate() {
            let (x, y) = (at % columns * 64, at / columns * 64);
            for (x, y) in [(x, y), (x + 63, y + 63)] {
                let pixel = picture.get_pixel(u32::try_from(x).unwrap(), u32::try_from(y).unwrap());
                assert_eq!(
                    pixel.0,
                    [color.red, color.green, color.blue, color.alpha.unwrap_or(255)]
                );
            }
        }
    }
}

/// As GIMP's `gimp_palette_load` reads it.
#[test]
fn gpl_is_read_as_gimp_reads_it() {
    for palette in palettes() {
        let gpl = text(Format::Gpl, &palette);
        let mut lines = gpl.lines();
        assert_eq!(lines.next(), Some("GIMP Palette"));
        assert!(
            lines
                .next()
                .unwrap()
                .strip_prefix("Name: ")
                .is_some_and(|name| !name.trim().is_empty())
        );
        let columns: usize =
            lines.next().unwrap().strip_prefix("Columns: ").unwrap().parse().unwrap();
        assert!((1..=64).contains(&columns));
        let mut found = Vec::new();
        for line in lines.filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
            found.push([(); 3].map(|()| words.next().unwrap().parse::<u8>().unwrap()));
        }
        assert_eq!(found, opaque(&palette));
        assert!(
            gpl.lines().all(|line| line.len() < 1024),
            "older versions read lines of 1024 bytes"
        );
    }
}

/// Takes big-endian values off the front of a file.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take(&mut self, count: usize) -> Vec<u8> {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken.to_vec()
    }
    fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.take(2).try_into().unwrap())
    }
    fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.take(4).try_into().unwrap())
    }
    fn f32(&mut self) -> f32 {
        f32::from_be_bytes(self.take(4).try_into().unwrap())
    }
    fn utf16(&mut self, units: u32) -> String {
        let units: Vec<u16> = (0..units).map(|_| self.u16()).collect();
        let (nul, text) = units.split_last().unwrap();
        assert_eq!(*nul, 0);
        String::from_utf16(text).unwrap()
    }
}

#[test]
fn ase_is_a_named_group_of_rgb_colours() {
    for palette in palettes() {
        let file = Format::Ase.render(&palette);
        let mut reader = Reader(&file);
        assert_eq!(reader.take(4), b"ASEF");
        assert_eq!((reader.u16(), reader.u16()), (1, 0));
        let blocks = reader.u32();
        let (mut found, mut depth) = (Vec::new(), 0);
        for _ in 0..blocks {
            let (kind, length) = (reader.u16(), reader.u32());
            let body = reader.take(length as usize);
            let mut body = Reader(&body);
            match kind {
                0xC001 => {
                    depth += 1;
                    let units = body.u16();
                    assert!(!body.utf16(units.into()).is_empty());
                }
                0xC002 => depth -= 1,
                0x0001 => {
                    assert_eq!(depth, 1);
                    let units = body.u16();
                    let name = body.utf16(units.into());
                    assert_eq!(body.take(4), b"RGB ");
                    let channels = [(); 3].map(|()| body.f32());
                    assert!(channels.iter().all(|channel| (0.0..=1.0).contains(channel)));
                    assert_eq!(body.u16(), 2);
                    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                    found.push((name, channels.map(|channel| (channel * 255.0).round() as u8)));
                }
                other => panic!("no such block: {other:#x}"),
            }
            assert!(body.0.is_empty(), "a block is as long as it says");
        }
        assert_eq!(depth, 0);
        assert!(reader.0.is_empty());
        assert_eq!(found, codes(&palette).into_iter().zip(opaque(&palette)).collect::<Vec<_>>());
    }
}

#[test]
fn aco_has_both_versions() {
    for palette in palettes() {
        let file = Format::Aco.render(&palette);
        let mut reader = Reader(&file);
        for version in [1, 2] {
            assert_eq!(reader.u16(), version);
            assert_eq!(usize::from(reader.u16()), palette.colors.len());
            for color in &palette.colors {
                assert_eq!(reader.u16(), 0, "RGB");
                let [red, green, blue, unused] = [(); 4].map(|()| reader.u16());
                assert_eq!(
                    [red, green, blue].map(|wide| u8::try_from(wide >> 8).unwrap()),
                    [color.red, color.green, color.blue]
                );
                assert_eq!(unused, 0);
                if version == 2 {
                    let units = reader.u32();
                    assert_eq!(reader.utf16(units), color.to_string());
                }
            }
        }
        assert!(reader.0.is_empty());
    }
}

#[test]
fn file_names_are_safe_and_keep_the_name_for_those_who_can_read_it() {
    let disposition =
        |name: Option<&str>, format: Format| format.disposition(&palette(name, &["#FFF"]));
    assert_eq!(disposition(None, Format::Css), "attachment; filename=\"palette-7.css\"");
    assert_eq!(
        disposition(Some("Été \"1\""), Format::Ase),
        "attachment; filename=\"t-1.ase\"; filename*=UTF-8''%C3%89t%C3%A9%20-1-.ase"
    );
    assert_eq!(
        disposition(Some("../../etc/passwd"), Format::Tailwind),
        "attachment; filename=\"etc-passwd.tailwind.config.cjs\"; filename*=UTF-8''-..-etc-passwd.tailwind.config.cjs"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_name_and_colours_render_in_every_format(
        name in proptest::option::of("\\PC{0,100}"),
        channels in prop::collection::vec(any::<([u8; 3], Option<u8>)>(), 1..=64),
    ) {
        let mut drawn = palette(name.as_deref(), &[]);
        drawn.colors = channels.into_iter().map(|([red, green, blue], alpha)| Color { red, green, blue, alpha }).collect();
        for format in Format::ALL {
            prop_assert!(!format.render(&drawn).is_empty());
        }
        xml(&text(Format::Svg, &drawn));
    }
}
