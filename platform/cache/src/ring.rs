//! Consistent hashing with virtual nodes (Karger et al., 1997): which two nodes keep a key.
//!
//! Each node owns [`POINTS`] points on a circle of hashes. A key's first copy is with the owner of
//! the first point at or after its hash, its second with the next owner who is another. A node
//! that comes or goes moves only the keys next to its points: about 1/n of them. With so many
//! points the fullest node of ten has about 1.1 times the mean.
//!
//! Invariant: it depends on the set of names alone, and hashes are SHA-256: every instance, on any
//! machine, in any version, with its nodes in any order, has the same ring.

use std::iter;

use sha2::{Digest, Sha256};

/// Points of each node; a multiple of four, which is how many come out of one hash.
const POINTS: u32 = 512;

/// The circle. Nodes are told by their places in the list that it was made from.
#[derive(Clone, Debug)]
pub struct Ring {
    points: Vec<(u64, usize)>,
}

impl Ring {
    /// The circle of nodes with these names, which differ.
    #[must_use]
    pub fn new<N: AsRef<str>>(names: &[N]) -> Self {
        let points_of = |(node, name): (usize, &N)| {
            let name = name.as_ref().to_owned();
            (0..POINTS / 4).flat_map(move |n| {
                let hash = Sha256::digest(format!("{name}#{n}"));
                (0..4).map(move |part| (word(&hash, part), node))
            })
        };
        let mut points: Vec<_> = names.iter().enumerate().flat_map(points_of).collect();
        // By name where two points fall together, so that the order of the list does not matter.
        points.sort_by(|(a, x), (b, y)| {
            a.cmp(b).then_with(|| names[*x].as_ref().cmp(names[*y].as_ref()))
        });
        Self { points }
    }

    /// The nodes that keep `key`: two different ones, or one if there is only one.
    #[must_use]
    pub fn copies(&self, key: &[u8]) -> [Option<usize>; 2] {
        let hash = word(&Sha256::digest(key), 0);
        let at = self.points.partition_point(|(point, _)| *point < hash);
        let mut owners = self.points[at..].iter().chain(&self.points[..at]).map(|(_, node)| *node);
        let first = owners.next();
        let second = iter::from_fn(|| owners.next()).find(|node| Some(*node) != first);
        [first, second]
    }
}

/// Eight bytes of a hash as a number.
fn word(hash: &[u8], part: usize) -> u64 {
    let bytes = hash.iter().skip(part * 8).take(8);
    bytes.fold(0, |word, byte| word << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    const KEYS: usize = 20_000;

    fn names(n: usize) -> Vec<String> {
        (0..n).map(|n| format!("10.0.0.{n}:6379")).collect()
    }

    fn owners(ring: &Ring) -> Vec<[Option<usize>; 2]> {
        (0..KEYS).map(|key| ring.copies(format!("key-{key}").as_bytes())).collect()
    }

    #[test]
    fn few_or_no_nodes_are_rings_too() {
        assert_eq!(Ring::new::<String>(&[]).copies(b"a"), [None, None]);
        assert_eq!(Ring::new(&names(1)).copies(b"a"), [Some(0), None]);
    }

    #[test]
    fn the_order_of_the_list_does_not_matter() {
        let (forth, mut back) = (names(5), names(5));
        back.reverse();
        let (one, other) = (owners(&Ring::new(&forth)), owners(&Ring::new(&back)));
        for (a, b) in one.iter().zip(&other) {
            assert_eq!(a.map(|n| &forth[n.unwrap()]), b.map(|n| &back[n.unwrap()]));
        }
    }

    #[test]
    fn the_ring_is_the_same_in_every_version() {
        let ring = Ring::new(&names(4));
        let seen: Vec<_> = (0..6).map(|n| ring.copies(&[n]).map(Option::unwrap)).collect();
        assert_eq!(seen, SAME);
    }

    const SAME: [[usize; 2]; 6] = [[3, 1], [2, 0], [2, 0], [2, 0], [1, 3], [2, 0]];

    #[test]
    fn a_new_node_takes_its_share_and_moves_nothing_else() {
        for n in [2, 3, 5, 10] {
            let (before, after) =
                (owners(&Ring::new(&names(n))), owners(&Ring::new(&names(n + 1))));
            let moved: Vec<_> = before.iter().zip(&after).filter(|(a, b)| a[0] != b[0]).collect();
            assert!(moved.iter().all(|(_, now)| now[0] == Some(n)), "only to the new one");
            let (share, fair) = (moved.len() as f64 / KEYS as f64, 1.0 / (n + 1) as f64);
            assert!((share - fair).abs() < 0.2 * fair, "{n}: {share} of the keys, {fair} expected");
            // And each keeps a copy where it was, unless the new node is between two old ones.
            let lost = before.iter().zip(&after).filter(|(a, b)| a.iter().all(|n| !b.contains(n)));
            assert_eq!(lost.count(), 0, "a key whose copies are both elsewhere");
        }
    }

    #[test]
    fn nodes_are_about_equally_full() {
        for n in [3, 4, 6, 10] {
            let mut load = vec![0; n];
            for [first, _] in owners(&Ring::new(&names(n))) {
                load[first.unwrap()] += 1;
            }
            let peak = *load.iter().max().unwrap() as f64 * n as f64 / KEYS as f64;
            assert!(peak < 1.2, "{n} nodes: peak to mean {peak}");
        }
    }

    proptest! {
        #[test]
        fn copies_are_on_different_nodes(n in 2..12_usize, key: Vec<u8>) {
            let [first, second] = Ring::new(&names(n)).copies(&key);
            prop_assert_ne!(first, second);
            prop_assert!(first.is_some_and(|f| f < n) && second.is_some_and(|s| s < n));
        }
    }
}
