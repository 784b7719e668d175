//! Adobe Swatch Exchange, version 1.0, as described by Olivier Berten in
//! <http://www.selapa.net/swatches/colors/fileformats.php>: big-endian; the
//! signature, the number of blocks, then a group with a block for each colour.

use super::{Sheet, utf16_nul};

const GROUP_START: u16 = 0xC001;
const GROUP_END: u16 = 0xC002;
const COLOR: u16 = 0x0001;
/// A colour for all uses, neither global nor spot.
const NORMAL: u16 = 2;

pub(super) fn write(sheet: &Sheet<'_>) -> Vec<u8> {
    let mut file = b"ASEF\x00\x01\x00\x00".to_vec();
    let blocks = u32::try_from(sheet.colors.len() + 2).unwrap_or(2);
    file.extend(blocks.to_be_bytes());
    block(&mut file, GROUP_START, &name(&sheet.title));
    for color in sheet.colors {
        let mut body = name(&color.to_string());
        body.extend(b"RGB ");
        for channel in [color.red, color.green, color.blue] {
            body.extend((f32::from(channel) / 255.0).to_be_bytes());
        }
        body.extend(NORMAL.to_be_bytes());
        block(&mut file, COLOR, &body);
    }
    block(&mut file, GROUP_END, &[]);
    file
}

fn block(file: &mut Vec<u8>, kind: u16, body: &[u8]) {
    file.extend(kind.to_be_bytes());
    file.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    file.extend(body);
}

/// The length in UTF-16 units with the NUL, and the units.
fn name(text: &str) -> Vec<u8> {
    let (units, bytes) = utf16_nul(text);
    [units.to_be_bytes().as_slice(), &bytes].concat()
}
