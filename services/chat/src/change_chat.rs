//! Changing a chat: its name, and, in a two-phase commit with the accounts, who is in it; to the
//! last one, when it is deleted.

use contracts::ids::{RoomId, UserId};
use data::Tx;
use rest::{Problem, Timestamp};
use saga::two_phase::Participants;
use saga::{Definition, Engine};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::accounts::{Accounts, Change, Person};
use crate::error::ChatError;
use crate::model::{Role, RoomKind, RoomName, What};
use crate::read_room::seated;
use crate::store::{
    NewEntry, Seated, Store, add_member, advance, append, erased, hide, learn, leave, locked_room,
    members_of, remove_members, rename,
};

/// The saga's name.
pub(crate) const NAME: &str = "change_chat";
/// How often a deletion is tried anew because the members changed in the meantime.
const TRIES: usize = 5;

/// What is to become of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Wanted {
    /// One more member; at most so many in all.
    Add(Person, usize),
    /// One less.
    Remove(UserId),
    /// None any more: these are all.
    Delete(Vec<UserId>),
}

/// What the saga knows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) room: RoomId,
    pub(crate) asker: UserId,
    pub(crate) wanted: Wanted,
}

impl State {
    fn change(&self) -> Change {
        let (add, remove) = match &self.wanted {
            Wanted::Add(person, _) => (vec![person.user], Vec::new()),
            Wanted::Remove(user) => (Vec::new(), vec![*user]),
            Wanted::Delete(members) => (Vec::new(), members.clone()),
        };
        Change { chat: self.room, asker: self.asker, add, remove }
    }
}

pub(crate) fn definition(accounts: &Accounts) -> Definition<State> {
    let all = Participants::new().with("accounts", State::change, accounts.clone());
    Definition::new(NAME).two_phase(all, |tx, _, state: State| {
        Box::pin(async move {
            decide(tx, &state).await?;
            Ok(state)
        })
    })
}

async fn decide(tx: &Tx, state: &State) -> Result<(), ChatError> {
    let State { room, asker, wanted } = state;
    let (room, asker, now) = (*room, *asker, Timestamp::now().0);
    let position = advance(tx, 2).await?;
    let found = seated(locked_room(tx, RoomKind::Chat, room, asker).await?, RoomKind::Chat)?;
    match wanted {
        Wanted::Add(person, most) => {
            let now_in = members_of(tx, room).await?;
            if now_in.contains(&person.user) {
                return Ok(());
            }
            if now_in.len() >= *most {
                return Err(ChatError::Full(*most));
            }
            learn(tx, person.user, &person.name).await?;
            if erased(tx, person.user).await? {
                return Err(ChatError::NoSuchUser(person.user));
            }
            add_member(tx, room, person.user, Role::Member, position).await?;
            let entry = NewEntry::new(room, What::Joined, asker, now).member(person.user);
            append(tx, position, entry).await?;
        }
        Wanted::Remove(user) => {
            may_remove(&found, asker, *user)?;
            if !leave(tx, room, *user, asker, position, now).await? {
                return Err(ChatError::NoMember);
            }
            if found.room.members == 1 {
                close(tx, &found, asker, &[], position + 1, now).await?;
            }
        }
        Wanted::Delete(members) => {
            owned(&found)?;
            let (mut all, mut meant) = (members_of(tx, room).await?, members.clone());
            all.sort_unstable();
            meant.sort_unstable();
            if all != meant {
                return Err(ChatError::Changed);
            }
            remove_members(tx, room, position).await?;
            close(tx, &found, asker, members, position, now).await?;
        }
    }
    Ok(())
}

/// Ends a room that has no members any more.
pub(crate) async fn close(
    tx: &Tx,
    found: &Seated,
    by: UserId,
    members: &[UserId],
    position: i64,
    now: i64,
) -> Result<(), ChatError> {
    let room = &found.room;
    hide(tx, room.id, now).await?;
    let entry = NewEntry::new(room.id, What::RoomDeleted, by, now).room(&room.name, members)?;
    Ok(append(tx, position, entry).await?)
}

/// Everybody may go; only the owner may send others away.
pub(crate) fn may_remove(found: &Seated, asker: UserId, user: UserId) -> Result<(), ChatError> {
    if asker == user { Ok(()) } else { owned(found) }
}

/// Only the owner may do this.
pub(crate) fn owned(found: &Seated) -> Result<(), ChatError> {
    match &found.seat {
        Some(seat) if seat.role == Role::Owner => Ok(()),
        _ => Err(ChatError::NotOwner(found.room.kind)),
    }
}

/// Renames a chat of `asker`'s.
pub(crate) async fn rename_chat(
    store: &Store,
    room: RoomId,
    asker: UserId,
    name: RoomName,
) -> Result<(), ChatError> {
    let name = name.into_string();
    let write = store.db().write(move |tx: &Tx| {
        Box::pin(async move {
            let position = advance(tx, 1).await?;
            let found = locked_room(tx, RoomKind::Chat, room, asker).await?;
            owned(&seated(found, RoomKind::Chat)?)?;
            rename(tx, room, &name).await?;
            let now = Timestamp::now().0;
            append(tx, position, NewEntry::new(room, What::RoomUpdated, asker, now).text(name))
                .await?;
            Ok(())
        })
    });
    write.await
}

/// Deletes a chat of `asker`'s, whoever comes and goes meanwhile.
pub(crate) async fn delete_chat(
    store: &Store,
    sagas: &Engine,
    room: RoomId,
    asker: UserId,
) -> Result<(), Problem> {
    let mut tries = 0;
    loop {
        let found = store.seated(RoomKind::Chat, room, asker).await?;
        owned(&seated(found, RoomKind::Chat)?)?;
        let members = members_of(&store.db().read_primary(), room).await?;
        let state = State { room, asker, wanted: Wanted::Delete(members) };
        tries += 1;
        match crate::both_agree(sagas, NAME, Uuid::new_v4(), state).await {
            Err(problem) if problem == ChatError::Changed.into() && tries < TRIES => {}
            result => return result.map(drop),
        }
    }
}
