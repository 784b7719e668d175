//! Clusters of colours in Oklab, and one real colour for each.
//!
//! k-means++ (Arthur and Vassilvitskii, 2007) chooses the seeds, Lloyd's
//! iteration (1982) settles them, and the best of a few starts is taken. Each
//! cluster then answers with its member nearest to its geometric median, found
//! by Weiszfeld's iteration (1937): unlike the mean, it stays on the colour of a
//! flat area when the area's edges are blurred.

use super::histogram::Point;
use crate::model::{Color, Oklab};

/// The seed of every run: the same picture gives the same palette.
const SEED: u64 = 0x6174_656C_6965_7221;
/// Independent starts, of which the best counts.
const STARTS: usize = 4;
/// Lloyd's iteration ends here if it has not settled before.
const ROUNDS: usize = 40;
/// Rounds of Weiszfeld's iteration; it comes within a rounding of the median.
const MEDIAN_ROUNDS: usize = 24;

/// At most `count` colours of `points`, the heaviest cluster's first. All of
/// them, when there are no more.
pub(super) fn representatives(points: &[Point], count: usize) -> Vec<Color> {
    let mut found: Vec<(f64, Color)> = if points.len() <= count {
        points.iter().map(|point| (point.weight, point.color)).collect()
    } else {
        let mut random = SplitMix64(SEED);
        let starts = (0..STARTS).map(|_| lloyd(points, seeds(points, count, &mut random)));
        let best = starts
            .min_by(|x, y| x.cost.total_cmp(&y.cost))
            .map(|best| best.owner)
            .unwrap_or_default();
        (0..count).filter_map(|cluster| medoid(points, &best, cluster)).collect()
    };
    // Equal weights are told apart by colour, so that the order is the same each time.
    found.sort_by(|x, y| y.0.total_cmp(&x.0).then(x.1.cmp(&y.1)));
    found.into_iter().map(|(_, color)| color).collect()
}

/// The first centres: each next one is a point drawn with a probability that
/// grows with its weight and its squared distance to the nearest centre so far.
fn seeds(points: &[Point], count: usize, random: &mut SplitMix64) -> Vec<Oklab> {
    let mut chances: Vec<f64> = points.iter().map(|point| point.weight).collect();
    let mut nearest = vec![f64::INFINITY; points.len()];
    let mut centres: Vec<Oklab> = Vec::with_capacity(count);
    while centres.len() < count {
        let chosen = draw(&chances, random);
        let centre = points[chosen].lab;
        centres.push(centre);
        for ((point, nearest), chance) in points.iter().zip(&mut nearest).zip(&mut chances) {
            *nearest = nearest.min(point.lab.distance_squared(centre));
            *chance = *nearest * point.weight;
        }
    }
    centres
}

/// An index, drawn in proportion to its chance.
fn draw(chances: &[f64], random: &mut SplitMix64) -> usize {
    let total: f64 = chances.iter().sum();
    let mut left = random.unit() * total;
    for (at, chance) in chances.iter().enumerate() {
        left -= chance;
        if left < 0.0 {
            return at;
        }
    }
    // Rounding went past the end: the last that had a chance.
    chances.iter().rposition(|chance| *chance > 0.0).unwrap_or(0)
}

/// Which centre each point belongs to, and how well that fits.
struct Clustering {
    owner: Vec<usize>,
    cost: f64,
}

fn lloyd(points: &[Point], mut centres: Vec<Oklab>) -> Clustering {
    let mut settled = assign(points, &centres);
    for _ in 0..ROUNDS {
        centres = means(points, &settled.0, centres.len());
        let next = assign(points, &centres);
        let done = next.0 == settled.0;
        settled = next;
        if done {
            break;
        }
    }
    let (owner, distance) = settled;
    let cost = points.iter().zip(distance).map(|(point, distance)| point.weight * distance).sum();
    Clustering { owner, cost }
}

/// For each point the nearest centre and the squared distance to it. A centre
/// left without a point takes the one that fits worst where it is, so that no
/// colour asked for is lost.
fn assign(points: &[Point], centres: &[Oklab]) -> (Vec<usize>, Vec<f64>) {
    let mut owner = vec![0; points.len()];
    let mut distance = vec![f64::INFINITY; points.len()];
    let mut members = vec![0usize; centres.len()];
    for ((point, owner), distance) in points.iter().zip(&mut owner).zip(&mut distance) {
        for (at, centre) in centres.iter().enumerate() {
            let candidate = point.lab.distance_squared(*centre);
            if candidate < *distance {
                (*owner, *distance) = (at, candidate);
            }
        }
        members[*owner] += 1;
    }
    for cluster in 0..centres.len() {
        if members[cluster] == 0 {
            let worst = (0..points.len()).filter(|at| members[owner[*at]] > 1).max_by(|x, y| {
                (distance[*x] * points[*x].weight).total_cmp(&(distance[*y] * points[*y].weight))
            });
            if let Some(worst) = worst {
                members[owner[worst]] -= 1;
                (owner[worst], distance[worst], members[cluster]) = (cluster, 0.0, 1);
            }
        }
    }
    (owner, distance)
}

fn means(points: &[Point], owner: &[usize], count: usize) -> Vec<Oklab> {
    let mut sums = vec![(Oklab { l: 0.0, a: 0.0, b: 0.0 }, 0.0); count];
    for (point, owner) in points.iter().zip(owner) {
        let (sum, weight) = &mut sums[*owner];
        add(sum, point.lab, point.weight);
        *weight += point.weight;
    }
    sums.into_iter().map(|(sum, weight)| scaled(sum, weight)).collect()
}

fn add(sum: &mut Oklab, lab: Oklab, weight: f64) {
    sum.l += lab.l * weight;
    sum.a += lab.a * weight;
    sum.b += lab.b * weight;
}

fn scaled(sum: Oklab, weight: f64) -> Oklab {
    let weight = if weight > 0.0 { weight } else { 1.0 };
    Oklab { l: sum.l / weight, a: sum.a / weight, b: sum.b / weight }
}

/// A cluster's weight, and its member nearest to its geometric median.
fn medoid(points: &[Point], owner: &[usize], cluster: usize) -> Option<(f64, Color)> {
    let members: Vec<&Point> = points
        .iter()
        .zip(owner)
        .filter(|(_, owner)| **owner == cluster)
        .map(|(point, _)| point)
        .collect();
    let weight = members.iter().map(|point| point.weight).sum();
    let mut median = Oklab { l: 0.0, a: 0.0, b: 0.0 };
    members.iter().for_each(|point| add(&mut median, point.lab, point.weight));
    median = scaled(median, weight);
    for _ in 0..MEDIAN_ROUNDS {
        let (mut sum, mut pulls) = (Oklab { l: 0.0, a: 0.0, b: 0.0 }, 0.0);
        for point in &members {
            let pull = point.weight / point.lab.distance(median).max(1e-6);
            add(&mut sum, point.lab, pull);
            pulls += pull;
        }
        median = scaled(sum, pulls);
    }
    let distance = |point: &Point| point.lab.distance_squared(median);
    let nearest = members
        .iter()
        .min_by(|x, y| distance(x).total_cmp(&distance(y)).then(x.color.cmp(&y.color)))?;
    Some((weight, nearest.color))
}

/// A random generator that is the same on every machine and in every version:
/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0.0 up to, not including, 1.0.
    #[allow(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn point(rgb: [u8; 3], weight: f64) -> Point {
        let color = Color::rgb(rgb[0], rgb[1], rgb[2]);
        Point { color, lab: color.into(), weight }
    }

    #[test]
    fn the_generator_is_the_published_one() {
        let mut random = SplitMix64(1_234_567);
        assert_eq!(
            [random.next(), random.next()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]
        );
    }

    #[test]
    fn a_flat_area_with_blurred_edges_gives_its_own_colour() {
        let mut points = vec![point([200, 30, 40], 900.0), point([20, 60, 180], 800.0)];
        points.extend((0u8..40).map(|step| point([200 - step, 30 + step / 2, 40 + step], 3.0)));
        points.extend((0u8..40).map(|step| point([20 + step, 60 - step / 2, 180 - step], 3.0)));
        let found = representatives(&points, 2);
        assert_eq!(found, [Color::rgb(200, 30, 40), Color::rgb(20, 60, 180)]);
    }

    proptest! {
        #[test]
        fn as_many_different_real_colours_as_asked_for(
            colors in prop::collection::btree_set(any::<[u8; 3]>(), 1..60), count in 2usize..=16,
        ) {
            let points: Vec<_> = (1u16..).zip(&colors).map(|(weight, rgb)| point(*rgb, f64::from(weight))).collect();
            let mut found = representatives(&points, count);
            prop_assert_eq!(&found, &representatives(&points, count));
            prop_assert_eq!(found.len(), count.min(colors.len()));
            prop_assert!(found.iter().all(|color| colors.contains(&[color.red, color.green, color.blue])));
            found.sort();
            found.dedup();
            prop_assert_eq!(found.len(), count.min(colors.len()));
        }
    }
}
