//! Photoshop's colour swatches ("Color swatches" in Adobe's file formats
//! specification): version 1, without names, for old programs, followed by
//! version 2 with names, as Photoshop itself writes it. Big-endian.

use super::{Sheet, utf16_nul};
use crate::model::Color;

/// The colour space RGB: three channels of 16 bits and an unused word.
const RGB: u16 = 0;

pub(super) fn write(sheet: &Sheet<'_>) -> Vec<u8> {
    let mut file = Vec::new();
    let count = u16::try_from(sheet.colors.len()).unwrap_or(u16::MAX);
    for version in [1u16, 2] {
        file.extend(version.to_be_bytes());
        file.extend(count.to_be_bytes());
        for color in sheet.colors.iter().take(usize::from(count)) {
            channels(&mut file, *color);
            if version == 2 {
                let (units, name) = utf16_nul(&color.to_string());
                file.extend(u32::from(units).to_be_bytes());
                file.extend(name);
            }
        }
    }
    file
}

fn channels(file: &mut Vec<u8>, color: Color) {
    // 255 × 257 = 65535: the whole range of 8 bits onto that of 16.
    let wide = |channel: u8| u16::from(channel) * 257;
    for word in [RGB, wide(color.red), wide(color.green), wide(color.blue), 0] {
        file.extend(word.to_be_bytes());
    }
}
