//! GIMP's palette format (`devel-docs/gpl.txt` of GIMP): a header, and a line of
//! three decimal channels and a name for each colour. No alpha.

use std::fmt::Write as _;

use super::Sheet;

pub(super) fn write(sheet: &Sheet<'_>) -> String {
    // The name ends with the line; the title is one line.
    let columns = sheet.colors.len().min(super::svg::COLUMNS);
    let mut gpl = format!("GIMP Palette\nName: {}\nColumns: {columns}\n#\n", sheet.title);
    for color in sheet.colors {
        let _ = writeln!(gpl, "{:3} {:3} {:3}\t{color}", color.red, color.green, color.blue);
    }
    gpl
}
