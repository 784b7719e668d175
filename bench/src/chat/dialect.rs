//! What the same work is called by each of those compared.

use std::io;
use std::net::TcpStream;

/// How one server's clients join, say and hear.
pub trait Dialect: Send + Sync {
    /// Makes a new connection a member of a room, with nothing heard yet or, where the dialect
    /// can, with everything after a number. Returns what was read beyond that.
    fn join(
        &self,
        stream: &mut TcpStream,
        room: usize,
        member: usize,
        after: Option<u64>,
    ) -> io::Result<Vec<u8>>;

    /// Appends what says `text` in a room.
    fn say(&self, room: usize, text: &str, out: &mut Vec<u8>);

    /// The first whole piece of what was received, and its length; `hint` is kept for each member
    /// between calls.
    fn first<'a>(&self, bytes: &'a [u8], hint: &mut u16) -> Option<(Piece<'a>, usize)>;

    /// Whether messages carry their number in the room.
    fn numbers(&self) -> bool {
        false
    }
}

/// What a server says.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A message, if it has a stamp
    Said(&'a [u8]),
    /// Something that counts as a message and has no stamp
    Counted,
    /// Something to answer with this
    Asked(Vec<u8>),
    /// The connection's end
    Closed,
    /// Nothing that matters
    Other,
}
