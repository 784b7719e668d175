//! The logical slots over which items are spread.
//!
//! There are [`SLOTS`], always: an item's slot follows from the item alone, and what moves between
//! databases is a slot. The hash is multiplicative (Knuth, *The Art of Computer Programming*,
//! vol. 3, 6.4: Fibonacci hashing) and small enough to be written in the SQL of both engines, so
//! that a database can tell the slot of a row without keeping it.
//!
//! Invariant: [`Slot::of`] and [`SLOT_SQL`] tell the same.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::Item;

/// How many slots there are.
pub const SLOTS: u16 = 256;

/// 2³² divided by the golden ratio, odd.
const GOLDEN: i64 = 2_654_435_761;
/// Ids count modulo this, so that no product overflows.
const IDS: i64 = 1 << 29;

/// The slot of a row with the columns `kind` and `item_id` of a table called `t`.
pub(crate) const SLOT_SQL: &str = "((ABS(t.item_id % 536870912) * 4 + t.kind % 4) \
     * 2654435761 % 4294967296 / 16777216)";

/// One of the [`SLOTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u8);

impl Slot {
    /// The slot of an item.
    #[must_use]
    pub(crate) const fn of(item: Item) -> Self {
        let key = (item.id % IDS).abs() * 4 + (item.kind.number() % 4) as i64;
        // The upper eight of the lower 32 bits.
        Self(((key * GOLDEN % (1 << 32)) >> 24) as u8)
    }

    /// Every slot.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).map(Self)
    }

    /// Its number, below [`SLOTS`].
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Its place in a list of all slots.
    #[must_use]
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

impl From<u8> for Slot {
    fn from(number: u8) -> Self {
        Self(number)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Some of the slots, written as `0-84,200`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotSet(BTreeSet<u8>);

/// A text that names no slots.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no slots; write numbers below {SLOTS} and ranges, as in 0-84,200")]
pub struct BadSlots(String);

impl SlotSet {
    /// Whether a slot is among them.
    #[must_use]
    pub fn contains(&self, slot: Slot) -> bool {
        self.0.contains(&slot.0)
    }

    /// How many they are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// From the lowest to the highest.
    pub fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        self.0.iter().copied().map(Slot)
    }
}

impl FromIterator<Slot> for SlotSet {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> Self {
        Self(slots.into_iter().map(|slot| slot.0).collect())
    }
}

impl FromStr for SlotSet {
    type Err = BadSlots;

    fn from_str(text: &str) -> Result<Self, BadSlots> {
        let bad = || BadSlots(text.to_owned());
        let mut slots = BTreeSet::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.trim().parse::<u8>().map_err(|_| bad());
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(bad());
            }
            slots.extend(first..=last);
        }
        Ok(Self(slots))
    }
}

impl fmt::Display for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.iter().copied().peekable();
        let mut comma = "";
        while let Some(first) = rest.next() {
            let mut last = first;
            while let Some(next) = rest.next_if(|next| Some(*next) == last.checked_add(1)) {
                last = next;
            }
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}-{last}")?;
            }
            comma = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use contracts::Kind;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_in_a_row_fill_the_slots_evenly() {
        for kind in Kind::ALL {
            let mut slots = [0_u32; SLOTS as usize];
            for id in 1..=100_000 {
                slots[Slot::of(Item { kind, id }).index()] += 1;
            }
            let (least, most) = (slots.iter().min().unwrap(), slots.iter().max().unwrap());
            assert!(*least > 380 && *most < 400, "{least} to {most}");
        }
    }

    #[test]
    fn a_slot_is_for_ever() {
        let slot = |id| Slot::of(Item { kind: Kind::Palette, id }).number();
        assert_eq!([slot(1), slot(2), slot(3), slot(1 << 40)], [23, 143, 8, 158]);
    }

    #[test]
    fn slots_are_written_as_ranges() {
        for text in ["", "0", "0-255", "0-84,200", "1,3,5-6"] {
            assert_eq!(text.parse::<SlotSet>().unwrap().to_string(), text);
        }
        assert_eq!("6, 5,0-1,1-2".parse::<SlotSet>().unwrap().to_string(), "0-2,5-6");
        for bad in ["256", "-1", "5-3", "a", "1-2-3"] {
            assert!(bad.parse::<SlotSet>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_id_has_a_slot(id: i64) {
            for kind in Kind::ALL {
                let slot = Slot::of(Item { kind, id });
                prop_assert!(slot.index() < usize::from(SLOTS));
            }
        }
    }
}
