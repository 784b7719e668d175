//! From bytes to pixels, trusting nothing: the format is told by the first
//! bytes, the dimensions are checked before anything is decoded, and the decoder
//! is held to what a picture of the allowed size needs.

use std::io::Cursor;

use image::error::{ImageError, LimitErrorKind};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::{ExtractError, MAX_BYTES, MAX_PIXELS};

/// Bytes a pixel takes at most: four channels of sixteen bits.
const WIDEST_PIXEL: u64 = 8;
/// What the decoder may allocate beside the picture, in bytes.
const DECODER_SLACK: u64 = 64 * 1024 * 1024;
/// What counting a picture's colours takes at most, in bytes; see `histogram`.
const COUNTING: u64 = 66 * 1024 * 1024;

/// An upper bound for the bytes of memory that [`decode`] and counting take,
/// from the header alone.
///
/// # Errors
/// Those of [`decode`] that the header shows.
pub(super) fn memory_needed(bytes: &[u8]) -> Result<u64, ExtractError> {
    let decoder = open(bytes)?;
    Ok(decoder.total_bytes() + COUNTING + bytes.len() as u64)
}

/// The first frame of the picture.
///
/// # Errors
/// Too large, of another format, or broken.
pub(super) fn decode(bytes: &[u8]) -> Result<DynamicImage, ExtractError> {
    DynamicImage::from_decoder(open(bytes)?).map_err(refusal)
}

fn open(bytes: &[u8]) -> Result<impl ImageDecoder + '_, ExtractError> {
    if bytes.len() > MAX_BYTES {
        return Err(ExtractError::TooLarge(format!("a picture may have {} MiB", MAX_BYTES >> 20)));
    }
    let format = image::guess_format(bytes).map_err(|_| ExtractError::Unsupported)?;
    if !matches!(
        format,
        ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP | ImageFormat::Gif
    ) {
        return Err(ExtractError::Unsupported);
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_PIXELS * WIDEST_PIXEL + DECODER_SLACK);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(refusal)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(ExtractError::TooLarge(format!(
            "a picture may have {} megapixels; this one is {width} by {height}",
            MAX_PIXELS / 1_000_000
        )));
    }
    if width == 0 || height == 0 {
        return Err(ExtractError::Broken("it has no pixels".to_owned()));
    }
    Ok(decoder)
}

fn refusal(error: ImageError) -> ExtractError {
    match error {
        ImageError::Limits(limit)
            if !matches!(limit.kind(), LimitErrorKind::Unsupported { .. }) =>
        {
            ExtractError::TooLarge(format!(
                "a picture may have {} megapixels",
                MAX_PIXELS / 1_000_000
            ))
        }
        error => ExtractError::Broken(error.to_string()),
    }
}
