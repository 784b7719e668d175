//! Rooms.

use contracts::ids::{PaletteId, RoomId, UserId};
use data::{DataError, FromQueryResult, Sql, Tx, sea_orm, values};

use super::{STILL, Seat, Seated, Store, there};
use crate::model::{Role, Room, RoomKind};

const COLUMNS: &str = "r.id, r.kind, r.name, r.palette_id, r.topic, r.private, r.invite_code, \
                       r.last_seq, r.members, m.role, m.read_seq";
/// A room with the seat of `$1`, if they have one; `$2` is [`STILL`].
const SEATED: &str = "FROM rooms r LEFT JOIN memberships m ON m.room_id = r.id AND m.user_id = $1 \
                      AND m.to_position = $2 WHERE r.visible AND r.deleted_at IS NULL";
/// Rows removed in one transaction.
const BATCH: i64 = 500;

#[derive(FromQueryResult)]
struct Row {
    id: i64,
    kind: String,
    name: String,
    palette_id: Option<i64>,
    topic: Option<String>,
    private: bool,
    invite_code: Option<String>,
    last_seq: i64,
    members: i64,
    role: Option<String>,
    read_seq: Option<i64>,
}

impl TryFrom<Row> for Seated {
    type Error = DataError;

    fn try_from(row: Row) -> Result<Self, DataError> {
        let seat = row.role.map(|role| Seat {
            role: Role::parse(&role),
            read_seq: row.read_seq.unwrap_or_default(),
        });
        let room = Room {
            id: RoomId::new(row.id),
            kind: RoomKind::parse(&row.kind)?,
            name: row.name,
            palette: row.palette_id.map(PaletteId::new),
            topic: row.topic,
            private: row.private,
            invite_code: row.invite_code,
            last_seq: row.last_seq,
            members: row.members,
        };
        Ok(Self { room, seat })
    }
}

/// What a room begins with.
#[derive(Clone, Debug)]
pub(crate) struct NewRoom {
    pub(crate) kind: RoomKind,
    pub(crate) name: String,
    pub(crate) palette: Option<PaletteId>,
    pub(crate) topic: Option<String>,
    pub(crate) invite_code: Option<String>,
}

/// Inserts a room that nobody sees yet.
pub(crate) async fn insert_room(tx: &Tx, new: NewRoom, now: i64) -> Result<RoomId, DataError> {
    let sql = "INSERT INTO rooms (kind, name, palette_id, topic, private, invite_code, last_seq, \
               members, created_at, visible) VALUES ($1, $2, $3, $4, $5, $6, 0, 0, $7, FALSE) \
               RETURNING id";
    let values = values![
        new.kind.name(),
        new.name,
        new.palette.map(PaletteId::get),
        new.topic,
        new.kind == RoomKind::Chat || new.invite_code.is_some(),
        new.invite_code,
        now,
    ];
    let (id,): (i64,) = there(tx.row(sql, values).await?)?;
    Ok(RoomId::new(id))
}

/// Lets a room be seen; false if it is not there any more.
pub(crate) async fn publish(tx: &Tx, room: RoomId) -> Result<bool, DataError> {
    let sql = "UPDATE rooms SET visible = TRUE WHERE id = $1";
    Ok(tx.run(sql, values![room.get()]).await? == 1)
}

/// Takes a room away that was never seen.
pub(crate) async fn discard(tx: &Tx, room: RoomId) -> Result<(), DataError> {
    let sql = "DELETE FROM rooms WHERE id = $1 AND NOT visible";
    tx.run(sql, values![room.get()]).await.map(drop)
}

/// Renames a room.
pub(crate) async fn rename(tx: &Tx, room: RoomId, name: &str) -> Result<(), DataError> {
    tx.run("UPDATE rooms SET name = $1 WHERE id = $2", values![name, room.get()]).await.map(drop)
}

/// Deletes a room: from here on it is there for nobody. What was said in it is removed later.
pub(crate) async fn hide(tx: &Tx, room: RoomId, now: i64) -> Result<(), DataError> {
    let sql = "UPDATE rooms SET deleted_at = $1, invite_code = NULL WHERE id = $2";
    tx.run(sql, values![now, room.get()]).await.map(drop)
}

pub(super) async fn seated(
    db: &impl Sql,
    kind: RoomKind,
    room: RoomId,
    user: UserId,
) -> Result<Option<Seated>, DataError> {
    let sql = format!("SELECT {COLUMNS} {SEATED} AND r.id = $3 AND r.kind = $4");
    let values = values![user.get(), STILL, room.get(), kind.name()];
    db.one::<Row>(&sql, values).await?.map(Seated::try_from).transpose()
}

/// A room with the user's seat, as it is under the lock of the head.
pub(crate) async fn locked_room(
    tx: &Tx,
    kind: RoomKind,
    room: RoomId,
    user: UserId,
) -> Result<Option<Seated>, DataError> {
    seated(tx, kind, room, user).await
}

/// Which rooms to list.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Listed {
    /// The chats that the user is in.
    Chats,
    /// The lobbies that are public or that the user is in; those about one palette, if given.
    Lobbies(Option<PaletteId>),
}

impl Store {
    /// Rooms as a user sees them, newest first: at most `limit`, older than `before`.
    pub(crate) async fn rooms(
        &self,
        user: Option<UserId>,
        listed: Listed,
        before: Option<RoomId>,
        limit: u64,
    ) -> Result<Vec<Seated>, DataError> {
        let user = user.map_or(0, UserId::get);
        let before = before.map_or(i64::MAX, RoomId::get);
        let mut values = values![user, STILL, before, limit];
        let which = match listed {
            Listed::Chats => "r.kind = 'chat' AND m.user_id IS NOT NULL",
            Listed::Lobbies(palette) => {
                let mine = "r.kind = 'lobby' AND (m.user_id IS NOT NULL OR NOT r.private)";
                match palette {
                    None => mine,
                    Some(palette) => {
                        values.push(palette.get().into());
                        "r.kind = 'lobby' AND (m.user_id IS NOT NULL OR NOT r.private) \
                         AND r.palette_id = $5"
                    }
                }
            }
        };
        // From the user's own memberships where nothing else can be seen.
        let from = match listed {
            Listed::Chats => SEATED.replace("LEFT JOIN", "JOIN"),
            Listed::Lobbies(_) => SEATED.to_owned(),
        };
        let sql = format!(
            "SELECT {COLUMNS} {from} AND {which} AND r.id < $3 ORDER BY r.id DESC LIMIT $4"
        );
        let rows: Vec<Row> = self.db.read_primary().all(&sql, values).await?;
        rows.into_iter().map(Seated::try_from).collect()
    }

    /// How often a user was called by name in rooms since they last read there, by room.
    pub(crate) async fn unread_mentions(
        &self,
        user: UserId,
    ) -> Result<Vec<(RoomId, i64)>, DataError> {
        let sql = "SELECT n.room_id, COUNT(*) FROM mentions n JOIN memberships m \
                   ON m.room_id = n.room_id AND m.user_id = n.user_id AND m.to_position = $2 \
                   WHERE n.user_id = $1 AND n.seq > m.read_seq GROUP BY n.room_id";
        let rows: Vec<(i64, i64)> =
            self.db.read_primary().rows(sql, values![user.get(), STILL]).await?;
        Ok(rows.into_iter().map(|(room, count)| (RoomId::new(room), count)).collect())
    }
}

/// Removes some of what was said in rooms that are deleted, and rooms that were never seen and
/// were begun before `abandoned`; true if there may be more.
pub(crate) async fn prune(tx: &Tx, abandoned: i64) -> Result<bool, DataError> {
    // The entry that tells of the deletion stays, for those who come back later.
    let said = "SELECT l.id FROM log l JOIN rooms r ON r.id = l.room_id \
                WHERE r.deleted_at IS NOT NULL AND l.kind <> 'deleted' LIMIT $1";
    let gone: Vec<(i64,)> = tx.rows(said, values![BATCH]).await?;
    for (id,) in &gone {
        tx.run("DELETE FROM mentions WHERE message_id = $1", values![*id]).await?;
        tx.run("DELETE FROM reactions WHERE message_id = $1", values![*id]).await?;
        tx.run("DELETE FROM log WHERE id = $1", values![*id]).await?;
    }
    let sql = "DELETE FROM rooms WHERE NOT visible AND created_at < $1";
    tx.run(sql, values![abandoned]).await?;
    Ok(gone.len() as i64 == BATCH)
}
