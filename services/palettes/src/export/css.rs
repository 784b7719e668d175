//! CSS custom properties: `--name-1: #AABBCC;`. Hex colours with alpha are CSS Color 4.

use std::fmt::Write as _;

use super::Sheet;

pub(super) fn write(sheet: &Sheet<'_>) -> String {
    // A comment ends at `*/`, wherever that stands.
    let mut css = format!("/* {} */\n:root {{\n", sheet.title.replace("*/", "* /"));
    for (number, color) in sheet.numbered() {
        let _ = writeln!(css, "  --{}-{number}: {color};", sheet.slug);
    }
    css.push_str("}\n");
    css
}
