//! Who sits where.

use std::net::TcpStream;

/// The rooms, and who of their members speaks.
#[derive(Clone, Copy, Debug)]
pub struct Hall {
    /// Rooms
    pub rooms: usize,
    /// Members of each
    pub members: usize,
    /// Speakers in all, spread evenly over the rooms and their members
    pub speakers: usize,
    /// Threads that share the members
    pub threads: usize,
}

impl Hall {
    /// Members of all rooms.
    pub fn seats(self) -> usize {
        self.rooms * self.members
    }

    /// The room of a seat, and which of its members that is.
    pub(super) fn place(self, index: usize) -> (usize, usize) {
        (index / self.members, index % self.members)
    }

    /// Where a speaker sits.
    pub(super) fn speaks_at(self, speaker: usize) -> usize {
        let each = self.speakers.div_ceil(self.rooms).max(1);
        let member = speaker / self.rooms * self.members / each;
        speaker % self.rooms * self.members + member
    }
}

/// One member of one room.
pub(super) struct Seat {
    pub(super) room: usize,
    /// Which speaker sits here
    pub(super) speaker: Option<u16>,
    pub(super) stream: Option<TcpStream>,
    /// How far in the room's order it has come
    pub(super) position: u32,
    /// How many different messages it heard
    pub(super) heard: u32,
    /// The last number heard, where messages have one
    pub(super) last: u64,
    /// Where the last frame ended, had its stamp and had its number
    pub(super) hints: [u16; 3],
    /// The beginning of a piece whose rest has not come
    pub(super) pending: Vec<u8>,
    /// What the socket would not take yet
    pub(super) unsent: Vec<u8>,
}

impl Seat {
    pub(super) fn new(room: usize) -> Self {
        Self {
            room,
            speaker: None,
            stream: None,
            position: 0,
            heard: 0,
            last: 0,
            hints: [0; 3],
            pending: Vec::new(),
            unsent: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn speakers_have_seats_of_their_own() {
        for (rooms, members, speakers) in [(1, 1000, 8), (100, 10, 100), (3, 4, 7), (5, 2, 10)] {
            let hall = Hall { rooms, members, speakers, threads: 1 };
            let seats: HashSet<_> = (0..speakers).map(|speaker| hall.speaks_at(speaker)).collect();
            assert_eq!(seats.len(), speakers);
            assert!(seats.iter().all(|seat| *seat < hall.seats()));
        }
    }
}
