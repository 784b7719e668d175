//! Two-phase commits, crashed at every point there is, with accounts whose answers are lost:
//! whatever happens, both have a chat with the same members or neither has it, and nothing stays
//! prepared.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use contracts::ids::{RoomId, UserId};
use data::{DataSettings, Database, Sql, values};
use mesh::{Mesh, MeshSettings};
use rest::Problem;
use saga::faults::Faults;
use saga::two_phase::{Coordinator, Outcome, TxId};
use saga::{Clock, Settings};
use tasks::Tasks;
use testkit::on_each_engine;
use uuid::Uuid;

use crate::accounts::{Accounts, Person};
use crate::change_chat::{self, Wanted};
use crate::fake_accounts::{Answer, FakeAccounts};
use crate::store::{STILL, Store};
use crate::{MIGRATIONS, create_chat};

const ADA: UserId = UserId::new(1);

/// How the accounts answer the first messages; after that they are well.
const SCRIPTS: [&[Answer]; 4] = [
    &[],
    &[Answer::Lost],
    &[Answer::Down, Answer::Lost, Answer::Lost],
    &[Answer::Well, Answer::Lost, Answer::Down],
];

struct World {
    db: Database,
    fake: FakeAccounts,
    accounts: Accounts,
    ahead: Arc<AtomicI64>,
}

impl World {
    async fn new(settings: &DataSettings) -> Self {
        let db = Database::open(settings, MIGRATIONS).await.unwrap();
        let fake = FakeAccounts::default();
        for (id, name) in [(1, "ada"), (2, "ben"), (3, "cleo")] {
            fake.get().people.insert(id, name.into());
        }
        let mesh = Mesh::new(MeshSettings::default());
        mesh.install("accounts", fake.router());
        Self { db, fake, accounts: Accounts::new(&mesh), ahead: Arc::default() }
    }

    /// An engine as each instance has one, that dies as told.
    fn engine(&self, faults: Option<Faults>) -> saga::Engine {
        let ahead = self.ahead.clone();
        let settings = Settings {
            step_timeout: Duration::from_millis(500),
            lease: Duration::from_secs(20),
            give_up_after: Duration::from_secs(5),
            first_pause: Duration::from_millis(1),
            longest_pause: Duration::from_millis(4),
            recover_every: Duration::from_millis(5),
            wait: Duration::from_secs(20),
            clock: Clock::new(move || rest::Timestamp::now().0 + ahead.load(Ordering::SeqCst)),
            faults,
            ..Settings::default()
        };
        crate::sagas(&self.db, &self.accounts, settings)
    }

    /// The dead driver's lease runs out, and another instance takes over until all has ended; then
    /// whoever is in doubt asks.
    async fn recover(&self) {
        let (tasks, engine) = (Tasks::new(), self.engine(None));
        engine.start(&tasks);
        for _ in 0..20 {
            self.ahead.fetch_add(30_000, Ordering::SeqCst);
            let ended = async {
                while self.count("sagas WHERE finished_at IS NULL").await > 0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            if tokio::time::timeout(Duration::from_millis(600), ended).await.is_ok() {
                tasks.stop().await;
                self.fake.get().script.clear();
                for tx in self.fake.prepared() {
                    let id: TxId = tx.parse().unwrap();
                    let outcome = engine.outcome(id).await.unwrap();
                    assert_ne!(outcome, Outcome::Undecided, "all has ended");
                    self.fake.end(&tx, outcome == Outcome::Committed);
                }
                return;
            }
        }
        panic!("there are sagas that do not end");
    }

    async fn count(&self, from: &str) -> i64 {
        let sql = format!("SELECT COUNT(*) FROM {from}");
        self.db.read().row::<(i64,)>(&sql, values![]).await.unwrap().unwrap().0
    }

    /// What must hold whatever happened. Answers who is in which chat.
    async fn check(&self) -> BTreeSet<(i64, i64)> {
        assert!(self.fake.prepared().is_empty());
        assert_eq!(self.count("rooms WHERE NOT visible").await, 0, "a chat half made");
        let sql = "SELECT room_id, user_id FROM memberships WHERE to_position = $1";
        let here: Vec<(i64, i64)> = self.db.read().rows(sql, values![STILL]).await.unwrap();
        let here: BTreeSet<_> = here.into_iter().collect();
        assert_eq!(self.fake.get().chats, here, "both list the same");
        let owners = "memberships WHERE role = 'owner' AND to_position = 9223372036854775807";
        let living = "rooms WHERE visible AND deleted_at IS NULL";
        assert_eq!(self.count(owners).await, self.count(living).await, "one owner each");
        let rooms: BTreeSet<i64> = here.iter().map(|(room, _)| *room).collect();
        assert_eq!(rooms.len() as i64, self.count(living).await);
        for room in rooms {
            let members = here.iter().filter(|(r, _)| *r == room).count() as i64;
            let counted = format!("rooms WHERE id = {room} AND members = {members}");
            assert_eq!(self.count(&counted).await, 1, "members are counted");
        }
        here
    }

    async fn create(&self, engine: &saga::Engine) -> Result<RoomId, Problem> {
        let people = vec![person(2, "ben"), person(1, "ada")];
        let state = create_chat::State::new(ADA, people, "blue".into());
        let state = engine.run(create_chat::NAME, Uuid::new_v4(), state).await?;
        Ok(state.created().unwrap().0)
    }

    async fn change(
        &self,
        engine: &saga::Engine,
        room: RoomId,
        wanted: Wanted,
    ) -> Result<(), Problem> {
        let state = change_chat::State { room, asker: ADA, wanted };
        engine.run(change_chat::NAME, Uuid::new_v4(), state).await.map(drop)
    }
}

fn person(id: i64, name: &str) -> Person {
    Person { user: UserId::new(id), name: name.into() }
}

/// What `work` answers, or nothing once its driver is dead: nobody waits for an answer of the dead.
async fn unless_dead<T>(
    faults: &Faults,
    work: impl Future<Output = Result<T, Problem>>,
) -> Option<T> {
    let dead = async {
        while !faults.died() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::select! {
        biased;
        done = work => done.ok(),
        () = dead => None,
    }
}

on_each_engine!(a_chat_is_made_in_both_or_in_neither, |settings| async move {
    let world = World::new(&settings).await;
    for script in SCRIPTS {
        for n in 0.. {
            let before = world.check().await;
            world.fake.get().script.extend(script);
            let faults = Faults::at(n);
            let engine = world.engine(Some(faults.clone()));
            let made = unless_dead(&faults, world.create(&engine)).await;
            world.recover().await;
            let after = world.check().await;
            let told = "log WHERE kind = 'created'";
            assert_eq!(world.count(told).await, world.count("rooms").await, "told once each");
            assert!([0, 2].contains(&(after.len() - before.len())));
            if let Some(room) = made {
                assert!(after.contains(&(room.get(), 1)) && after.contains(&(room.get(), 2)));
            }
            if !faults.died() {
                break;
            }
        }
    }
});

on_each_engine!(members_change_in_both_or_in_neither, |settings| async move {
    let world = World::new(&settings).await;
    let room = world.create(&world.engine(None)).await.unwrap();
    let pair = (room.get(), 3);
    for script in SCRIPTS {
        for add in [true, false] {
            for n in 0.. {
                // From the other state each time.
                let back = if add { remove(3) } else { put(3, "cleo") };
                drop(world.change(&world.engine(None), room, back).await);
                assert_eq!(world.check().await.contains(&pair), !add);
                world.fake.get().script.extend(script);
                let faults = Faults::at(n);
                let engine = world.engine(Some(faults.clone()));
                let wanted = if add { put(3, "cleo") } else { remove(3) };
                let done = unless_dead(&faults, world.change(&engine, room, wanted)).await;
                world.recover().await;
                let is_in = world.check().await.contains(&pair);
                if done.is_some() {
                    assert_eq!(is_in, add);
                }
                if !faults.died() {
                    break;
                }
            }
        }
    }
});

on_each_engine!(a_chat_is_deleted_in_both_or_in_neither, |settings| async move {
    let world = World::new(&settings).await;
    for script in SCRIPTS {
        for n in 0.. {
            let room = world.create(&world.engine(None)).await.unwrap();
            world.fake.get().script.extend(script);
            let faults = Faults::at(n);
            let engine = world.engine(Some(faults.clone()));
            let all = Wanted::Delete(vec![UserId::new(2), ADA]);
            let done = unless_dead(&faults, world.change(&engine, room, all)).await;
            world.recover().await;
            let left = world.check().await.iter().filter(|(r, _)| *r == room.get()).count();
            assert!(left == 2 || left == 0);
            assert!(done.is_none() || left == 0);
            if !faults.died() {
                break;
            }
        }
    }
});

on_each_engine!(who_is_gone_is_not_brought_back, |settings| async move {
    let world = World::new(&settings).await;
    let engine = world.engine(None);
    let room = world.create(&engine).await.unwrap();
    let store = Store::new(world.db.clone());
    crate::erase_user::erase_user(&store, UserId::new(3)).await.unwrap();
    let refused = world.change(&engine, room, put(3, "cleo")).await.unwrap_err();
    assert_eq!(refused.status(), 422);
    world.check().await;
    // The owner goes: the other one owns it.
    crate::erase_user::erase_user(&store, ADA).await.unwrap();
    world.fake.get().chats.remove(&(room.get(), 1));
    world.check().await;
    // The last one goes, and the chat with them.
    crate::erase_user::erase_user(&store, UserId::new(2)).await.unwrap();
    world.fake.get().chats.clear();
    assert!(world.check().await.is_empty());
    assert_eq!(world.count("people WHERE NOT erased").await, 0);
});

on_each_engine!(whoever_came_meanwhile_is_not_left_behind, |settings| async move {
    let world = World::new(&settings).await;
    let engine = world.engine(None);
    let room = world.create(&engine).await.unwrap();
    let stale = Wanted::Delete(vec![ADA]);
    assert_eq!(world.change(&engine, room, stale).await.unwrap_err().status(), 409);
    assert_eq!(world.check().await.len(), 2);
    // Deleted while others come: in the end nobody is in it, here or there.
    let store = Store::new(world.db.clone());
    let come = async {
        for _ in 0..3 {
            drop(world.change(&engine, room, put(3, "cleo")).await);
            drop(world.change(&engine, room, remove(3)).await);
        }
    };
    let ((), deleted) = tokio::join!(come, change_chat::delete_chat(&store, &engine, room, ADA));
    if deleted.is_err() {
        change_chat::delete_chat(&store, &engine, room, ADA).await.unwrap();
    }
    world.recover().await;
    assert!(world.check().await.is_empty());
});

on_each_engine!(what_was_said_in_a_deleted_room_is_removed, |settings| async move {
    let world = World::new(&settings).await;
    let (engine, store) = (world.engine(None), Store::new(world.db.clone()));
    let post = crate::send_message::Post::new(&store, &crate::Settings::default());
    let limits = crate::limits::Limits::new(&crate::Settings::default());
    let (kept, gone) = (world.create(&engine).await.unwrap(), world.create(&engine).await.unwrap());
    for room in [kept, gone] {
        for n in 0..3 {
            let text = format!("{n} @ben");
            let letter = crate::send_message::Letter {
                kind: crate::model::RoomKind::Chat,
                room,
                user: ADA,
                text: &text,
                client_id: None,
            };
            post.send(&limits, letter).await.unwrap();
        }
    }
    assert_eq!(store.litter(0).await.unwrap(), None);
    world.change(&engine, gone, remove(2)).await.unwrap();
    change_chat::delete_chat(&store, &engine, gone, ADA).await.unwrap();
    while let Some(litter) = store.litter(0).await.unwrap() {
        let removed: Result<(), data::DataError> =
            world.db.write(move |tx| Box::pin(crate::store::remove_litter(tx, litter))).await;
        removed.unwrap();
    }
    let of = |room: RoomId, what: &str| format!("log WHERE room_id = {} AND {what}", room.get());
    assert_eq!(world.count(&of(gone, "kind IN ('left', 'deleted')")).await, 2);
    assert_eq!(world.count(&of(gone, "kind NOT IN ('left', 'deleted')")).await, 0);
    assert_eq!(world.count(&of(kept, "kind = 'message'")).await, 3);
    assert_eq!(world.count("mentions").await, 3);
    // A room that was never seen, a day later.
    let new = crate::store::NewRoom {
        kind: crate::model::RoomKind::Chat,
        name: "given up".into(),
        palette: None,
        topic: None,
        invite_code: None,
        operation: None,
    };
    let inserted: Result<RoomId, data::DataError> =
        world.db.write(move |tx| Box::pin(crate::store::insert_room(tx, new, 5))).await;
    inserted.unwrap();
    assert_eq!(store.litter(5).await.unwrap(), None, "it may still be made");
    let litter = store.litter(6).await.unwrap().unwrap();
    let removed: Result<(), data::DataError> =
        world.db.write(move |tx| Box::pin(crate::store::remove_litter(tx, litter))).await;
    removed.unwrap();
    assert_eq!(world.count("rooms WHERE NOT visible").await, 0);
});

fn put(id: i64, name: &str) -> Wanted {
    Wanted::Add(person(id, name), 10)
}

fn remove(id: i64) -> Wanted {
    Wanted::Remove(UserId::new(id))
}
