//! The connections of one loop, by slot, and when each is due next.
//!
//! Invariant: an occupied slot has at most one entry among the due times, a free one none.

use std::collections::BTreeSet;

/// A number that is never due.
const NEVER: u64 = u64::MAX;

struct Seat<C> {
    who: Option<Box<C>>,
    due: u64,
}

/// Slots that are used again, lowest memory first come.
pub(crate) struct Seats<C> {
    seats: Vec<Seat<C>>,
    free: Vec<u32>,
    due: BTreeSet<(u64, u32)>,
}

impl<C> Seats<C> {
    pub(crate) fn new() -> Self {
        Self { seats: Vec::new(), free: Vec::new(), due: BTreeSet::new() }
    }

    pub(crate) fn insert(&mut self, who: Box<C>) -> u32 {
        let seat = Seat { who: Some(who), due: NEVER };
        if let Some(slot) = self.free.pop() {
            self.seats[slot as usize] = seat;
            return slot;
        }
        self.seats.push(seat);
        (self.seats.len() - 1) as u32
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut C> {
        self.seats.get_mut(slot as usize)?.who.as_deref_mut()
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Option<Box<C>> {
        let who = self.seats.get_mut(slot as usize)?.who.take()?;
        self.set_due(slot, NEVER);
        self.free.push(slot);
        Some(who)
    }

    /// Every slot there is, free ones included.
    pub(crate) fn slots(&self) -> std::ops::Range<u32> {
        0..self.seats.len() as u32
    }

    pub(crate) fn set_due(&mut self, slot: u32, due: u64) {
        let Some(seat) = self.seats.get_mut(slot as usize) else {
            return;
        };
        if seat.due == due {
            return;
        }
        if seat.due != NEVER {
            self.due.remove(&(seat.due, slot));
        }
        if due != NEVER {
            self.due.insert((due, slot));
        }
        seat.due = due;
    }

    /// When the next is due.
    pub(crate) fn first_due(&self) -> Option<u64> {
        self.due.first().map(|(due, _)| *due)
    }

    /// A slot that is due, which is then due no more.
    pub(crate) fn take_due(&mut self, now: u64) -> Option<u32> {
        let (_, slot) = *self.due.first().filter(|(due, _)| *due <= now)?;
        self.set_due(slot, NEVER);
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_come_back_and_times_are_kept_in_order() {
        let mut seats = Seats::new();
        let a = seats.insert(Box::new('a'));
        let b = seats.insert(Box::new('b'));
        seats.set_due(a, 20);
        seats.set_due(b, 10);
        seats.set_due(b, 30);
        assert_eq!(seats.first_due(), Some(20));
        assert_eq!(seats.take_due(19), None);
        assert_eq!(seats.take_due(40), Some(a));
        assert_eq!(seats.remove(b).as_deref(), Some(&'b'));
        assert_eq!(seats.take_due(40), None, "who left is not due");
        assert_eq!(seats.insert(Box::new('c')), b);
        assert_eq!(seats.get_mut(b), Some(&mut 'c'));
    }
}
