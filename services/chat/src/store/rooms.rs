//! Rooms.

use contracts::ids::{PaletteId, RoomId, UserId};
use data::{DataError, FromQueryResult, Sql, Tx, sea_orm, values};
use uuid::Uuid;

use super::{STILL, Seat, Seated, Store, advance, there};
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
    /// The request that makes it.
    pub(crate) operation: Option<Uuid>,
}

/// Inserts a room that nobody sees yet.
pub(crate) async fn insert_room(tx: &Tx, new: NewRoom, now: i64) -> Result<RoomId, DataError> {
    let sql = "INSERT INTO rooms (kind, name, palette_id, topic, private, invite_code, last_seq, \
               members, created_at, visible, emptied, operation) \
               VALUES ($1, $2, $3, $4, $5, $6, 0, 0, $7, FALSE, FALSE, $8) RETURNING id";
    let values = values![
        new.kind.name(),
        new.name,
        new.palette.map(PaletteId::get),
        new.topic,
        new.kind == RoomKind::Chat || new.invite_code.is_some(),
        new.invite_code,
        now,
        new.operation.map(|operation| operation.to_string()),
    ];
    let (id,): (i64,) = there(tx.row(sql, values).await?)?;
    Ok(RoomId::new(id))
}

/// The room that a request has made before.
pub(crate) async fn made_by(tx: &Tx, operation: Uuid) -> Result<Option<RoomId>, DataError> {
    let sql = "SELECT id FROM rooms WHERE operation = $1";
    let row: Option<(i64,)> = tx.row(sql, values![operation.to_string()]).await?;
    Ok(row.map(|(id,)| RoomId::new(id)))
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
        let before = before.map_or(i64::MAX, RoomId::get);
        let palette = match listed {
            Listed::Chats => return self.own_rooms(user, "chat", None, before, limit).await,
            Listed::Lobbies(palette) => palette,
        };
        // Each by an index of its own: there may be many more rooms that are neither.
        let mut found = self.own_rooms(user, "lobby", palette, before, limit).await?;
        found.extend(self.public_lobbies(user, palette, before, limit).await?);
        found.sort_unstable_by_key(|seated| std::cmp::Reverse(seated.room.id));
        found.dedup_by_key(|seated| seated.room.id);
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }

    async fn own_rooms(
        &self,
        user: Option<UserId>,
        kind: &str,
        palette: Option<PaletteId>,
        before: i64,
        limit: u64,
    ) -> Result<Vec<Seated>, DataError> {
        let Some(user) = user else { return Ok(Vec::new()) };
        let sql = format!(
            "SELECT {COLUMNS} FROM memberships m JOIN rooms r ON r.id = m.room_id \
             WHERE m.user_id = $1 AND m.to_position = $2 AND m.room_id < $3 AND r.kind = $5 \
             AND r.visible AND r.deleted_at IS NULL AND ($6 = 0 OR r.palette_id = $6) \
             ORDER BY m.room_id DESC LIMIT $4"
        );
        let palette = palette.map_or(0, PaletteId::get);
        let values = values![user.get(), STILL, before, limit, kind, palette];
        let rows: Vec<Row> = self.db.read_primary().all(&sql, values).await?;
        rows.into_iter().map(Seated::try_from).collect()
    }

    async fn public_lobbies(
        &self,
        user: Option<UserId>,
        palette: Option<PaletteId>,
        before: i64,
        limit: u64,
    ) -> Result<Vec<Seated>, DataError> {
        let mut values = values![user.map_or(0, UserId::get), STILL, before, limit];
        let of_palette = palette.map_or("", |palette| {
            values.push(palette.get().into());
            "AND r.palette_id = $5"
        });
        let sql = format!(
            "SELECT {COLUMNS} {SEATED} AND r.kind = 'lobby' AND NOT r.private AND r.id < $3 \
             {of_palette} ORDER BY r.id DESC LIMIT $4"
        );
        let rows: Vec<Row> = self.db.read_primary().all(&sql, values).await?;
        rows.into_iter().map(Seated::try_from).collect()
    }

    /// How often a user was called by name in rooms since they last read there, by room.
    pub(crate) async fn unread_mentions(
        &self,
        user: UserId,
    ) -> Result<Vec<(RoomId, i64)>, DataError> {
        // From the memberships, so that of the mentions only those that are unread are looked at.
        let sql = "SELECT n.room_id, COUNT(*) FROM memberships m CROSS JOIN mentions n \
                   WHERE m.user_id = $1 AND m.to_position = $2 AND n.user_id = $1 \
                   AND n.room_id = m.room_id AND n.seq > m.read_seq GROUP BY n.room_id";
        let rows: Vec<(i64, i64)> =
            self.db.read_primary().rows(sql, values![user.get(), STILL]).await?;
        Ok(rows.into_iter().map(|(room, count)| (RoomId::new(room), count)).collect())
    }
}

/// Rooms that housekeeping has something to do with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Litter {
    deleted: Vec<(i64,)>,
    abandoned: Vec<(i64,)>,
}

impl Store {
    /// Some of the rooms that are deleted and not empty yet, and of those that were never seen and
    /// were begun before `abandoned`. None: there are no more.
    pub(crate) async fn litter(&self, abandoned: i64) -> Result<Option<Litter>, DataError> {
        let db = self.db.read_primary();
        let sql = "SELECT id FROM rooms WHERE deleted_at IS NOT NULL AND NOT emptied \
                   ORDER BY id LIMIT 1";
        let deleted: Vec<(i64,)> = db.rows(sql, values![]).await?;
        let sql = "SELECT id FROM rooms WHERE NOT visible AND created_at < $1 \
                   ORDER BY created_at LIMIT $2";
        let abandoned: Vec<(i64,)> = db.rows(sql, values![abandoned, BATCH]).await?;
        let none = deleted.is_empty() && abandoned.is_empty();
        Ok((!none).then_some(Litter { deleted, abandoned }))
    }
}

/// Removes some of what was found: of what was said in a room one batch at a time. That somebody
/// left, and that it was deleted, stays for those who come back later.
pub(crate) async fn remove_litter(tx: &Tx, litter: Litter) -> Result<(), DataError> {
    advance(tx, 0).await?;
    for (room,) in litter.deleted {
        let sql = "SELECT id FROM log WHERE room_id = $1 AND kind NOT IN ('deleted', 'left') \
                   ORDER BY id LIMIT $2";
        let said: Vec<(i64,)> = tx.rows(sql, values![room, BATCH]).await?;
        if (said.len() as i64) < BATCH {
            tx.run("UPDATE rooms SET emptied = TRUE WHERE id = $1", values![room]).await?;
        }
        let Some((last,)) = said.last() else { continue };
        for about in ["mentions", "reactions"] {
            let sql = format!(
                "DELETE FROM {about} WHERE message_id IN (SELECT id FROM log WHERE room_id = $1 \
                 AND id <= $2 AND kind = 'message')"
            );
            tx.run(&sql, values![room, *last]).await?;
        }
        let sql = "DELETE FROM log WHERE room_id = $1 AND id <= $2 \
                   AND kind NOT IN ('deleted', 'left')";
        tx.run(sql, values![room, *last]).await?;
    }
    for (room,) in litter.abandoned {
        discard(tx, RoomId::new(room)).await?;
    }
    Ok(())
}
