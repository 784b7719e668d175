//! PNG: square swatches, in rows of eight; what the last row leaves over is transparent.

use std::io::Cursor;

use image::{ImageFormat, Rgba, RgbaImage};

use super::Sheet;
use super::svg::COLUMNS;

/// A swatch's side, in pixels.
const SIDE: u32 = 64;

pub(super) fn write(sheet: &Sheet<'_>) -> Vec<u8> {
    let cells = |count: usize| u32::try_from(count).unwrap_or(1);
    let columns = cells(sheet.colors.len().clamp(1, COLUMNS));
    let rows = cells(sheet.colors.len().div_ceil(COLUMNS).max(1));
    let picture = RgbaImage::from_fn(columns * SIDE, rows * SIDE, |x, y| {
        let at = (y / SIDE * columns + x / SIDE) as usize;
        sheet.colors.get(at).map_or(Rgba([0; 4]), |color| {
            Rgba([color.red, color.green, color.blue, color.alpha.unwrap_or(u8::MAX)])
        })
    });
    let mut file = Cursor::new(Vec::new());
    match picture.write_to(&mut file, ImageFormat::Png) {
        Ok(()) => file.into_inner(),
        Err(error) => {
            // Memory takes every byte, and the size is far below the format's limits.
            tracing::error!(%error, "a palette could not be written as PNG");
            Vec::new()
        }
    }
}
