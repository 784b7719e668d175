//! Oklab, a colour space in which equal distances look equally different.
//!
//! Björn Ottosson, "A perceptual color space for image processing", 2020,
//! <https://bottosson.github.io/posts/oklab/>, with the matrices as revised there
//! in January 2021. sRGB's transfer function is that of IEC 61966-2-1.

use std::sync::LazyLock;

use super::Color;

/// A point in Oklab. Alpha plays no part in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Oklab {
    /// Perceived lightness, 0 (black) to 1 (white).
    pub l: f64,
    /// Green (negative) to red; within ±0.4 for sRGB.
    pub a: f64,
    /// Blue (negative) to yellow; within ±0.4 for sRGB.
    pub b: f64,
}

/// Linear light for each of the 256 encoded values.
static LINEAR: LazyLock<[f64; 256]> = LazyLock::new(|| {
    let mut table = [0.0; 256];
    for (encoded, linear) in (0u8..=255).zip(&mut table) {
        let value = f64::from(encoded) / 255.0;
        *linear =
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) };
    }
    table
});

impl Oklab {
    /// The square of the distance: the measure that comparisons need.
    #[must_use]
    pub fn distance_squared(self, other: Self) -> f64 {
        let (l, a, b) = (self.l - other.l, self.a - other.a, self.b - other.b);
        l * l + a * a + b * b
    }

    /// The distance ΔE between two colours; about 0.02 is just noticeable,
    /// black and white are 1 apart.
    #[must_use]
    pub fn distance(self, other: Self) -> f64 {
        self.distance_squared(other).sqrt()
    }

    /// The nearest colour of eight bits a channel; what lies outside sRGB is
    /// clipped channel by channel.
    #[must_use]
    pub fn to_color(self) -> Color {
        let l = (self.l + 0.396_337_777_4 * self.a + 0.215_803_757_3 * self.b).powi(3);
        let m = (self.l - 0.105_561_345_8 * self.a - 0.063_854_172_8 * self.b).powi(3);
        let s = (self.l - 0.089_484_177_5 * self.a - 1.291_485_548_0 * self.b).powi(3);
        Color::rgb(
            encode(4.076_741_662_1 * l - 3.307_711_591_3 * m + 0.230_969_929_2 * s),
            encode(-1.268_438_004_6 * l + 2.609_757_401_1 * m - 0.341_319_396_5 * s),
            encode(-0.004_196_086_3 * l - 0.703_418_614_7 * m + 1.707_614_701_0 * s),
        )
    }
}

impl From<Color> for Oklab {
    fn from(color: Color) -> Self {
        let [r, g, b] =
            [color.red, color.green, color.blue].map(|value| LINEAR[usize::from(value)]);
        let l = (0.412_221_470_8 * r + 0.536_332_536_3 * g + 0.051_445_992_9 * b).cbrt();
        let m = (0.211_903_498_2 * r + 0.680_699_545_1 * g + 0.107_396_956_6 * b).cbrt();
        let s = (0.088_302_461_9 * r + 0.281_718_837_6 * g + 0.629_978_700_5 * b).cbrt();
        Self {
            l: 0.210_454_255_3 * l + 0.793_617_785_0 * m - 0.004_072_046_8 * s,
            a: 1.977_998_495_1 * l - 2.428_592_205_0 * m + 0.450_593_709_9 * s,
            b: 0.025_904_037_1 * l + 0.782_771_766_2 * m - 0.808_675_766_0 * s,
        }
    }
}

/// Linear light, encoded and rounded. Not a number becomes 0.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 0..=255 first; `as` saturates"
)]
fn encode(linear: f64) -> u8 {
    let value =
        if linear <= 0.003_130_8 { 12.92 * linear } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 };
    (value * 255.0).round().clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    /// Values computed from the reference of CSS Color 4 (`oklab(…)` of the named colours).
    #[test]
    fn known_colours_have_their_known_coordinates() {
        for (code, l, a, b) in [
            ("#FFFFFF", 1.0, 0.0, 0.0),
            ("#000000", 0.0, 0.0, 0.0),
            ("#FF0000", 0.627_955, 0.224_863, 0.125_846),
            ("#00FF00", 0.866_440, -0.233_888, 0.179_498),
            ("#0000FF", 0.452_014, -0.032_457, -0.311_528),
        ] {
            let lab = Oklab::from(code.parse::<Color>().unwrap());
            assert!(lab.distance(Oklab { l, a, b }) < 1e-5, "{code} is {lab:?}");
        }
    }

    proptest! {
        #[test]
        fn every_colour_survives_the_round_trip(red: u8, green: u8, blue: u8) {
            let color = Color::rgb(red, green, blue);
            prop_assert_eq!(Oklab::from(color).to_color(), color);
        }

        #[test]
        fn distance_is_a_metric(x: [u8; 3], y: [u8; 3], z: [u8; 3]) {
            let [x, y, z] = [x, y, z].map(|[r, g, b]| Oklab::from(Color::rgb(r, g, b)));
            prop_assert!((x.distance(y) - y.distance(x)).abs() < 1e-12);
            prop_assert!(x.distance(z) <= x.distance(y) + y.distance(z) + 1e-12);
            prop_assert!((x.distance(y) < 1e-9) == (x == y));
        }

        #[test]
        fn any_numbers_give_some_colour(l: f64, a: f64, b: f64) {
            let _ = Oklab { l, a, b }.to_color();
        }
    }
}
