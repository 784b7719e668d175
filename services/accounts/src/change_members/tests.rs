//! Changes of who is in a chat, crashed at every point there is, raced with deletions in every
//! order, and with each other.

#![allow(clippy::unwrap_used)]

mod crashes;
mod deletions;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use data::{DataError, DataSettings, Database, Sql, values};
use proptest::prelude::*;
use saga::faults::Faults;
use saga::two_phase::{Coordinator, Outcome, Participant, Participation, Vote};
use saga::{Clock, Settings};
use tasks::Tasks;
use testkit::{eventually, on_each_engine};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::*;
use crate::MIGRATIONS;
use crate::model::Name;
use crate::store::NewUser;

struct World {
    db: Database,
    time: Arc<AtomicI64>,
    next: AtomicI64,
}

impl World {
    async fn new(settings: &DataSettings) -> Self {
        let db = Database::open(settings, MIGRATIONS).await.unwrap();
        Self { db, time: Arc::new(AtomicI64::new(1_000_000)), next: AtomicI64::new(1) }
    }

    /// A number that nobody has had.
    fn new_number(&self) -> i64 {
        self.next.fetch_add(1, Ordering::SeqCst)
    }

    fn new_chat(&self) -> RoomId {
        self.new_number().into()
    }

    async fn new_user(&self) -> UserId {
        let new = NewUser {
            name: Name::parse(&format!("user-{}", self.new_number())).unwrap(),
            email: None,
            password_hash: None,
            staff: false,
            created_at: 0,
        };
        let insert = self.db.write(move |tx: &Tx| {
            Box::pin(async move { Ok::<_, DataError>(store::insert(tx, &new).await?.unwrap()) })
        });
        insert.await.unwrap()
    }

    /// Puts `users` into `chat`, as an earlier change has left them.
    async fn seat(&self, chat: RoomId, users: &[UserId]) {
        let change = Change { chat_id: chat, asker: users[0], add: users.to_vec(), remove: vec![] };
        let (well, id) = (self.instance(None), new_tx());
        assert_eq!(well.prepare(id, change).await, Ok(Vote::Yes));
        well.commit(id).await.unwrap();
    }

    /// The service's part as a process has it that dies as told.
    fn instance(&self, faults: Option<Faults>) -> Participation<Members> {
        let time = Arc::clone(&self.time);
        let settings = Settings {
            recover_every: Duration::from_millis(2),
            clock: Clock::new(move || time.load(Ordering::SeqCst)),
            faults,
            ..Settings::default()
        };
        Participation::new(self.db.clone(), Members::new(self.db.engine()), settings)
    }

    async fn members(&self, chat: RoomId) -> Vec<i64> {
        let sql = "SELECT user_id FROM user_chats WHERE chat_id = $1 ORDER BY user_id";
        let rows = self.db.read_primary().rows(sql, values![chat.get()]).await.unwrap();
        rows.into_iter().map(|(user,)| user).collect()
    }

    async fn chats(&self, user: UserId) -> Vec<RoomId> {
        store::chats_of(&self.db.read_primary(), user).await.unwrap()
    }

    async fn held(&self) -> i64 {
        let sql = "SELECT COUNT(*) FROM held_chats";
        let row: Option<(i64,)> = self.db.read_primary().row(sql, values![]).await.unwrap();
        row.unwrap().0
    }

    async fn is_prepared(&self, id: TxId) -> bool {
        let sql = "SELECT 1 FROM prepared WHERE id = $1 AND status = 'prepared'";
        let row: Option<(i32,)> =
            self.db.read_primary().row(sql, values![id.to_string()]).await.unwrap();
        row.is_some()
    }
}

fn new_tx() -> TxId {
    format!("{}.0", Uuid::new_v4()).parse().unwrap()
}

fn change(chat: RoomId, asker: UserId, add: &[UserId], remove: &[UserId]) -> Change {
    let ids = |users: &[UserId]| users.iter().map(|user| user.get()).collect();
    let request = PrepareChatRequest {
        tx: String::new(),
        chat_id: chat.get(),
        asker: asker.get(),
        add: ids(add),
        remove: ids(remove),
    };
    Change::read(request).unwrap()
}

async fn end(at: &Participation<Members>, id: TxId, commit: bool) -> Result<(), StepError> {
    if commit { at.commit(id).await } else { at.abort(id).await }
}

async fn close(db: &Database, user: UserId) {
    let closed = db.write(move |tx: &Tx| Box::pin(store::close(tx, user, 1)));
    assert_eq!(closed.await, Ok(true));
}

async fn erase(db: &Database, user: UserId) {
    db.write(move |tx: &Tx| Box::pin(store::erase(tx, user))).await.unwrap();
}

/// A transaction that is stopped after its work and before its end.
struct Halted {
    task: JoinHandle<()>,
    go: Arc<Notify>,
}

impl Halted {
    async fn after<F>(db: &Database, work: F) -> Self
    where
        F: for<'t> FnOnce(&'t Tx) -> data::BoxFuture<'t, ()> + Send + 'static,
    {
        let (db, there, go) = (db.clone(), Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (arrived, begin) = (there.clone(), go.clone());
        let task = tokio::spawn(async move {
            let done: Result<(), DataError> = db
                .write(move |tx: &Tx| {
                    Box::pin(async move {
                        work(tx).await;
                        arrived.notify_one();
                        begin.notified().await;
                        Ok(())
                    })
                })
                .await;
            done.unwrap();
        });
        there.notified().await;
        Self { task, go }
    }

    async fn go_on(self) {
        self.go.notify_one();
        self.task.await.unwrap();
    }
}

/// Waits until `task` waits for a lock, or has not had to. SQLite has one writer anyway.
async fn comes_to_a_lock<T>(db: &Database, task: &JoinHandle<T>) {
    if db.engine() == Engine::Sqlite {
        return;
    }
    eventually("it waits, or does not have to", || async {
        let sql = "SELECT COUNT(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let waiting: Option<(i64,)> = db.read_primary().row(sql, values![]).await.unwrap();
        waiting.unwrap().0 > 0 || task.is_finished()
    })
    .await;
}

#[test]
fn accounts_are_held_in_their_order() {
    let name = concat!(module_path!(), "::accounts_are_held_in_their_order");
    testkit::run_on_postgres(name, |settings: DataSettings| async move {
        let world = World::new(&settings).await;
        let (a, b, chat) = (world.new_user().await, world.new_user().await, world.new_chat());
        let (members, id) = (Members::new(world.db.engine()), new_tx());
        let first = Halted::after(&world.db, move |tx| {
            let asked = change(chat, a, &[a], &[]);
            Box::pin(async move { members.prepare(tx, id, &asked).await.unwrap() })
        })
        .await;
        let well = world.instance(None);
        let second =
            tokio::spawn(
                async move { well.prepare(new_tx(), change(chat, b, &[b, a], &[])).await },
            );
        comes_to_a_lock(&world.db, &second).await;
        // It waits for the lower one, and has not yet taken the higher.
        let third = world.instance(None).prepare(new_tx(), change(chat, b, &[b], &[])).await;
        assert_eq!(third, Ok(Vote::Yes));
        first.go_on().await;
        assert_eq!(second.await.unwrap(), Err(StepError::Retry(HELD.into())));
    });
}

on_each_engine!(those_who_meet_go_one_after_the_other, |settings: DataSettings| async move {
    let world = World::new(&settings).await;
    let well = world.instance(None);
    for _ in 0..25 {
        let [a, b, c] = [world.new_user().await, world.new_user().await, world.new_user().await];
        let (chat, other) = (world.new_chat(), world.new_chat());
        let ids = [new_tx(), new_tx(), new_tx()];
        let votes = tokio::join!(
            well.prepare(ids[0], change(chat, a, &[a, b, c], &[])),
            well.prepare(ids[1], change(chat, c, &[c, b, a], &[])),
            well.prepare(ids[2], change(other, b, &[c, a, b], &[])),
        );
        // Had they waited for each other in a circle, one would have been told something else.
        let held = Err(StepError::Retry(HELD.into()));
        let winner = match (votes.0, votes.1) {
            (Ok(Vote::Yes), no) if no == held => ids[0],
            (no, Ok(Vote::Yes)) if no == held => ids[1],
            votes => panic!("{votes:?}"),
        };
        assert_eq!(votes.2, Ok(Vote::Yes));
        let gone = async |user| {
            close(&world.db, user).await;
            erase(&world.db, user).await;
        };
        let ended = tokio::join!(gone(c), well.commit(winner), well.commit(ids[2]), gone(a));
        assert_eq!((ended.1, ended.2), (Ok(()), Ok(())));
        assert_eq!(world.members(chat).await, [b.get()]);
        assert_eq!(world.members(other).await, [b.get()]);
        assert_eq!(world.held().await, 0);
    }
});

proptest! {
    #[test]
    fn what_is_prepared_can_be_read_again(
        chat_id: i64,
        asker in -1..4_i64,
        add in prop::collection::vec(-1..9_i64, 0..6),
        remove in prop::collection::vec(prop_oneof![-1..20_i64, any::<i64>()], 0..6),
    ) {
        let tx = String::new();
        let request = PrepareChatRequest { tx, chat_id, asker, add, remove };
        if let Ok(change) = Change::read(request) {
            let text = serde_json::to_string(&change).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Change>(&text).unwrap(), &change);
            let all = change.concerned();
            prop_assert!(all.is_sorted_by(|one, next| one < next), "{:?}", all);
        }
    }
}
