//! The other instances of chat: what they are told, and what is heard of them.
//!
//! Told is how far the log reaches, who is writing something, and who has which lobby open. All of
//! it is best effort, sent at once, and never waited for: an instance that is told nothing looks at
//! the log by itself, and presence is told again and again.
//!
//! Invariant: everything that waits is bounded; an instance that is gone is forgotten within
//! [`FORGET_AFTER`].

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use contracts::chat::{ChatStub, HearRequest, Online, Person, Typing};
use contracts::ids::{RoomId, UserId};
use mesh::{Channel, Mesh};
use tasks::Tasks;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use uuid::Uuid;

use crate::frames;
use crate::here::Here;
use crate::live::Live;
use crate::model::RoomKind;

/// Presence of one lobby is shown at most so often.
const SHOW_EVERY: Duration = Duration::from_secs(1);
/// Others are told all that is present here so often, should they have missed it.
const REMIND_EVERY: Duration = Duration::from_secs(5);
/// What another instance said of presence holds for so long.
const FORGET_AFTER: Duration = Duration::from_secs(12);
/// An instance that does not answer for so long is not waited for.
const TELL_WITHIN: Duration = Duration::from_secs(1);
/// Those who are writing something that wait to be told of; the others are not told of.
const MOST_TYPING: usize = 1_000;
/// Lobbies that one call tells of.
const MOST_LOBBIES: usize = 20;
/// People of a lobby that are named.
const MOST_NAMED: usize = 100;

/// What another instance says of a lobby.
struct Said {
    count: u64,
    people: Vec<(UserId, String)>,
    at: Instant,
}

#[derive(Default)]
struct Waiting {
    typing: Vec<Typing>,
    /// Lobbies of which others are to be told who is here.
    online: HashSet<RoomId>,
    /// Lobbies whose sockets are to be shown who is present.
    to_show: HashSet<RoomId>,
}

/// What waits to be told, and what was heard. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Peers(Arc<Inner>);

struct Inner {
    instance: String,
    here: Arc<Here>,
    /// How far this instance has read the log.
    position: AtomicI64,
    /// How far others say that it reaches.
    told: watch::Sender<i64>,
    waiting: Mutex<Waiting>,
    wake: Notify,
    heard: Mutex<HashMap<RoomId, HashMap<String, Said>>>,
    reached: Mutex<HashMap<String, Reached>>,
}

/// What another instance was told.
#[derive(Default)]
struct Reached {
    told: i64,
    /// A call to it is under way.
    busy: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Changed by whole entries: a panic leaves nothing torn.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Peers {
    pub(crate) fn new(here: Arc<Here>) -> Self {
        Self(Arc::new(Inner {
            instance: Uuid::new_v4().to_string(),
            here,
            position: AtomicI64::new(0),
            told: watch::Sender::new(0),
            waiting: Mutex::default(),
            wake: Notify::new(),
            heard: Mutex::default(),
            reached: Mutex::default(),
        }))
    }

    /// Changes when others say that the log has grown.
    pub(crate) fn told(&self) -> watch::Receiver<i64> {
        self.0.told.subscribe()
    }

    /// The log was read up to here; if others have not said so themselves, they are told.
    pub(crate) fn reached(&self, position: i64) {
        self.0.position.fetch_max(position, Relaxed);
        if position > *self.0.told.borrow() {
            self.0.wake.notify_one();
        }
    }

    /// Somebody here is writing something.
    pub(crate) fn typing(&self, kind: RoomKind, room: RoomId, user: UserId, username: &str) {
        let mut waiting = lock(&self.0.waiting);
        if waiting.typing.len() < MOST_TYPING {
            waiting.typing.push(Typing {
                room_id: room.get(),
                user_id: user.get(),
                username: username.to_owned(),
                lobby: kind == RoomKind::Lobby,
            });
            drop(waiting);
            self.0.wake.notify_one();
        }
    }

    /// Somebody has opened or closed a lobby here.
    pub(crate) fn came_or_went(&self, lobby: RoomId) {
        let mut waiting = lock(&self.0.waiting);
        waiting.online.insert(lobby);
        waiting.to_show.insert(lobby);
        drop(waiting);
        self.0.wake.notify_one();
    }

    /// Takes in what another instance says.
    pub(crate) fn hear(&self, live: &Live, said: HearRequest) {
        let grown = |told: &mut i64| {
            let grows = said.position > *told;
            *told = said.position.max(*told);
            grows
        };
        self.0.told.send_if_modified(grown);
        for typing in &said.typing {
            pass(live, typing);
        }
        for online in said.online {
            let lobby = RoomId::new(online.room_id);
            let people = online.people.into_iter().take(MOST_NAMED);
            let people = people.map(|p| (UserId::new(p.user_id), p.username)).collect();
            let count = u64::try_from(online.count).unwrap_or_default();
            let said = Said { count, people, at: Instant::now() };
            let mut heard = lock(&self.0.heard);
            let of_lobby = heard.entry(lobby).or_default();
            if count == 0 {
                of_lobby.remove(&online.instance);
            } else {
                of_lobby.insert(online.instance, said);
            }
            if of_lobby.is_empty() {
                heard.remove(&lobby);
            }
            drop(heard);
            lock(&self.0.waiting).to_show.insert(lobby);
        }
    }

    /// Begins to tell others, and to show what is present, until the process stops.
    pub(crate) fn start(&self, mesh: Mesh, live: Live, tasks: &Tasks) {
        let (this, stopping) = (self.clone(), tasks.stopping());
        tasks.spawn_loop("chat peers", move || {
            let (this, mesh, live) = (this.clone(), mesh.clone(), live.clone());
            let stopping = stopping.clone();
            async move {
                tokio::select! {
                    () = stopping.cancelled() => {}
                    () = this.run(mesh, live) => {}
                }
            }
        });
    }

    async fn run(self, mesh: Mesh, live: Live) {
        let mut show = tokio::time::interval(SHOW_EVERY);
        let mut remind = tokio::time::interval(REMIND_EVERY);
        loop {
            tokio::select! {
                () = self.0.wake.notified() => self.tell(&mesh, &live),
                _ = show.tick() => self.show(&live),
                _ = remind.tick() => self.remind(),
            }
        }
    }

    /// Tells each other instance what it has not been told. One that does not answer holds up nobody
    /// else: it is told again, of what is then, when it has, or its time is over.
    fn tell(&self, mesh: &Mesh, live: &Live) {
        let position = self.0.position.load(Relaxed);
        let (typing, online) = {
            let mut waiting = lock(&self.0.waiting);
            (std::mem::take(&mut waiting.typing), std::mem::take(&mut waiting.online))
        };
        for typing in &typing {
            pass(live, typing);
        }
        let others = mesh.others("chat");
        let mut reached = lock(&self.0.reached);
        reached.retain(|host, _| others.iter().any(|(other, _)| other == host));
        if others.is_empty() {
            return;
        }
        let lobbies: Vec<RoomId> = online.into_iter().collect();
        let known = *self.0.told.borrow();
        for (host, channel) in others {
            let state = reached.entry(host.clone()).or_default();
            let news = position > state.told.max(known);
            if state.busy || !(news || !typing.is_empty() || !lobbies.is_empty()) {
                continue;
            }
            *state = Reached { told: position, busy: true };
            let first = HearRequest { position, typing: typing.clone(), online: Vec::new() };
            let parts = lobbies.chunks(MOST_LOBBIES).map(|some| HearRequest {
                position,
                typing: Vec::new(),
                online: some.iter().map(|lobby| self.online(*lobby)).collect(),
            });
            let all: Vec<HearRequest> = std::iter::once(first).chain(parts).collect();
            tokio::spawn(self.clone().say(host, ChatStub::new(channel), all));
        }
    }

    async fn say(self, host: String, other: ChatStub<Channel>, all: Vec<HearRequest>) {
        for request in all {
            let told = tokio::time::timeout(TELL_WITHIN, other.hear(request)).await;
            if !matches!(told, Ok(Ok(_))) {
                tracing::debug!(host, "another instance of chat was not told");
                break;
            }
        }
        if let Some(state) = lock(&self.0.reached).get_mut(&host) {
            state.busy = false;
            // There was news meanwhile.
            if self.0.position.load(Relaxed) > state.told {
                self.0.wake.notify_one();
            }
        }
    }

    fn online(&self, lobby: RoomId) -> Online {
        let (count, people) = self.0.here.present(lobby, MOST_NAMED);
        let person = |(user, username): (UserId, String)| Person { user_id: user.get(), username };
        Online {
            instance: self.0.instance.clone(),
            room_id: lobby.get(),
            people: people.into_iter().map(person).collect(),
            count: i64::try_from(count).unwrap_or(i64::MAX),
        }
    }

    /// Shows everybody in a lobby who is there, where that has changed.
    fn show(&self, live: &Live) {
        let lobbies = std::mem::take(&mut lock(&self.0.waiting).to_show);
        for lobby in lobbies {
            let (count, people) = self.present(lobby);
            live.pass(lobby, frames::presence(count, &people));
        }
    }

    /// Who has a lobby open, here and elsewhere: how many, and some of them. Somebody who has it
    /// open at two instances counts once as long as all are named.
    fn present(&self, lobby: RoomId) -> (u64, Vec<(UserId, String)>) {
        let (mut count, here) = self.0.here.present(lobby, MOST_NAMED);
        let mut people: HashMap<UserId, String> = here.into_iter().collect();
        if let Some(said) = lock(&self.0.heard).get(&lobby) {
            for said in said.values() {
                count += said.count;
                for (user, name) in &said.people {
                    if people.insert(*user, name.clone()).is_some() {
                        count = count.saturating_sub(1);
                    }
                }
            }
        }
        let mut people: Vec<_> = people.into_iter().collect();
        people.sort_unstable_by_key(|(user, _)| *user);
        people.truncate(MOST_NAMED);
        (count, people)
    }

    /// Tells others all that is present here once more, and forgets those who say nothing.
    fn remind(&self) {
        let mut gone = Vec::new();
        lock(&self.0.heard).retain(|lobby, said| {
            let before = said.len();
            said.retain(|_, said| said.at.elapsed() < FORGET_AFTER);
            if said.len() < before {
                gone.push(*lobby);
            }
            !said.is_empty()
        });
        let mut waiting = lock(&self.0.waiting);
        waiting.to_show.extend(gone);
        waiting.online.extend(self.0.here.lobbies());
        drop(waiting);
        self.0.wake.notify_one();
    }
}

fn pass(live: &Live, typing: &Typing) {
    let kind = if typing.lobby { RoomKind::Lobby } else { RoomKind::Chat };
    let (room, user) = (RoomId::new(typing.room_id), UserId::new(typing.user_id));
    live.pass(room, frames::typing(kind, room, user, &typing.username));
}
