//! JSON: the palette as the API shows it, and each colour's channels beside its code.

use serde::Serialize;

use super::Sheet;

#[derive(Serialize)]
struct Document<'a> {
    palette_id: contracts::ids::PaletteId,
    name: Option<&'a str>,
    category: Option<&'a str>,
    color_codes: Vec<String>,
    colors: Vec<Channels>,
}

#[derive(Serialize)]
struct Channels {
    hex: String,
    red: u8,
    green: u8,
    blue: u8,
    /// 0 (clear) to 1, in steps of a thousandth.
    alpha: f64,
}

pub(super) fn write(sheet: &Sheet<'_>) -> String {
    let document = Document {
        palette_id: sheet.id,
        name: sheet.name,
        category: sheet.category,
        color_codes: sheet.colors.iter().map(ToString::to_string).collect(),
        colors: sheet
            .colors
            .iter()
            .map(|color| Channels {
                hex: color.to_string(),
                red: color.red,
                green: color.green,
                blue: color.blue,
                alpha: (color.opacity() * 1000.0).round() / 1000.0,
            })
            .collect(),
    };
    // Strings and finite numbers always serialize.
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}
