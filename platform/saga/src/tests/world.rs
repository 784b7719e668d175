//! A journey booked across services that fail as a script says, and the rules it must keep.
//!
//! Every effect is written down with its place in time: those of local steps in the database, in
//! the transaction that they are part of; those of remote steps in memory, as the services saw
//! them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use data::{Database, Migration, Tx};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::*;
use crate::recovery;
use crate::settings::Clock;
use crate::step::StepKey;

pub(super) const TRIP: &str = "trip";
pub(crate) const LEASE: i64 = 20_000;

const EFFECTS: &[Migration] = &[Migration {
    name: "test/0001",
    sql: "CREATE TABLE effects (saga TEXT NOT NULL, step TEXT NOT NULL, undo BIGINT NOT NULL, \
          place BIGINT NOT NULL)",
}];

/// The steps, and whether they are local, have an undo, and come after the pivot.
const STEPS: [(&str, bool, bool, bool); 7] = [
    ("open", true, true, false),
    ("hotel", false, true, false),
    ("car", false, true, false),
    ("note", true, true, false),
    ("pay", false, true, false),
    ("confirm", true, false, true),
    ("mail", false, false, true),
];

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Trip {
    pub(super) name: String,
    pub(super) done: Vec<String>,
}

/// What a service does when it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Ok,
    /// Nothing happens, and it says that it never will.
    Refuse,
    /// Nothing happens this time.
    Retry,
    /// It happens, but the answer is lost.
    Doubt,
    Panic,
}

/// What happened where and when.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Effect {
    step: String,
    key: String,
    undo: bool,
    place: i64,
}

/// How a saga ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Done,
    Undone,
    /// It never began.
    Nothing,
}

type Script = HashMap<(&'static str, bool), Vec<Outcome>>;

/// Settings of a world whose clock is `time`, in which nobody waits in earnest.
pub(crate) fn settings(time: &Arc<AtomicI64>) -> Settings {
    let time = Arc::clone(time);
    Settings {
        lease: Duration::from_millis(LEASE as u64),
        step_timeout: Duration::from_secs(5),
        give_up_after: Duration::from_secs(12),
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(4),
        recover_every: Duration::from_millis(5),
        wait: Duration::from_secs(20),
        clock: Clock::new(move || time.load(Ordering::SeqCst)),
        ..Settings::default()
    }
}

/// Everything outside of the sagas.
#[derive(Clone)]
pub(super) struct World {
    pub(super) db: Database,
    time: Arc<AtomicI64>,
    remote: Arc<Mutex<Vec<Effect>>>,
    script: Arc<Mutex<Script>>,
    places: Arc<AtomicI64>,
}

impl World {
    pub(super) async fn build(settings: &DataSettings) -> Self {
        let db = Database::open(settings, &[crate::MIGRATIONS, EFFECTS]).await.unwrap();
        Self {
            db,
            time: Arc::new(AtomicI64::new(1_000_000)),
            remote: Arc::default(),
            script: Arc::default(),
            places: Arc::default(),
        }
    }

    /// What happens at the calls of a step (or of its undo), one after the other; the last
    /// outcome stays.
    pub(super) fn script(&self, step: &'static str, undo: bool, outcomes: &[Outcome]) {
        self.script.lock().unwrap().insert((step, undo), outcomes.to_vec());
    }

    pub(super) fn forget_script(&self) {
        self.script.lock().unwrap().clear();
    }

    pub(super) fn settings(&self) -> Settings {
        settings(&self.time)
    }

    /// An engine as another process would have it.
    pub(super) fn engine(&self) -> Engine {
        self.engine_with(self.settings())
    }

    /// An engine that dies as `faults` say.
    pub(super) fn mortal(&self, faults: &Faults) -> Engine {
        self.engine_with(Settings { faults: Some(faults.clone()), ..self.settings() })
    }

    pub(super) fn engine_with(&self, settings: Settings) -> Engine {
        Engine::new(self.db.clone(), settings).register(self.trip())
    }

    pub(super) fn pass(&self, millis: i64) {
        self.time.fetch_add(millis, Ordering::SeqCst);
    }

    fn trip(&self) -> Definition<Trip> {
        let mut trip = Definition::<Trip>::new(TRIP);
        for (name, local, has_undo, _) in STEPS {
            let (world, undo) = (self.clone(), self.clone());
            trip = if local {
                trip.local(name, move |tx, key, s| world.clone().act(tx, key, s))
            } else {
                trip.remote(name, move |key, s| world.clone().call(key, s))
            };
            trip = match (has_undo, local) {
                (false, _) => trip,
                (true, true) => trip.undo_local(move |tx, key, _| undo.clone().undo(tx, key)),
                (true, false) => trip.undo_remote(move |key, _| undo.clone().take_back(key)),
            };
            if name == "pay" {
                trip = trip.pivot();
            }
        }
        trip
    }

    fn act(self, tx: &Tx, key: StepKey, trip: Trip) -> BoxFuture<'_, Result<Trip, StepError>> {
        Box::pin(async move {
            self.write(tx, key, false).await?;
            self.outcome(key, false)?;
            Ok(trip.after(key))
        })
    }

    fn undo(self, tx: &Tx, key: StepKey) -> BoxFuture<'_, Result<(), StepError>> {
        Box::pin(async move {
            self.write(tx, key, true).await?;
            self.outcome(key, true).map(drop)
        })
    }

    async fn call(self, key: StepKey, trip: Trip) -> Result<Trip, StepError> {
        tokio::task::yield_now().await;
        self.happen(key, false)?;
        Ok(trip.after(key))
    }

    async fn take_back(self, key: StepKey) -> Result<(), StepError> {
        tokio::task::yield_now().await;
        self.happen(key, true)
    }

    /// Writes a local effect down; the transaction decides whether it was.
    async fn write(&self, tx: &Tx, key: StepKey, undo: bool) -> Result<(), StepError> {
        let sql = "INSERT INTO effects (saga, step, undo, place) VALUES ($1, $2, $3, $4)";
        let undo = i64::from(undo);
        tx.run(sql, values![key.saga().to_string(), key.step(), undo, self.place()]).await?;
        Ok(())
    }

    fn happen(&self, key: StepKey, undo: bool) -> Result<(), StepError> {
        let outcome = self.outcome(key, undo);
        let happened = match &outcome {
            Ok(outcome) => *outcome == Outcome::Ok,
            Err(StepError::Retry(reason)) => reason == "lost",
            Err(StepError::Undo(_)) => false,
        };
        if happened {
            let (step, key) = (key.step().to_owned(), key.to_string());
            let place = self.place();
            self.remote.lock().unwrap().push(Effect { step, key, undo, place });
        }
        outcome.map(drop)
    }

    fn place(&self) -> i64 {
        self.places.fetch_add(1, Ordering::SeqCst)
    }

    /// What the script says next. Every call takes a second of the world's time.
    fn outcome(&self, key: StepKey, undo: bool) -> Result<Outcome, StepError> {
        self.pass(1000);
        let outcome = {
            let mut script = self.script.lock().unwrap();
            match script.get_mut(&(key.step(), undo)) {
                Some(outcomes) if outcomes.len() > 1 => outcomes.remove(0),
                Some(outcomes) => outcomes.first().copied().unwrap_or(Outcome::Ok),
                None => Outcome::Ok,
            }
        };
        match outcome {
            Outcome::Ok => Ok(outcome),
            Outcome::Refuse => Err(StepError::Undo(Problem::conflict(key.step()))),
            Outcome::Retry => Err(StepError::Retry("not now".into())),
            Outcome::Doubt => Err(StepError::Retry("lost".into())),
            // Without the hook, which would print a backtrace each time.
            Outcome::Panic => std::panic::resume_unwind(Box::new("a step panics")),
        }
    }

    pub(super) async fn row(&self, id: Uuid) -> Option<store::Saga> {
        store::load(&self.db, id).await.unwrap()
    }

    /// Lets the recovery worker of `engine` look and drive until the saga ends, or `engine` dies.
    pub(super) async fn recover(&self, engine: &Engine, id: Uuid) {
        let dead = || {
            let faults = engine.settings.faults.as_ref();
            faults.is_some_and(Faults::died)
        };
        let room = Arc::new(Semaphore::new(8));
        for _ in 0..200 {
            if dead() || self.row(id).await.is_none_or(|saga| saga.status.ended()) {
                return;
            }
            self.pass(LEASE + 1);
            recovery::take_up(engine, &room).await.unwrap();
            // Every driver has let go of its place.
            drop(room.acquire_many(8).await.unwrap());
        }
        panic!("it does not end: {:?}", self.row(id).await);
    }

    /// Checks everything that must be so once a saga has ended.
    pub(super) async fn verify(&self, id: Uuid) -> Ending {
        let row = self.row(id).await;
        let rows: Vec<(String, i64, i64)> = self
            .db
            .read()
            .rows("SELECT step, undo, place FROM effects WHERE saga = $1", values![id.to_string()])
            .await
            .unwrap();
        let local = rows.into_iter().map(|(step, undo, place)| Effect {
            key: format!("{id}/{step}"),
            step,
            undo: undo == 1,
            place,
        });
        let remote = self.remote.lock().unwrap().clone();
        let of_this = remote.into_iter().filter(|effect| effect.key.starts_with(&id.to_string()));
        let mut effects: Vec<Effect> = local.chain(of_this).collect();
        effects.sort_by_key(|effect| effect.place);
        let Some(row) = row else {
            assert_eq!(effects, [], "it never began");
            return Ending::Nothing;
        };
        let tale = format!("{row:?}\n{effects:#?}");
        let ending = match row.status {
            Status::Done => Ending::Done,
            Status::Undone => Ending::Undone,
            status => panic!("{status:?} is no end: {tale}"),
        };
        let mut firsts = Vec::new();
        for (n, (step, local, has_undo, after_pivot)) in STEPS.into_iter().enumerate() {
            let of_step = || effects.iter().filter(|effect| effect.step == step);
            assert!(of_step().all(|e| e.key == format!("{id}/{step}")), "one key: {tale}");
            let done = of_step().filter(|effect| !effect.undo).count();
            let undone = of_step().filter(|effect| effect.undo).count();
            if local {
                assert!(done <= 1 && undone <= 1, "{step} exactly once: {tale}");
            }
            match ending {
                Ending::Done => {
                    assert!(done >= 1, "{step} was done: {tale}");
                    assert_eq!(undone, 0, "{step} was not undone: {tale}");
                }
                _ => {
                    assert!(!after_pivot || done == 0, "{step} is past the pivot: {tale}");
                    assert!(done == 0 || undone > 0 || !has_undo, "{step} was undone: {tale}");
                    assert!(!local || done == undone, "{step} undone as done: {tale}");
                    let turned = of_step().position(|effect| effect.undo);
                    let late = of_step().skip(turned.unwrap_or(usize::MAX)).any(|e| !e.undo);
                    assert!(!late, "{step} was not done after its undo: {tale}");
                }
            }
            let first = |undo| of_step().find(|effect| effect.undo == undo).map(|e| e.place);
            firsts.push((n, first(false), first(true)));
        }
        let forward: Vec<i64> = firsts.iter().filter_map(|(_, done, _)| *done).collect();
        assert!(forward.is_sorted(), "steps in order: {tale}");
        let back: Vec<i64> = firsts.iter().filter_map(|(_, _, undone)| *undone).collect();
        assert!(back.is_sorted_by(|a, b| a > b), "undone last step first: {tale}");
        if ending == Ending::Done {
            let state: Trip = serde_json::from_str(&row.state).unwrap();
            assert_eq!(state.done, STEPS.map(|(name, ..)| name), "the state saw each step once");
        }
        ending
    }
}

impl Trip {
    pub(super) fn named(name: &str) -> Self {
        Self { name: name.to_owned(), done: Vec::new() }
    }

    fn after(mut self, key: StepKey) -> Self {
        self.done.push(key.step().to_owned());
        self
    }
}
