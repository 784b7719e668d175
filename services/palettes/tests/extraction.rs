//! Extraction from real encoded pictures: the colours come back, limits hold, and
//! no bytes at all make it panic.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::Cursor;

use image::codecs::gif::GifEncoder;
use image::{DynamicImage, Frame, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use palettes::extract::{ExtractError, Extractor, MAX_BYTES, swatches};
use palettes::model::{Color, Oklab};
use proptest::prelude::*;

/// A picture of vertical stripes: the first colour's is the widest.
fn painted(colors: &[[u8; 3]]) -> DynamicImage {
    let mut edges = Vec::new();
    for (at, color) in colors.iter().enumerate() {
        edges.extend(std::iter::repeat_n(*color, 40 - at));
    }
    let width = u32::try_from(edges.len()).unwrap();
    RgbImage::from_fn(width, 32, |x, _| Rgb(edges[x as usize])).into()
}

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, format).unwrap();
    file.into_inner()
}

fn names(colors: &[Color]) -> Vec<String> {
    colors.iter().map(ToString::to_string).collect()
}

const FIVE: [[u8; 3]; 5] =
    [[230, 57, 70], [241, 250, 238], [168, 218, 220], [69, 123, 157], [29, 53, 87]];

#[test]
fn a_picture_painted_from_k_colours_gives_those_k_back() {
    let expected: Vec<_> = FIVE.iter().map(|[r, g, b]| Color::rgb(*r, *g, *b)).collect();
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif] {
        let file = encoded(&painted(&FIVE), format);
        for count in [5, 6, 16] {
            assert_eq!(
                names(&swatches(&file, count).unwrap()),
                names(&expected),
                "{format:?}, {count} asked for"
            );
        }
    }
}

#[test]
fn from_jpeg_they_come_back_to_within_what_jpeg_keeps() {
    let found = swatches(&encoded(&painted(&FIVE), ImageFormat::Jpeg), 5).unwrap();
    for [red, green, blue] in FIVE {
        let painted = Oklab::from(Color::rgb(red, green, blue));
        let nearest = found
            .iter()
            .map(|color| Oklab::from(*color).distance(painted))
            .fold(f64::INFINITY, f64::min);
        assert!(nearest < 0.02, "{red} {green} {blue}: {nearest} from {:?}", names(&found));
    }
}

#[test]
fn grey_sixteen_bit_and_indexed_pictures_are_read() {
    let grey = DynamicImage::from(image::GrayImage::from_fn(9, 9, |x, _| {
        image::Luma([if x < 6 { 20 } else { 200 }])
    }));
    assert_eq!(
        names(&swatches(&encoded(&grey, ImageFormat::Png), 5).unwrap()),
        ["#141414", "#C8C8C8"]
    );
    let wide = DynamicImage::ImageRgb16(painted(&FIVE).into_rgb16());
    assert_eq!(swatches(&encoded(&wide, ImageFormat::Png), 5).unwrap().len(), 5);
}

#[test]
fn every_swatch_is_a_colour_of_the_picture_and_the_answer_is_always_the_same() {
    let photo: DynamicImage = RgbImage::from_fn(300, 200, |x, y| {
        let wave = |shift: f64| {
            (127.5 + 127.5 * (f64::from(x) / 41.0 + f64::from(y) / 67.0 + shift).sin()) as u8
        };
        Rgb([wave(0.0), wave(2.1), wave(4.2)])
    })
    .into();
    let file = encoded(&photo, ImageFormat::Png);
    let found = swatches(&file, 8).unwrap();
    assert_eq!(found.len(), 8);
    let pixels: std::collections::HashSet<_> =
        photo.to_rgb8().pixels().map(|pixel| pixel.0).collect();
    assert!(found.iter().all(|color| pixels.contains(&[color.red, color.green, color.blue])));
    for _ in 0..3 {
        assert_eq!(swatches(&file, 8).unwrap(), found);
    }
}

#[test]
fn transparent_pixels_are_not_there() {
    let picture: DynamicImage = RgbaImage::from_fn(20, 20, |x, _| {
        if x < 15 { Rgba([255, 0, 255, 0]) } else { Rgba([1, 2, 3, 255]) }
    })
    .into();
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        assert_eq!(names(&swatches(&encoded(&picture, format), 5).unwrap()), ["#010203"]);
    }
    let clear: DynamicImage = RgbaImage::new(4, 4).into();
    assert_eq!(swatches(&encoded(&clear, ImageFormat::Png), 5), Err(ExtractError::Blank));
}

#[test]
fn of_an_animation_the_first_frame_counts() {
    let mut file = Vec::new();
    let mut encoder = GifEncoder::new(&mut file);
    for color in [[9, 8, 7], [200, 0, 0], [0, 200, 0]] {
        let [r, g, b] = color;
        encoder
            .encode_frame(Frame::new(RgbaImage::from_pixel(8, 8, Rgba([r, g, b, 255]))))
            .unwrap();
    }
    drop(encoder);
    assert_eq!(names(&swatches(&file, 5).unwrap()), ["#090807"]);
}

/// A PNG that declares its size and has no pixels: 57 bytes.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut file = encoded(&RgbImage::new(1, 1).into(), ImageFormat::Png);
    file[16..20].copy_from_slice(&width.to_be_bytes());
    file[20..24].copy_from_slice(&height.to_be_bytes());
    // The header's checksum: CRC-32 of its type and content.
    let mut crc = u32::MAX;
    for byte in &file[12..29] {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    file[29..33].copy_from_slice(&(!crc).to_be_bytes());
    file
}

#[test]
fn too_many_pixels_are_refused_from_the_header() {
    for (width, height) in
        [(50_001, 1000), (7072, 7071), (u32::MAX >> 1, u32::MAX >> 1), (1, 50_000_001)]
    {
        let refused = swatches(&png_header(width, height), 5);
        assert!(
            matches!(refused, Err(ExtractError::TooLarge(_))),
            "{width} × {height}: {refused:?}"
        );
    }
    // A GIF's screen of 65,535 squared, and a WebP's canvas of 16,383 squared.
    let mut gif = encoded(&painted(&FIVE), ImageFormat::Gif);
    gif[6..10].copy_from_slice(&[0xFF; 4]);
    assert!(matches!(swatches(&gif, 5), Err(ExtractError::TooLarge(_))));
    let webp = [b"RIFF\x12\0\0\0WEBPVP8L\x05\0\0\0".as_slice(), &[0x2F, 0xFE, 0xBF, 0xFF, 0x0F, 0]]
        .concat();
    assert!(
        matches!(swatches(&webp, 5), Err(ExtractError::TooLarge(_))),
        "{:?}",
        swatches(&webp, 5)
    );
}

#[test]
fn too_many_bytes_other_formats_and_broken_pictures_are_told_apart() {
    assert!(matches!(swatches(&vec![0; MAX_BYTES + 1], 5), Err(ExtractError::TooLarge(_))));
    for other in [
        b"".as_slice(),
        b"hello",
        b"%PDF-1.7",
        b"BM\x1a\0\0\0",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        &[0; 64],
    ] {
        assert_eq!(swatches(other, 5), Err(ExtractError::Unsupported));
    }
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif] {
        let mut file = encoded(&painted(&FIVE), format);
        file.truncate(file.len() / 2);
        assert!(
            matches!(swatches(&file, 5), Err(ExtractError::Broken(_))),
            "{format:?}: {:?}",
            swatches(&file, 5)
        );
    }
    let jpeg = encoded(&painted(&FIVE), ImageFormat::Jpeg);
    assert!(matches!(swatches(&jpeg[..40], 5), Err(ExtractError::Broken(_))));
}

#[tokio::test]
async fn pictures_are_read_within_the_budget_and_the_queue_is_bounded() {
    let extractor = Extractor::new(1, 2);
    let (first, second) = (extractor.admit().unwrap(), extractor.admit().unwrap());
    assert!(extractor.admit().is_none());
    let file = bytes::Bytes::from(encoded(&painted(&FIVE), ImageFormat::Png));
    // Each needs more than the whole budget: one after the other, and both are answered.
    let (x, y) = tokio::join!(first.swatches(file.clone(), 5), second.swatches(file, 5));
    assert_eq!(x.unwrap().len(), 5);
    assert_eq!(y.unwrap().len(), 5);
    assert!(extractor.admit().is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_k_colours_come_back(
        colors in prop::collection::btree_set(any::<[u8; 3]>(), 1..=16), more in 0usize..4, lossless in 0usize..3,
    ) {
        let colors: Vec<_> = colors.into_iter().collect();
        let format = [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif][lossless];
        // The GIF encoder quantises only when it must: 16 colours fit its table.
        let file = encoded(&painted(&colors), format);
        let mut found = swatches(&file, (colors.len() + more).clamp(2, 16)).unwrap();
        found.sort();
        let mut expected: Vec<_> = colors.iter().map(|[r, g, b]| Color::rgb(*r, *g, *b)).collect();
        expected.sort();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn corrupted_pictures_never_panic(
        format in 0usize..4, holes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..24), cut in any::<prop::sample::Index>(), cuts: bool,
    ) {
        let format = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Gif][format];
        let mut file = encoded(&painted(&FIVE), format);
        for (at, byte) in holes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        if cuts {
            file.truncate(cut.index(file.len()));
        }
        if let Ok(found) = swatches(&file, 5) {
            prop_assert!((1..=5).contains(&found.len()));
        }
    }

    #[test]
    fn noise_behind_a_signature_never_panics(which in 0usize..4, noise in prop::collection::vec(any::<u8>(), 0..400)) {
        let signature = [b"\x89PNG\r\n\x1a\n".as_slice(), b"\xFF\xD8\xFF\xE0", b"RIFF\0\0\0\0WEBP", b"GIF89a"][which];
        let _ = swatches(&[signature, &noise].concat(), 5);
    }
}
