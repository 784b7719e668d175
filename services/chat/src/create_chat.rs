//! Making a chat: its members are in it here and in the accounts, or it is nowhere (a two-phase
//! commit). Nobody sees it before that is decided.

use contracts::ids::{RoomId, UserId};
use data::Tx;
use rest::Timestamp;
use saga::two_phase::Participants;
use saga::{Definition, StepError};
use serde::{Deserialize, Serialize};

use crate::accounts::{Accounts, Change, Person};
use crate::error::ChatError;
use crate::model::{Role, RoomKind, What};
use crate::store::{
    NewEntry, NewRoom, add_member, advance, append, discard, erased, insert_room, learn, publish,
};

/// The saga's name.
pub(crate) const NAME: &str = "create_chat";

/// What the saga knows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct State {
    owner: UserId,
    /// The owner first, each once.
    people: Vec<Person>,
    name: String,
    /// Known once it is numbered.
    room: Option<RoomId>,
}

impl State {
    /// `people`: all of them, the owner among them.
    pub(crate) fn new(owner: UserId, mut people: Vec<Person>, name: String) -> Self {
        people.sort_by_key(|person| (person.user != owner, person.user));
        people.dedup_by_key(|person| person.user);
        Self { owner, people, name, room: None }
    }

    /// The chat, at the end, and who is in it.
    pub(crate) fn created(self) -> Option<(RoomId, Vec<UserId>, String)> {
        let members = self.members();
        Some((self.room?, members, self.name))
    }

    fn members(&self) -> Vec<UserId> {
        self.people.iter().map(|person| person.user).collect()
    }

    fn change(&self) -> Change {
        // The first step numbers it, and the engine keeps the order of steps.
        let chat = self.room.unwrap_or(RoomId::new(0));
        Change { chat, asker: self.owner, add: self.members(), remove: Vec::new() }
    }
}

pub(crate) fn definition(accounts: &Accounts) -> Definition<State> {
    let all = Participants::new().with("accounts", State::change, accounts.clone());
    Definition::new(NAME)
        .local("number it", |tx, _, mut state: State| {
            Box::pin(async move {
                let new = NewRoom {
                    kind: RoomKind::Chat,
                    name: state.name.clone(),
                    palette: None,
                    topic: None,
                    invite_code: None,
                    operation: None,
                };
                state.room = Some(insert_room(tx, new, Timestamp::now().0).await?);
                Ok(state)
            })
        })
        .undo_local(|tx, _, state: State| {
            Box::pin(async move {
                match state.room {
                    Some(room) => Ok(discard(tx, room).await?),
                    None => Ok(()),
                }
            })
        })
        .two_phase(all, |tx, _, state| Box::pin(decide(tx, state)))
}

async fn decide(tx: &Tx, state: State) -> Result<State, StepError> {
    let position = advance(tx, 1).await?;
    let Some(room) = state.room else { return Err(ChatError::Changed.into()) };
    if !publish(tx, room).await? {
        return Err(ChatError::Changed.into());
    }
    for person in &state.people {
        join(tx, room, person, state.owner, position).await?;
    }
    let entry = NewEntry::new(room, What::RoomCreated, state.owner, Timestamp::now().0);
    append(tx, position, entry.room(&state.name, &state.members())?).await?;
    Ok(state)
}

async fn join(
    tx: &Tx,
    room: RoomId,
    person: &Person,
    owner: UserId,
    position: i64,
) -> Result<(), StepError> {
    learn(tx, person.user, &person.name).await?;
    if erased(tx, person.user).await? {
        return Err(ChatError::NoSuchUser(person.user).into());
    }
    let role = if person.user == owner { Role::Owner } else { Role::Member };
    add_member(tx, room, person.user, role, position).await?;
    Ok(())
}
