//! Rooms, what is said in them, and the rules that need no database.

mod entry;
mod room;
mod text;

pub(crate) use entry::{Entry, What};
pub(crate) use room::{Role, Room, RoomKind};
pub(crate) use text::{ClientId, Emoji, RoomName, mentioned, message as check_message};
