//! What invalidates what: tags with a generation each.
//!
//! An entry remembers the generations of its tags from before its call; to invalidate is to
//! advance one. Tags share a fixed number of places, so that the state is bounded; two that fall
//! together are invalidated together, which costs a call and is never wrong.

use std::sync::atomic::{AtomicU32, Ordering};

/// Places for tags.
const PLACES: usize = 4096;

/// The generations of all tags.
pub(crate) struct Tags(Box<[AtomicU32]>);

/// The generations of some tags at one moment.
#[derive(Debug, Default)]
pub(crate) struct Stamp(Box<[(u16, u32)]>);

impl Tags {
    pub(crate) fn new() -> Self {
        Self((0..PLACES).map(|_| AtomicU32::new(0)).collect())
    }

    pub(crate) fn stamp<'a>(&self, tags: impl IntoIterator<Item = &'a str>) -> Stamp {
        let stamp = tags.into_iter().map(|tag| {
            let place = place(tag);
            (place, self.0[usize::from(place)].load(Ordering::Acquire))
        });
        Stamp(stamp.collect())
    }

    pub(crate) fn is_current(&self, stamp: &Stamp) -> bool {
        stamp
            .0
            .iter()
            .all(|(place, then)| self.0[usize::from(*place)].load(Ordering::Acquire) == *then)
    }

    pub(crate) fn advance(&self, tag: &str) {
        self.0[usize::from(place(tag))].fetch_add(1, Ordering::AcqRel);
    }
}

/// FNV-1a, <http://www.isthe.com/chongo/tech/comp/fnv/>, folded to [`PLACES`].
fn place(tag: &str) -> u16 {
    let hash = tag
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    ((hash >> 12) ^ hash) as u16 & (PLACES as u16 - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advancing_a_tag_outdates_its_stamps_and_no_others() {
        let tags = Tags::new();
        let (seven, both, none) =
            (tags.stamp(["palette:7"]), tags.stamp(["popular", "palette:7"]), tags.stamp([]));
        tags.advance("popular");
        assert!(tags.is_current(&seven) && !tags.is_current(&both));
        tags.advance("palette:7");
        assert!(!tags.is_current(&seven) && tags.is_current(&none));
        assert!(tags.is_current(&tags.stamp(["palette:7"])));
    }

    #[test]
    fn tags_spread_over_the_places() {
        let places: std::collections::HashSet<_> =
            (0..4096).map(|id| place(&format!("palette:{id}"))).collect();
        assert!(places.len() > 2000, "{}", places.len());
    }
}
