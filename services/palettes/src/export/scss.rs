//! Sass: a variable for each colour, and all of them as a list.

use std::fmt::Write as _;

use super::Sheet;

pub(super) fn write(sheet: &Sheet<'_>) -> String {
    let slug = &sheet.slug;
    // `//` comments know no interpolation and end with the line; the title is one line.
    let mut scss = format!("// {}\n", sheet.title);
    for (number, color) in sheet.numbered() {
        let _ = writeln!(scss, "${slug}-{number}: {color};");
    }
    let _ = write!(scss, "${slug}: (");
    for (number, _) in sheet.numbered() {
        // With a comma after the last as well: a list also when there is only one.
        let _ = write!(scss, "{}${slug}-{number},", if number > 1 { " " } else { "" });
    }
    scss.push_str(");\n");
    scss
}
