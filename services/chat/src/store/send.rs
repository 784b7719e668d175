//! Sending messages: seven statements at most, whatever the number of messages.

use std::collections::{BTreeSet, HashMap};

use contracts::ids::{MessageId, RoomId, UserId};
use data::{DataError, Dialect, Sql, Tx, json_rows, values};

use super::log::advance;
use super::{STILL, Store};
use crate::model::{Entry, RoomKind, What, mentioned};

/// A message that is to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) room: RoomId,
    pub(crate) kind: RoomKind,
    pub(crate) user: UserId,
    pub(crate) text: String,
    pub(crate) client_id: Option<String>,
    pub(crate) at: i64,
}

/// What became of it.
#[derive(Clone, Debug)]
pub(crate) enum Sent {
    /// It stands in the log.
    Kept(Box<Entry>),
    /// There is no such room, or its sender is not in it.
    NoSeat,
}

pub(super) struct Texts {
    seats: String,
    already: String,
    called: String,
    insert: String,
    count: String,
    read: String,
    mention: String,
}

impl Texts {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            seats: dialect.text(
                "SELECT m.room_id, m.user_id, rooms.kind, rooms.last_seq, p.username \
                 FROM {{rows:1}} CROSS JOIN memberships m \
                 JOIN rooms ON rooms.id = m.room_id JOIN people p ON p.user_id = m.user_id \
                 WHERE m.room_id = CAST(r.value->>0 AS BIGINT) \
                   AND m.user_id = CAST(r.value->>1 AS BIGINT) AND m.to_position = $2 \
                   AND rooms.deleted_at IS NULL",
            ),
            already: dialect.text(
                "SELECT l.id, l.room_id, l.user_id, l.client_id, l.seq, l.text, l.at, \
                        l.edited_at, l.deleted_at \
                 FROM {{rows:1}} CROSS JOIN log l \
                 WHERE l.room_id = CAST(r.value->>0 AS BIGINT) \
                   AND l.user_id = CAST(r.value->>1 AS BIGINT) AND l.client_id = r.value->>2",
            ),
            called: dialect.text(
                "SELECT m.room_id, m.user_id, p.name_key FROM {{rows:1}} CROSS JOIN people p \
                 JOIN memberships m ON m.user_id = p.user_id AND m.to_position = $2 \
                   AND m.room_id = CAST(r.value->>0 AS BIGINT) \
                 WHERE p.name_key = r.value->>1",
            ),
            insert: dialect.text(
                "INSERT INTO log (id, room_id, kind, user_id, at, seq, text, client_id) \
                 SELECT CAST(r.value->>0 AS BIGINT), CAST(r.value->>1 AS BIGINT), 'message', \
                        CAST(r.value->>2 AS BIGINT), CAST(r.value->>3 AS BIGINT), \
                        CAST(r.value->>4 AS BIGINT), r.value->>5, r.value->>6 \
                 FROM {{rows:1}}",
            ),
            count: dialect.text(
                "UPDATE rooms SET last_seq = v.seq \
                 FROM (SELECT CAST(r.value->>0 AS BIGINT) AS id, \
                              CAST(r.value->>1 AS BIGINT) AS seq FROM {{rows:1}}) AS v \
                 WHERE rooms.id = v.id",
            ),
            // Whoever speaks has read what was said before.
            read: dialect.text(
                "UPDATE memberships SET read_seq = v.seq \
                 FROM (SELECT CAST(r.value->>0 AS BIGINT) AS room_id, \
                              CAST(r.value->>1 AS BIGINT) AS user_id, \
                              CAST(r.value->>2 AS BIGINT) AS seq FROM {{rows:1}}) AS v \
                 WHERE memberships.room_id = v.room_id AND memberships.user_id = v.user_id \
                   AND memberships.to_position = $2",
            ),
            mention: dialect.text(
                "INSERT INTO mentions (user_id, room_id, seq, message_id) \
                 SELECT CAST(r.value->>0 AS BIGINT), CAST(r.value->>1 AS BIGINT), \
                        CAST(r.value->>2 AS BIGINT), CAST(r.value->>3 AS BIGINT) \
                 FROM {{rows:1}}",
            ),
        }
    }
}

/// Where a sender sits, and what the room has come to.
struct Place {
    kind: RoomKind,
    username: String,
}

type Who = (RoomId, UserId);
type ByClient = HashMap<(RoomId, UserId, String), Entry>;
type AlreadyRow =
    (i64, i64, i64, String, Option<i64>, Option<String>, i64, Option<i64>, Option<i64>);

impl Store {
    /// Puts messages into their rooms, in their order; the answers have that order, too.
    pub(crate) async fn send(&self, tx: &Tx, drafts: Vec<Draft>) -> Result<Vec<Sent>, DataError> {
        let first = advance(tx, drafts.len()).await?;
        let (places, mut last) = self.places(tx, &drafts).await?;
        let mut known = self.already(tx, &drafts, &places).await?;
        let called = self.called(tx, &drafts).await?;
        let (mut new, mut mentions) = (Vec::new(), Vec::new());
        let mut sent = Vec::with_capacity(drafts.len());
        for (position, draft) in (first..).zip(drafts) {
            let who = (draft.room, draft.user);
            let Some(place) = places.get(&who).filter(|place| place.kind == draft.kind) else {
                sent.push(Sent::NoSeat);
                continue;
            };
            let by_client = draft.client_id.clone().map(|id| (draft.room, draft.user, id));
            if let Some(entry) = by_client.as_ref().and_then(|key| known.get(key)) {
                sent.push(Sent::Kept(Box::new(entry.clone())));
                continue;
            }
            let seq = last.entry(draft.room).or_default();
            *seq += 1;
            let names = mentioned(&draft.text);
            let of_room = called.iter().filter(|(room, ..)| *room == draft.room);
            let called = of_room.filter(|(.., name)| names.contains(name));
            mentions
                .extend(called.map(|(_, user, _)| (user.get(), draft.room.get(), *seq, position)));
            let entry = message(position, *seq, draft, place.username.clone());
            if let Some(key) = by_client {
                known.insert(key, entry.clone());
            }
            sent.push(Sent::Kept(Box::new(entry.clone())));
            new.push(entry);
        }
        self.write(tx, &new, &mentions).await?;
        Ok(sent)
    }

    async fn places(
        &self,
        tx: &Tx,
        drafts: &[Draft],
    ) -> Result<(HashMap<Who, Place>, HashMap<RoomId, i64>), DataError> {
        let asked: BTreeSet<_> = drafts.iter().map(|d| (d.room.get(), d.user.get())).collect();
        let rows: Vec<(i64, i64, String, i64, String)> =
            tx.rows(&self.texts.send.seats, values![json_rows(asked)?, STILL]).await?;
        let (mut places, mut last) = (HashMap::new(), HashMap::new());
        for (room, user, kind, last_seq, username) in rows {
            let place = Place { kind: RoomKind::parse(&kind)?, username };
            places.insert((RoomId::new(room), UserId::new(user)), place);
            last.insert(RoomId::new(room), last_seq);
        }
        Ok((places, last))
    }

    /// What was sent before under the same ids.
    async fn already(
        &self,
        tx: &Tx,
        drafts: &[Draft],
        places: &HashMap<Who, Place>,
    ) -> Result<ByClient, DataError> {
        let asked: BTreeSet<_> = drafts
            .iter()
            .filter_map(|d| Some((d.room.get(), d.user.get(), d.client_id.as_deref()?)))
            .collect();
        if asked.is_empty() {
            return Ok(ByClient::new());
        }
        let rows: Vec<AlreadyRow> =
            tx.rows(&self.texts.send.already, values![json_rows(asked)?]).await?;
        let mut known = ByClient::new();
        for (id, room, user, client_id, seq, text, at, edited_at, deleted_at) in rows {
            let (room, user) = (RoomId::new(room), UserId::new(user));
            let Some(Place { kind, username }) = places.get(&(room, user)) else { continue };
            let (text, client) = (text.unwrap_or_default(), Some(client_id.clone()));
            let draft = Draft { room, kind: *kind, user, text, client_id: client, at };
            let entry = message(id, seq.unwrap_or_default(), draft, username.clone());
            let entry = Entry { edited_at, deleted: deleted_at.is_some(), ..entry };
            known.insert((room, user, client_id), entry);
        }
        Ok(known)
    }

    /// Those of a room's members who are called by name in one of its messages.
    async fn called(
        &self,
        tx: &Tx,
        drafts: &[Draft],
    ) -> Result<Vec<(RoomId, UserId, String)>, DataError> {
        let named = |d: &Draft| {
            let room = d.room.get();
            mentioned(&d.text).into_iter().map(move |name| (room, name))
        };
        let asked: BTreeSet<(i64, String)> =
            drafts.iter().filter(|d| d.text.contains('@')).flat_map(named).collect();
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<(i64, i64, String)> =
            tx.rows(&self.texts.send.called, values![json_rows(asked)?, STILL]).await?;
        let called = |(room, user, name)| (RoomId::new(room), UserId::new(user), name);
        Ok(rows.into_iter().map(called).collect())
    }

    async fn write(
        &self,
        tx: &Tx,
        new: &[Entry],
        mentions: &[(i64, i64, i64, i64)],
    ) -> Result<(), DataError> {
        if new.is_empty() {
            return Ok(());
        }
        let texts = &self.texts.send;
        let rows = new
            .iter()
            .map(|e| (e.position, e.room.get(), e.user.get(), e.at, e.seq, &e.text, &e.client_id));
        tx.run(&texts.insert, values![json_rows(rows)?]).await?;
        // In the order of the entries, so that the last one stays.
        let seqs: HashMap<_, _> = new.iter().map(|e| (e.room.get(), e.seq)).collect();
        tx.run(&texts.count, values![json_rows(seqs)?]).await?;
        let seqs: HashMap<_, _> =
            new.iter().map(|e| ((e.room.get(), e.user.get()), e.seq)).collect();
        let rows = seqs.into_iter().map(|((room, user), seq)| (room, user, seq));
        tx.run(&texts.read, values![json_rows(rows)?, STILL]).await?;
        if !mentions.is_empty() {
            tx.run(&texts.mention, values![json_rows(mentions)?]).await?;
        }
        Ok(())
    }
}

fn message(position: i64, seq: i64, draft: Draft, username: String) -> Entry {
    Entry {
        position,
        room: draft.room,
        kind: draft.kind,
        what: What::Message,
        user: draft.user,
        username,
        at: draft.at,
        seq: Some(seq),
        text: draft.text,
        client_id: draft.client_id,
        message: Some(MessageId::new(position)),
        member: None,
        members: Vec::new(),
        edited_at: None,
        deleted: false,
    }
}
