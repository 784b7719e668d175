//! Whether all members of a room heard the same in the same order, each once.

/// What one room has heard, as the member who is furthest heard it.
#[derive(Default)]
pub(super) struct Order {
    heard: Vec<u64>,
    /// The last number of each of the room's speakers
    newest: Vec<(u16, u32)>,
}

/// What the next thing a member heard is, beside what the room heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// What comes next
    Next,
    /// Something later: the member missed what lies between
    Later,
    /// What was heard before
    Again,
    /// Something that nobody heard there
    Elsewhere,
}

impl Order {
    /// A member at `position` heard a message; the position moves with it.
    pub(super) fn hear(&mut self, position: &mut u32, speaker: u16, number: u32) -> Heard {
        let id = u64::from(speaker) << 32 | u64::from(number);
        let place = *position as usize;
        let expected = self.heard.get(place).copied();
        if expected.is_none() && self.is_new(speaker, number) {
            self.heard.push(id);
            *position += 1;
            return Heard::Next;
        }
        if expected == Some(id) {
            *position += 1;
            return Heard::Next;
        }
        // Rare, so that looking through everything does no harm.
        match self.heard.iter().position(|heard| *heard == id) {
            Some(found) if found < place => Heard::Again,
            Some(found) => {
                *position = u32::try_from(found + 1).unwrap_or(u32::MAX);
                Heard::Later
            }
            None => Heard::Elsewhere,
        }
    }

    /// How many different messages were heard.
    pub(super) fn len(&self) -> usize {
        self.heard.len()
    }

    /// Whether one of two rooms' orders begins the other: the same room, seen by two threads.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        self.heard.iter().zip(&other.heard).all(|(mine, theirs)| mine == theirs)
    }

    fn is_new(&mut self, speaker: u16, number: u32) -> bool {
        match self.newest.iter_mut().find(|(who, _)| *who == speaker) {
            Some((_, newest)) if number > *newest => {
                *newest = number;
                true
            }
            Some(_) => false,
            None => {
                self.newest.push((speaker, number));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_told() {
        let mut order = Order::default();
        let (mut first, mut second) = (0, 0);
        for number in 0..4 {
            assert_eq!(order.hear(&mut first, 1, number), Heard::Next);
        }
        assert_eq!(order.hear(&mut first, 1, 2), Heard::Again);
        assert_eq!(order.hear(&mut second, 1, 0), Heard::Next);
        assert_eq!(order.hear(&mut second, 1, 2), Heard::Later);
        assert_eq!(order.hear(&mut second, 1, 1), Heard::Again);
        assert_eq!(order.hear(&mut second, 2, 0), Heard::Elsewhere);
        assert_eq!(order.hear(&mut second, 1, 3), Heard::Next);
        assert_eq!(order.hear(&mut second, 2, 0), Heard::Next);
        assert_eq!((first, second, order.len()), (4, 5, 5));
    }

    #[test]
    fn two_threads_agree_as_far_as_both_heard() {
        let order = |numbers: &[u32]| {
            let mut order = Order::default();
            let mut position = 0;
            for number in numbers {
                // A speaker each, so that any order is new.
                order.hear(&mut position, *number as u16, *number);
            }
            order
        };
        assert!(order(&[1, 2, 3]).agrees(&order(&[1, 2])));
        assert!(!order(&[1, 3, 2]).agrees(&order(&[1, 2])));
    }
}
