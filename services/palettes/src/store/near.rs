//! Which colours lie near a colour: a grid over Oklab.
//!
//! Every colour lies in one cell. A search looks only into the cells that the
//! ball around its colour touches, and measures the exact distance there.

use crate::model::Oklab;

/// The side of a cell. Stored cells depend on it: to change it is a migration.
const SIDE: f64 = 0.1;

/// The cell that a colour lies in. L runs from 0 to 1, a and b stay within ±0.4:
/// each axis has less than 100 steps, counted from -50.
pub(super) fn cell(lab: Oklab) -> i64 {
    let [l, a, b] = [lab.l, lab.a, lab.b].map(step);
    number(l, a, b)
}

/// The cells that hold anything within `radius` of a colour, and perhaps some more.
pub(super) fn cells(lab: Oklab, radius: f64) -> Vec<i64> {
    let span = |center: f64| step(center - radius)..=step(center + radius);
    let mut found = Vec::new();
    for l in span(lab.l) {
        for a in span(lab.a) {
            for b in span(lab.b) {
                let gaps = [gap(lab.l, l), gap(lab.a, a), gap(lab.b, b)];
                // A little more than the radius: rounding must not lose a cell.
                if gaps.iter().map(|gap| gap * gap).sum::<f64>() <= radius * radius + 1e-9 {
                    found.push(number(l, a, b));
                }
            }
        }
    }
    found
}

#[allow(clippy::cast_possible_truncation, reason = "coordinates are within ±2, and `as` saturates")]
fn step(coordinate: f64) -> i64 {
    (coordinate / SIDE).floor() as i64
}

fn number(l: i64, a: i64, b: i64) -> i64 {
    ((l + 50) * 100 + a + 50) * 100 + b + 50
}

/// How far a coordinate is from the cell's extent on that axis.
#[allow(clippy::cast_precision_loss, reason = "steps are small")]
fn gap(coordinate: f64, step: i64) -> f64 {
    let low = step as f64 * SIDE;
    (low - coordinate).max(coordinate - low - SIDE).max(0.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Color, NEAR};

    proptest! {
        #[test]
        fn whatever_is_near_lies_in_one_of_the_cells(x: [u8; 3], nudge: [i8; 3]) {
            let mut y = x;
            for (channel, nudge) in y.iter_mut().zip(nudge) {
                *channel = channel.saturating_add_signed(nudge);
            }
            let [x, y] = [x, y].map(|[r, g, b]| Oklab::from(Color::rgb(r, g, b)));
            let cells = cells(x, NEAR);
            prop_assert!(cells.len() <= 27);
            if x.distance(y) <= NEAR {
                prop_assert!(cells.contains(&cell(y)));
            }
        }
    }
}
