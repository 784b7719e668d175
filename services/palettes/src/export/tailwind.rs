//! A configuration of Tailwind CSS in CommonJS: version 3 reads it by itself
//! (`-c FILE`, or as a preset), version 4 through `@config "FILE";`. Gives
//! `bg-name-1`, `text-name-2` and so on.

use std::fmt::Write as _;

use super::Sheet;

pub(super) fn write(sheet: &Sheet<'_>) -> String {
    let mut js = format!(
        "// {}\n/** @type {{import('tailwindcss').Config}} */\nmodule.exports = {{\n  theme: {{\n    extend: {{\n      colors: {{\n        '{}': {{\n",
        sheet.title, sheet.slug
    );
    for (number, color) in sheet.numbered() {
        let _ = writeln!(js, "          {number}: '{color}',");
    }
    js.push_str("        },\n      },\n    },\n  },\n};\n");
    js
}
