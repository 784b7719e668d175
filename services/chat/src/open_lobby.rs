//! Lobbies: opened by anybody, joined and left. They are chat's alone; the accounts list no
//! lobbies.

use contracts::ids::{PaletteId, RoomId, UserId};
use contracts::palettes::{GetManyRequest, PalettesStub};
use data::Tx;
use mesh::{Channel, idempotent};
use rand::RngExt;
use rand::distr::Alphanumeric;
use rest::{Problem, Timestamp};
use uuid::Uuid;

use crate::accounts::{Accounts, Person};
use crate::change_chat::{close, owned};
use crate::error::ChatError;
use crate::model::{Role, Room, RoomKind, RoomName, What};
use crate::store::{
    NewEntry, NewRoom, Store, add_member, advance, append, erased, insert_room, learn, leave,
    locked_room, made_by, publish, remove_members,
};

/// Letters and digits of an invitation code: more than 100 bits.
const CODE: usize = 20;

/// What a lobby is about.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum About {
    Palette(PaletteId),
    Topic(RoomName),
}

/// Whoever acts, with their name: as it is known here, or as the accounts tell.
///
/// # Errors
/// 401 for an account that is gone, 503 when the accounts cannot be asked.
pub(crate) async fn person(
    store: &Store,
    accounts: &Accounts,
    user: UserId,
) -> Result<Person, Problem> {
    if let Some(name) = store.name_of(user).await? {
        return Ok(Person { user, name });
    }
    accounts.people(&[user]).await?.pop().ok_or_else(Problem::unauthorized)
}

/// Whether there is such a palette.
///
/// # Errors
/// 404, or 503 when the palettes cannot be asked.
pub(crate) async fn check_palette(
    palettes: &PalettesStub<Channel>,
    palette: PaletteId,
) -> Result<(), Problem> {
    let request = GetManyRequest { palette_ids: vec![palette.get()] };
    let reply = palettes.get_many(idempotent(tonic::Request::new(request))).await?.into_inner();
    if reply.palettes.is_empty() {
        return Err(Problem::not_found("there is no such palette"));
    }
    Ok(())
}

/// Opens a lobby, with whoever asks as its owner. The same `operation` finds what it has opened.
///
/// # Errors
/// 401 for an account that is gone.
pub(crate) async fn open(
    store: &Store,
    owner: Person,
    about: About,
    private: bool,
    operation: Option<Uuid>,
) -> Result<Room, ChatError> {
    let (name, palette, topic) = match about {
        About::Palette(palette) => (format!("Palette #{palette} Discussion"), Some(palette), None),
        About::Topic(topic) => {
            let topic = topic.into_string();
            (topic.clone(), None, Some(topic))
        }
    };
    let invite_code = private.then(code);
    let kind = RoomKind::Lobby;
    let new = NewRoom { kind, name, palette, topic, invite_code, operation };
    let write = store.db().write(move |tx: &Tx| {
        Box::pin(async move {
            let (position, now) = (advance(tx, 1).await?, Timestamp::now().0);
            if let Some(operation) = operation
                && let Some(made) = made_by(tx, operation).await?
            {
                let found = locked_room(tx, kind, made, owner.user).await?;
                return Ok(found.ok_or(ChatError::NoRoom(kind))?.room);
            }
            let NewRoom { kind, name, palette, topic, invite_code, .. } = new.clone();
            let id = insert_room(tx, new, now).await?;
            publish(tx, id).await?;
            seat(tx, id, &owner, Role::Owner, position).await?;
            let entry = NewEntry::new(id, What::RoomCreated, owner.user, now);
            append(tx, position, entry.room(&name, &[owner.user])?).await?;
            let private = invite_code.is_some();
            let (last_seq, members) = (0, 1);
            Ok(Room { id, kind, name, palette, topic, private, invite_code, last_seq, members })
        })
    });
    write.await
}

/// Joins a lobby; a private one with its code. Who is in it stays in it.
///
/// # Errors
/// 404 if there is none, or a private one without its code.
pub(crate) async fn join(
    store: &Store,
    lobby: RoomId,
    person: Person,
    code: Option<String>,
) -> Result<Room, ChatError> {
    let kind = RoomKind::Lobby;
    let found = store.seated(kind, lobby, person.user).await?;
    let found = found.ok_or(ChatError::NoRoom(kind))?;
    if found.seat.is_some() {
        return Ok(found.room);
    }
    let write = store.db().write(move |tx: &Tx| {
        Box::pin(async move {
            let position = advance(tx, 1).await?;
            let found = locked_room(tx, kind, lobby, person.user).await?;
            let mut found = found.ok_or(ChatError::NoRoom(kind))?;
            let fits = !found.room.private || found.room.invite_code == code;
            if found.seat.is_none() && !fits {
                return Err(ChatError::NoRoom(kind));
            }
            let role = if found.room.members == 0 { Role::Owner } else { Role::Member };
            if seat(tx, lobby, &person, role, position).await? {
                found.room.members += 1;
                let entry = NewEntry::new(lobby, What::Joined, person.user, Timestamp::now().0);
                append(tx, position, entry.member(person.user)).await?;
            }
            Ok(found.room)
        })
    });
    write.await
}

/// Leaves a lobby. Who is not in it is not in it.
///
/// # Errors
/// 404 if there is none, or a private one that the user is not in.
pub(crate) async fn go(store: &Store, lobby: RoomId, user: UserId) -> Result<Room, ChatError> {
    let kind = RoomKind::Lobby;
    let write = store.db().write(move |tx: &Tx| {
        Box::pin(async move {
            let position = advance(tx, 1).await?;
            let found = locked_room(tx, kind, lobby, user).await?.ok_or(ChatError::NoRoom(kind))?;
            if found.seat.is_none() && found.room.private {
                return Err(ChatError::NoRoom(kind));
            }
            let mut room = found.room;
            if leave(tx, lobby, user, user, position, Timestamp::now().0).await? {
                room.members -= 1;
            }
            Ok(room)
        })
    });
    write.await
}

/// Deletes a lobby: its owner may, and staff.
///
/// # Errors
/// 403 for others, 404 if there is none for them.
pub(crate) async fn delete(
    store: &Store,
    lobby: RoomId,
    user: UserId,
    staff: bool,
) -> Result<(), ChatError> {
    let kind = RoomKind::Lobby;
    let write = store.db().write(move |tx: &Tx| {
        Box::pin(async move {
            let position = advance(tx, 1).await?;
            let found = locked_room(tx, kind, lobby, user).await?.ok_or(ChatError::NoRoom(kind))?;
            if !staff {
                if found.seat.is_none() && found.room.private {
                    return Err(ChatError::NoRoom(kind));
                }
                owned(&found)?;
            }
            // Not told with the entry: a lobby may have any number of them.
            remove_members(tx, lobby, position).await?;
            close(tx, &found, user, &[], position, Timestamp::now().0).await
        })
    });
    write.await
}

async fn seat(
    tx: &Tx,
    lobby: RoomId,
    person: &Person,
    role: Role,
    position: i64,
) -> Result<bool, ChatError> {
    learn(tx, person.user, &person.name).await?;
    if erased(tx, person.user).await? {
        return Err(ChatError::Erased);
    }
    Ok(add_member(tx, lobby, person.user, role, position).await?)
}

fn code() -> String {
    rand::rng().sample_iter(Alphanumeric).take(CODE).map(char::from).collect()
}
