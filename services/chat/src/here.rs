//! The sockets of this process: whose they are and what they read.
//!
//! Invariant: a socket reads the rooms that its user is in, whatever changes while it is set up.
//! Changes come from the log, in its order ([`Here::added`], [`Here::removed`]); whoever sets a
//! socket up reads the rooms and joins them only if no change came in between ([`Here::join`]).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use contracts::ids::{RoomId, UserId};
use fanout::Close;

/// The socket's user is not in the room any more.
pub(crate) const REMOVED: Close = Close::new(4403, "you are not in this lobby any more");
/// The room is no more.
pub(crate) const GONE: Close = Close::new(4404, "this lobby was deleted");
/// No log has come that far: it was cut short, or the client has the cursor from elsewhere.
pub(crate) const UNKNOWN_CURSOR: Close = Close::new(4410, "unknown cursor: read anew");
/// One more socket than one account may have.
pub(crate) const TOO_MANY: Close = Close::new(4429, "too many sockets: close another first");

/// What a socket was opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// All chats of its user.
    Chats,
    /// One lobby.
    Lobby(RoomId),
}

/// What is known of a socket.
#[derive(Debug)]
pub(crate) struct Meta {
    pub(crate) user: UserId,
    pub(crate) username: Arc<str>,
    pub(crate) view: View,
    /// The position of the log as of which its rooms were read.
    pub(crate) as_of: AtomicI64,
}

impl Meta {
    pub(crate) fn new(user: UserId, username: &str, view: View) -> Self {
        Self { user, username: username.into(), view, as_of: AtomicI64::new(0) }
    }
}

pub(crate) type Socket = fanout::Socket<RoomId, Meta>;

#[derive(Default)]
struct Seats {
    /// Counts what changed of the rooms this user is in.
    changes: u64,
    sockets: Vec<Socket>,
}

/// Who has a lobby open here: with how many sockets, under which name.
type Present = HashMap<UserId, (usize, Arc<str>)>;

#[derive(Default)]
struct State {
    users: HashMap<UserId, Seats>,
    lobbies: HashMap<RoomId, Present>,
}

/// The register.
#[derive(Default)]
pub(crate) struct Here {
    state: Mutex<State>,
}

impl Here {
    fn state(&self) -> MutexGuard<'_, State> {
        // Entries are put in and taken out whole: a panic leaves nothing torn.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many sockets a user has.
    pub(crate) fn count(&self, user: UserId) -> usize {
        self.state().users.get(&user).map_or(0, |seats| seats.sockets.len())
    }

    /// Takes a socket in; false if its user has `most` already (0: as many as they like). It is
    /// taken out by [`Here::remove`].
    pub(crate) fn add(&self, socket: &Socket, most: usize) -> bool {
        let (mut state, meta) = (self.state(), socket.meta());
        let seats = state.users.entry(meta.user).or_default();
        if most > 0 && seats.sockets.len() >= most {
            return false;
        }
        seats.sockets.push(socket.clone());
        if let View::Lobby(room) = meta.view {
            let present = state.lobbies.entry(room).or_default();
            present.entry(meta.user).or_insert_with(|| (0, meta.username.clone())).0 += 1;
        }
        true
    }

    /// Takes a socket out, if it is in.
    pub(crate) fn remove(&self, socket: &Socket) {
        let (mut state, meta) = (self.state(), socket.meta());
        let Entry::Occupied(mut seats) = state.users.entry(meta.user) else { return };
        let sockets = &mut seats.get_mut().sockets;
        let Some(at) = sockets.iter().position(|other| other.id() == socket.id()) else { return };
        sockets.swap_remove(at);
        if sockets.is_empty() {
            seats.remove();
        }
        let View::Lobby(room) = meta.view else { return };
        let Entry::Occupied(mut present) = state.lobbies.entry(room) else { return };
        if let Entry::Occupied(mut user) = present.get_mut().entry(meta.user) {
            user.get_mut().0 -= 1;
            if user.get().0 == 0 {
                user.remove();
            }
        }
        if present.get().is_empty() {
            present.remove();
        }
    }

    /// How often the rooms of a user have changed; to be asked before they are read.
    pub(crate) fn changes(&self, user: UserId) -> u64 {
        self.state().users.get(&user).map_or(0, |seats| seats.changes)
    }

    /// Lets a socket read rooms that were read when there had been so many changes; false if there
    /// was another since, and they are to be read again.
    pub(crate) fn join(&self, socket: &Socket, rooms: &[RoomId], changes: u64) -> bool {
        let state = self.state();
        let unchanged =
            state.users.get(&socket.meta().user).is_some_and(|seats| seats.changes == changes);
        if unchanged {
            for room in rooms {
                socket.join(*room);
            }
        }
        unchanged
    }

    /// A user is in a chat from now on.
    pub(crate) fn added(&self, user: UserId, room: RoomId) {
        self.change(user, |socket| {
            if socket.meta().view == View::Chats {
                socket.join(room);
            }
        });
    }

    /// A user is no longer in a room, as of a position of the log. A lobby's socket that was opened
    /// after they had joined it again stays.
    pub(crate) fn removed(&self, user: UserId, room: RoomId, position: i64) {
        self.change(user, |socket| match socket.meta().view {
            View::Chats => socket.leave(room),
            View::Lobby(lobby) if lobby == room && position > socket.meta().as_of.load(Relaxed) => {
                socket.close(REMOVED);
            }
            View::Lobby(_) => {}
        });
    }

    fn change(&self, user: UserId, tell: impl Fn(&Socket)) {
        if let Some(seats) = self.state().users.get_mut(&user) {
            seats.changes += 1;
            seats.sockets.iter().for_each(tell);
        }
    }

    /// Who has a lobby open here: how many people, and `most` of them.
    pub(crate) fn present(&self, lobby: RoomId, most: usize) -> (u64, Vec<(UserId, String)>) {
        let state = self.state();
        let Some(present) = state.lobbies.get(&lobby) else { return (0, Vec::new()) };
        let people = present.iter().take(most).map(|(user, (_, name))| (*user, name.to_string()));
        (present.len() as u64, people.collect())
    }

    /// The lobbies that somebody has open here.
    pub(crate) fn lobbies(&self) -> Vec<RoomId> {
        self.state().lobbies.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests;
