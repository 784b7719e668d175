//! How often each colour occurs in a picture.
//!
//! Counted exactly, in a table of two levels that takes 16 KiB for each of the
//! 4,096 corners of the colour cube that the picture touches: at most 64 MiB,
//! and little for a picture of few colours. What is left for clustering is at
//! most 32,768 points: where a picture has more colours, those that share the
//! five upper bits of each channel are one point at the most frequent of them,
//! so that every point is still a real pixel's colour.

use image::{DynamicImage, GenericImageView};

use crate::model::{Color, Oklab};

/// More different colours than this are put together.
const EXACT: usize = 16_384;
/// A pixel's weight when it is opaque. Up to 50 million of them fit in a `u32`.
const OPAQUE: u32 = 16;

/// A colour of the picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) color: Color,
    pub(super) lab: Oklab,
    /// How many pixels it stands for, weighed by their opacity; above 0.
    pub(super) weight: f64,
}

/// The picture's colours: all of them if there are at most `exact_below`, and a
/// bounded number in any case. Fully transparent pixels have no colour.
pub(super) fn points(picture: &DynamicImage, exact_below: usize) -> Vec<Point> {
    let counts = Counts::of(picture);
    let mut found: Vec<(u32, u64)> = Vec::new();
    if counts.different() <= EXACT.max(exact_below) {
        found.extend(counts.iter().map(|(rgb, weight)| (rgb, u64::from(weight))));
    } else {
        // Per cell: its most frequent colour, how often that occurs, and the cell's weight.
        let mut cells = vec![(0u32, 0u32, 0u64); 1 << 15];
        for (rgb, weight) in counts.iter() {
            let cell =
                &mut cells[((rgb >> 9) & 0x7C00 | (rgb >> 6) & 0x3E0 | (rgb >> 3) & 0x1F) as usize];
            if weight > cell.1 {
                (cell.0, cell.1) = (rgb, weight);
            }
            cell.2 += u64::from(weight);
        }
        found.extend(
            cells.into_iter().filter(|cell| cell.2 > 0).map(|(rgb, _, weight)| (rgb, weight)),
        );
    }
    found.into_iter().map(|(rgb, weight)| point(rgb, weight)).collect()
}

#[allow(clippy::cast_precision_loss, reason = "weights stay below 2^53")]
fn point(rgb: u32, weight: u64) -> Point {
    let [_, red, green, blue] = rgb.to_be_bytes();
    let color = Color::rgb(red, green, blue);
    Point { color, lab: color.into(), weight: weight as f64 }
}

/// Weights by colour: the upper four bits of the channels choose the leaf, the
/// lower four the place in it.
struct Counts(Vec<Option<Box<[u32]>>>);

impl Counts {
    fn of(picture: &DynamicImage) -> Self {
        let mut counts = Self(vec![None; 1 << 12]);
        match picture {
            DynamicImage::ImageRgb8(pixels) => pixels.pixels().for_each(|pixel| {
                let [red, green, blue] = pixel.0;
                counts.add(red, green, blue, u8::MAX);
            }),
            DynamicImage::ImageRgba8(pixels) => pixels.pixels().for_each(|pixel| {
                let [red, green, blue, alpha] = pixel.0;
                counts.add(red, green, blue, alpha);
            }),
            other => other.pixels().for_each(|(_, _, pixel)| {
                let [red, green, blue, alpha] = pixel.0;
                counts.add(red, green, blue, alpha);
            }),
        }
        counts
    }

    fn add(&mut self, red: u8, green: u8, blue: u8, alpha: u8) {
        if alpha == 0 {
            return;
        }
        let [red, green, blue] = [red, green, blue].map(usize::from);
        let leaf = (red >> 4) << 8 | (green >> 4) << 4 | blue >> 4;
        let place = (red & 15) << 8 | (green & 15) << 4 | blue & 15;
        let leaf = self.0[leaf].get_or_insert_with(|| vec![0; 1 << 12].into_boxed_slice());
        leaf[place] += u32::from(alpha).div_ceil(OPAQUE).min(OPAQUE);
    }

    fn different(&self) -> usize {
        self.iter().count()
    }

    /// Every colour that occurs, as `0x00RRGGBB`, with its weight; in a fixed order.
    fn iter(&self) -> impl Iterator<Item = (u32, u32)> {
        let leaves = (0u32..).zip(&self.0).filter_map(|(at, leaf)| Some((at, leaf.as_deref()?)));
        leaves.flat_map(|(high, leaf)| {
            (0u32..).zip(leaf).filter(|(_, weight)| **weight > 0).map(move |(low, weight)| {
                let channel = |shift: u32| ((high >> shift) & 15) << 4 | (low >> shift) & 15;
                (channel(8) << 16 | channel(4) << 8 | channel(0), *weight)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage, Rgba, RgbaImage};

    use super::*;

    #[test]
    fn few_colours_are_counted_exactly() {
        let picture =
            RgbImage::from_fn(
                10,
                10,
                |x, _| {
                    if x < 3 { Rgb([1, 2, 3]) } else { Rgb([254, 128, 17]) }
                },
            );
        let mut found: Vec<_> = points(&picture.into(), 5)
            .iter()
            .map(|point| (point.color.to_string(), point.weight))
            .collect();
        found.sort_by(|x, y| x.1.total_cmp(&y.1));
        assert_eq!(found, [("#010203".to_owned(), 480.0), ("#FE8011".to_owned(), 1120.0)]);
    }

    #[test]
    fn many_colours_become_a_bounded_number_of_real_ones() {
        // 512 × 512: 262,144 pixels of as many colours.
        let color = |x: u32, y: u32| {
            Rgb([
                x.to_le_bytes()[0],
                y.to_le_bytes()[0],
                ((x >> 8) * 128 + (y >> 8) * 64).to_le_bytes()[0],
            ])
        };
        let picture: DynamicImage = RgbImage::from_fn(512, 512, color).into();
        let points = points(&picture, 16);
        assert!(points.len() > 1000 && points.len() <= 1 << 15, "{}", points.len());
        let total: f64 = points.iter().map(|point| point.weight).sum();
        assert!((total - 512.0 * 512.0 * 16.0).abs() < 0.5);
        for point in points {
            assert!(
                [0, 64, 128, 192].contains(&point.color.blue),
                "{} is in the picture",
                point.color
            );
        }
    }

    #[test]
    fn transparent_pixels_have_no_colour_and_faint_ones_little_weight() {
        let picture = RgbaImage::from_fn(4, 1, |x, _| {
            Rgba([u8::try_from(x).unwrap_or(0), 0, 0, [0, 1, 128, 255][x as usize]])
        });
        let weights: Vec<_> = points(&picture.into(), 5).iter().map(|point| point.weight).collect();
        assert_eq!(weights, [1.0, 8.0, 16.0]);
    }
}
