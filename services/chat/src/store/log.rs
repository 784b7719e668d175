//! The log: one order for everything that happens, and the ways to read it.

use std::collections::HashSet;

use contracts::DELETED_USER;
use contracts::ids::{MessageId, RoomId, UserId};
use data::{DataError, FromQueryResult, Sql, Tx, sea_orm, values};

use super::{Store, there};
use crate::model::{Entry, RoomKind, What};

/// What every query on entries selects; `l` is the entry, `t` the message it points to.
pub(super) const ENTRIES: &str = "\
SELECT l.id, l.room_id, r.kind AS room_kind, l.kind, l.user_id, p.username, l.at, \
       COALESCE(t.seq, l.seq) AS seq, COALESCE(t.text, l.text) AS text, l.client_id, l.message_id, \
       l.member_id, s.username AS member_name, COALESCE(t.edited_at, l.edited_at) AS edited_at, \
       COALESCE(t.deleted_at, l.deleted_at) AS deleted_at, l.text AS own_text \
FROM log l \
JOIN rooms r ON r.id = l.room_id \
LEFT JOIN people p ON p.user_id = l.user_id \
LEFT JOIN log t ON t.id = l.message_id \
LEFT JOIN people s ON s.user_id = l.member_id ";

/// Positions of the log that are looked through first for what somebody has missed.
const FIRST_STRETCH: i64 = 1_000;

#[derive(FromQueryResult)]
pub(super) struct Row {
    id: i64,
    room_id: i64,
    room_kind: String,
    kind: String,
    user_id: i64,
    username: Option<String>,
    at: i64,
    seq: Option<i64>,
    text: Option<String>,
    client_id: Option<String>,
    message_id: Option<i64>,
    member_id: Option<i64>,
    member_name: Option<String>,
    edited_at: Option<i64>,
    deleted_at: Option<i64>,
    own_text: Option<String>,
}

impl TryFrom<Row> for Entry {
    type Error = DataError;

    fn try_from(row: Row) -> Result<Self, DataError> {
        let name = |name: Option<String>| name.unwrap_or_else(|| DELETED_USER.to_owned());
        let what = What::parse(&row.kind)?;
        let (mut text, mut members) = (row.text.unwrap_or_default(), Vec::new());
        match what {
            What::RoomCreated | What::RoomDeleted => {
                (text, members) = serde_json::from_str(&text).map_err(DataError::other)?;
            }
            // Their own text is the emoji; that of the message is nobody's matter here.
            What::Reacted | What::Unreacted => text = row.own_text.unwrap_or_default(),
            _ => {}
        }
        Ok(Self {
            position: row.id,
            room: RoomId::new(row.room_id),
            kind: RoomKind::parse(&row.room_kind)?,
            what,
            user: UserId::new(row.user_id),
            username: name(row.username),
            at: row.at,
            seq: row.seq,
            text,
            client_id: row.client_id,
            message: match what {
                What::Message => Some(MessageId::new(row.id)),
                _ => row.message_id.map(MessageId::new),
            },
            member: row.member_id.map(|id| (UserId::new(id), name(row.member_name))),
            members,
            edited_at: row.edited_at,
            deleted: row.deleted_at.is_some(),
        })
    }
}

/// Locks the head and takes the next `count` positions; answers the first. Positions that are not
/// used stay empty.
pub(crate) async fn advance(tx: &Tx, count: usize) -> Result<i64, DataError> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let sql = "UPDATE head SET position = position + $1 WHERE id = 1 RETURNING position";
    let (last,): (i64,) = there(tx.row(sql, values![count]).await?)?;
    Ok(last - count + 1)
}

/// What is added to the log, all but messages.
#[derive(Clone, Debug)]
pub(crate) struct NewEntry {
    pub(crate) room: RoomId,
    pub(crate) what: What,
    pub(crate) user: UserId,
    pub(crate) at: i64,
    pub(crate) seq: Option<i64>,
    pub(crate) text: Option<String>,
    pub(crate) message: Option<MessageId>,
    pub(crate) member: Option<UserId>,
}

impl NewEntry {
    pub(crate) const fn new(room: RoomId, what: What, user: UserId, at: i64) -> Self {
        Self { room, what, user, at, seq: None, text: None, message: None, member: None }
    }

    /// Whom it is about.
    pub(crate) fn member(mut self, member: UserId) -> Self {
        self.member = Some(member);
        self
    }

    /// Which message it is about.
    pub(crate) fn message(mut self, message: MessageId) -> Self {
        self.message = Some(message);
        self
    }

    pub(crate) fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    pub(crate) fn seq(mut self, seq: i64) -> Self {
        self.seq = Some(seq);
        self
    }

    /// What the room is called, and who is in it: of `created` and `deleted`.
    pub(crate) fn room(self, name: &str, members: &[UserId]) -> Result<Self, DataError> {
        let text = serde_json::to_string(&(name, members)).map_err(DataError::other)?;
        Ok(self.text(text))
    }
}

/// Writes an entry at a position that [`advance`] gave.
pub(crate) async fn append(tx: &Tx, position: i64, entry: NewEntry) -> Result<(), DataError> {
    let sql = "INSERT INTO log (id, room_id, kind, user_id, at, seq, text, message_id, member_id) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let values = values![
        position,
        entry.room.get(),
        entry.what.name(),
        entry.user.get(),
        entry.at,
        entry.seq,
        entry.text,
        entry.message.map(MessageId::get),
        entry.member.map(UserId::get),
    ];
    tx.run(sql, values).await.map(drop)
}

pub(super) fn entries(rows: Vec<Row>) -> Result<Vec<Entry>, DataError> {
    rows.into_iter().map(Entry::try_from).collect()
}

impl Store {
    /// How far the log reaches: everything up to there can be seen.
    pub(crate) async fn head(&self) -> Result<i64, DataError> {
        let sql = "SELECT position FROM head WHERE id = 1";
        let (head,): (i64,) = there(self.db.read_primary().row(sql, values![]).await?)?;
        Ok(head)
    }

    /// What happened after `after`, in order, at most `limit`.
    pub(crate) async fn after(&self, after: i64, limit: u64) -> Result<Vec<Entry>, DataError> {
        let sql = format!("{ENTRIES} WHERE l.id > $1 ORDER BY l.id LIMIT $2");
        entries(self.db.read_primary().all(&sql, values![after, limit]).await?)
    }

    /// What a user has missed of their chats after one position and up to another: of each what
    /// happened while they were in it. What was edited in a chat that they have left is told without
    /// its text, for it may be a text of after they left.
    pub(crate) async fn missed(
        &self,
        user: UserId,
        after: i64,
        upto: i64,
        limit: u64,
    ) -> Result<Vec<Entry>, DataError> {
        let sql = format!(
            "{ENTRIES} JOIN memberships m ON m.room_id = l.room_id \
             AND l.id BETWEEN m.from_position AND m.to_position \
             WHERE m.user_id = $1 AND m.to_position > $2 AND l.id > $2 AND l.id <= $3 \
             AND r.kind = 'chat' ORDER BY l.id LIMIT $4"
        );
        let (db, mut missed) = (self.db.read_primary(), Vec::new());
        // A stretch of the log at a time: whatever comes after a page would be sorted for each page.
        let (mut from, mut stretch) = (after, FIRST_STRETCH);
        while from < upto && (missed.len() as u64) < limit {
            let (end, left) = (from.saturating_add(stretch).min(upto), limit - missed.len() as u64);
            let page = db.all(&sql, values![user.get(), from, end, left]).await?;
            missed.extend(entries(page)?);
            (from, stretch) = (end, stretch.saturating_mul(4));
        }
        if missed.iter().any(|entry| entry.edited_at.is_some()) {
            let own: HashSet<RoomId> = self.chats_of(user).await?.into_iter().collect();
            let edited = missed.iter_mut().filter(|entry| entry.edited_at.is_some());
            edited.filter(|entry| !own.contains(&entry.room)).for_each(|entry| entry.text.clear());
        }
        Ok(missed)
    }

    /// What happened in one room after one position and up to another.
    pub(crate) async fn missed_in(
        &self,
        room: RoomId,
        after: i64,
        upto: i64,
        limit: u64,
    ) -> Result<Vec<Entry>, DataError> {
        let sql = format!(
            "{ENTRIES} WHERE l.room_id = $1 AND l.id > $2 AND l.id <= $3 ORDER BY l.id LIMIT $4"
        );
        let values = values![room.get(), after, upto, limit];
        entries(self.db.read_primary().all(&sql, values).await?)
    }

    /// The first messages of one room whose numbers are between two others, up to a position.
    pub(crate) async fn messages_between(
        &self,
        room: RoomId,
        (after, before): (i64, i64),
        upto: i64,
        limit: u64,
    ) -> Result<Vec<Entry>, DataError> {
        let sql = format!(
            "{ENTRIES} WHERE l.room_id = $1 AND l.kind = 'message' AND l.seq > $2 AND l.seq < $3 \
             AND l.id <= $4 ORDER BY l.seq LIMIT $5"
        );
        let values = values![room.get(), after, before, upto, limit];
        entries(self.db.read_primary().all(&sql, values).await?)
    }
}
