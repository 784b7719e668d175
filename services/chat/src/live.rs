//! Sockets: how one begins without a seam between what it missed and what happens now, and how an
//! entry of the log reaches them.
//!
//! Invariants: a socket that resumes gets exactly what it missed, in order, once, then what
//! happens; an entry is encoded once; what is held back while a socket is set up is bounded by the
//! hub, what it missed is read and sent page by page.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use contracts::ids::{RoomId, UserId};
use data::DataError;
use fanout::{Close, Frame, Handler, Hub, Snapshot, Upgrade};
use rest::Problem;

use crate::frames;
use crate::here::{GONE, Here, Meta, REMOVED, Socket, TOO_MANY, UNKNOWN_CURSOR, View};
use crate::model::{Entry, RoomKind, What};
use crate::peers::Peers;
use crate::settings::Settings;
use crate::store::Store;

/// Entries read at once for a socket that resumes.
const PAGE: u64 = 500;
/// How often a socket's rooms are read again because they changed meanwhile.
const TRIES: usize = 20;
/// What is said within this time shares a write: nobody sees the difference, and a busy room costs
/// much less.
const PACE: Duration = Duration::from_millis(3);
/// What JSON may write a character with: two escapes.
const BYTES_OF_A_CHARACTER: usize = 12;
/// What is around the text of a message in a client's frame.
const AROUND_A_TEXT: usize = 4 << 10;

/// Where a socket goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// After a position: everything that happened. Who begins anew goes on after the head as it was
    /// before they were answered, so that nothing is lost while the socket is set up.
    Cursor(i64),
    /// After the message with this number: the messages of the lobby.
    Seq(i64),
}

/// The sockets of this process; cheap to clone.
#[derive(Clone)]
pub(crate) struct Live {
    hub: Hub<RoomId, Meta>,
    here: Arc<Here>,
    peers: Peers,
    store: Store,
    most_per_account: usize,
}

impl Live {
    pub(crate) fn new(
        store: Store,
        here: Arc<Here>,
        peers: Peers,
        handler: impl Handler<RoomId, Meta>,
        settings: &Settings,
    ) -> Self {
        let hub = fanout::Settings {
            name: "chat",
            max_sockets: settings.max_sockets,
            pace: PACE,
            max_message: settings.message_characters * BYTES_OF_A_CHARACTER + AROUND_A_TEXT,
            ..fanout::Settings::default()
        };
        let hub = Hub::with_handler(hub, handler);
        Self { hub, here, peers, store, most_per_account: settings.sockets_per_account }
    }

    /// Where a socket goes on that begins anew.
    ///
    /// # Errors
    /// When the database failed.
    pub(crate) async fn now(&self) -> Result<Since, DataError> {
        Ok(Since::Cursor(self.store.head().await?))
    }

    /// Makes a request a socket.
    pub(crate) fn open(&self, upgrade: Upgrade, meta: Meta, since: Since) -> Response {
        if self.most_per_account > 0 && self.here.count(meta.user) >= self.most_per_account {
            return Problem::too_many(1, TOO_MANY.reason).into_response();
        }
        let this = self.clone();
        self.hub.accept(
            upgrade,
            meta,
            move |socket| async move { this.set_up(socket, since).await },
        )
    }

    async fn set_up(&self, socket: Socket, since: Since) -> Result<(), Close> {
        let result = self.begin(&socket, since).await;
        result.unwrap_or_else(|error| {
            tracing::warn!(%error, "a socket cannot be set up");
            Err(Close::RESTART.because("not now: connect again"))
        })
    }

    /// The outer error is the database's.
    async fn begin(&self, socket: &Socket, since: Since) -> Result<Result<(), Close>, DataError> {
        let (user, view) = (socket.meta().user, socket.meta().view);
        // While much was missed nothing is held back for it.
        let Some(since) = self.catch_up(socket, since).await? else {
            return Ok(Err(Close::DONE));
        };
        socket.hold();
        if !self.here.add(socket, self.most_per_account) {
            return Ok(Err(TOO_MANY));
        }
        if !socket.is_open() {
            // It closed before it was in the register, and will not be taken out again.
            self.here.remove(socket);
            return Ok(Err(Close::DONE));
        }
        let mut tries = 0;
        loop {
            let changes = self.here.changes(user);
            let rooms = match view {
                View::Chats => self.store.chats_of(user).await?,
                View::Lobby(room) => {
                    // Whoever leaves later than that is told so; what was before is in what is
                    // read now.
                    socket.meta().as_of.store(self.store.head().await?, Relaxed);
                    let seated = self.store.seated(RoomKind::Lobby, room, user).await?;
                    if seated.is_none_or(|seated| seated.seat.is_none()) {
                        return Ok(Err(REMOVED));
                    }
                    vec![room]
                }
            };
            if self.here.join(socket, &rooms, changes) {
                break;
            }
            tries += 1;
            if tries == TRIES {
                return Ok(Err(Close::RESTART));
            }
        }
        // After joining: what is not in the log by now will be published to it.
        let head = self.store.head().await?;
        if matches!(since, Since::Cursor(at) if at > head) {
            return Ok(Err(UNKNOWN_CURSOR));
        }
        let mut frames = Vec::new();
        let mut since = since;
        while let Some((entries, next)) = self.missed(user, view, since, head).await? {
            frames.extend(entries);
            since = next;
        }
        socket.release(Snapshot { frames, upto: u64::try_from(head).ok() });
        if let View::Lobby(room) = view {
            self.peers.came_or_went(room);
        }
        Ok(Ok(()))
    }

    /// Sends what was missed so far, page after page; `None` if the socket closed meanwhile.
    async fn catch_up(&self, socket: &Socket, since: Since) -> Result<Option<Since>, DataError> {
        let (user, view) = (socket.meta().user, socket.meta().view);
        let (mut since, head) = (since, self.store.head().await?);
        loop {
            let Some((frames, next)) = self.missed(user, view, since, head).await? else {
                return Ok(Some(since));
            };
            let more = frames.len() as u64 == PAGE;
            since = next;
            // First frames are not held against a reader, and many are waited for.
            socket.hold();
            socket.release(frames);
            if !more {
                return Ok(Some(since));
            }
            if !socket.flushed().await {
                return Ok(None);
            }
        }
    }

    /// A page of what was missed, and where the next begins; `None` if that was all.
    async fn missed(
        &self,
        user: UserId,
        view: View,
        since: Since,
        upto: i64,
    ) -> Result<Option<(Vec<Frame>, Since)>, DataError> {
        let entries = match (since, view) {
            (Since::Cursor(at), View::Chats) => self.store.missed(user, at, upto, PAGE).await?,
            (Since::Cursor(at), View::Lobby(room)) => {
                self.store.missed_in(room, at, upto, PAGE).await?
            }
            (Since::Seq(seq), View::Lobby(room)) => {
                self.store.messages_between(room, (seq, i64::MAX), upto, PAGE).await?
            }
            // Chats count in no common sequence.
            (Since::Seq(_), View::Chats) => return Ok(None),
        };
        let next = entries.last().map(|last| match since {
            Since::Seq(seq) => Since::Seq(last.seq.unwrap_or(seq)),
            _ => Since::Cursor(last.position),
        });
        Ok(next.map(|next| (entries.iter().map(frames::entry).collect(), next)))
    }

    /// Hands an entry to everybody here who reads its room.
    pub(crate) fn tell(&self, entry: &Entry) {
        let room = entry.room;
        let is_chat = entry.kind == RoomKind::Chat;
        match (entry.what, &entry.member) {
            (What::RoomCreated, _) if is_chat => {
                entry.members.iter().for_each(|user| self.here.added(*user, room));
            }
            (What::Joined, Some((user, _))) if is_chat => self.here.added(*user, room),
            _ => {}
        }
        let seq = u64::try_from(entry.position).unwrap_or_default();
        self.hub.publish_seq(&room, seq, frames::entry(entry));
        match (entry.what, &entry.member) {
            (What::Left, Some((user, _))) => self.here.removed(*user, room, entry.position),
            (What::RoomDeleted, _) if is_chat => {
                let members = entry.members.iter();
                members.for_each(|user| self.here.removed(*user, room, entry.position));
            }
            (What::RoomDeleted, _) => {
                self.hub.close_where(GONE, move |meta| meta.view == View::Lobby(room));
            }
            _ => {}
        }
    }

    /// Hands on what was never in the log.
    pub(crate) fn pass(&self, room: RoomId, frame: Frame) {
        self.hub.publish(&room, frame);
    }

    /// Tells every socket to come back and resume: what they were told was taken back by a
    /// database that lost its last moments.
    pub(crate) fn start_over(&self) {
        self.hub.close_where(Close::RESTART, |_| true);
    }

    /// Takes no more sockets and tells all to connect again.
    pub(crate) async fn drain(&self) {
        self.hub.drain().await;
    }
}
