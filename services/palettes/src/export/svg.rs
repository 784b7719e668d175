//! SVG 1.1: a row of swatches (rows of eight), each with its code as a tooltip.

use std::fmt::Write as _;

use super::Sheet;

/// Swatches in a row, at most.
pub(super) const COLUMNS: usize = 8;
const SIDE: usize = 96;

pub(super) fn write(sheet: &Sheet<'_>) -> String {
    let columns = sheet.colors.len().clamp(1, COLUMNS);
    let (width, height) = (columns * SIDE, sheet.colors.len().div_ceil(COLUMNS) * SIDE);
    let mut svg = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n  <title>{}</title>\n",
        escape(&sheet.title)
    );
    for (at, color) in sheet.colors.iter().enumerate() {
        let (x, y) = (at % COLUMNS * SIDE, at / COLUMNS * SIDE);
        let _ = write!(
            svg,
            "  <rect x=\"{x}\" y=\"{y}\" width=\"{SIDE}\" height=\"{SIDE}\" fill=\"{}\"",
            color.opaque_code()
        );
        if color.alpha.is_some_and(|alpha| alpha < u8::MAX) {
            let _ = write!(svg, " fill-opacity=\"{:.3}\"", color.opacity());
        }
        let _ = writeln!(svg, "><title>{color}</title></rect>");
    }
    svg.push_str("</svg>\n");
    svg
}

/// Text between tags. The title holds no control characters, which XML cannot hold at all.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
