//! The sagas, crashed at every point there is, with a popularity that fails in every way: whatever
//! happens, a palette is whole here and known there, or neither.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use contracts::events::{Event, PaletteCreated, PaletteDeleted, PaletteUpdated};
use contracts::ids::{PaletteId, UserId};
use data::{DataSettings, Database, Sql, Tx, values};
use mesh::{Mesh, MeshSettings};
use rest::Problem;
use saga::faults::Faults;
use saga::{Clock, Settings};
use tasks::Tasks;
use testkit::on_each_engine;
use uuid::Uuid;

use crate::fake_popularity::{Answer, FakePopularity};
use crate::model::{Change, Draft, Palette};
use crate::popularity::Popularity;
use crate::store::Store;
use crate::{MIGRATIONS, create_palette, delete_palette, update_palette};

const ANNA: UserId = UserId::new(1);

/// How popularity answers the first changes it is asked for; after that it is well.
const SCRIPTS: [&[Answer]; 6] = [
    &[],
    &[Answer::Lost],
    &[Answer::Down, Answer::Lost, Answer::Down],
    &[Answer::Refused],
    &[Answer::Lost, Answer::Refused, Answer::Down, Answer::Lost],
    &[Answer::Silent, Answer::Down],
];

struct World {
    db: Database,
    store: Store,
    fake: FakePopularity,
    popularity: Popularity,
    ahead: Arc<AtomicI64>,
}

impl World {
    async fn new(settings: DataSettings) -> Self {
        let db = Database::open(&settings, MIGRATIONS).await.unwrap();
        let fake = FakePopularity::default();
        let mesh = Mesh::new(MeshSettings::default());
        mesh.install("popularity", fake.router());
        let (store, popularity) = (Store::new(db.clone()), Popularity::new(&mesh));
        Self { db, store, fake, popularity, ahead: Arc::default() }
    }

    /// An engine as each instance has one, that dies as told.
    fn engine(&self, faults: Option<Faults>) -> saga::Engine {
        let ahead = self.ahead.clone();
        let settings = Settings {
            step_timeout: Duration::from_millis(200),
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
        crate::sagas(&self.db, &self.popularity, &self.store, settings)
    }

    /// The dead driver's lease runs out, and another instance takes over until all has ended. A
    /// driver may be alive still, and die in the meantime: then its lease runs out as well.
    async fn recover(&self) {
        let tasks = Tasks::new();
        self.engine(None).start(&tasks);
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
                return;
            }
        }
        panic!("there are sagas that do not end");
    }

    async fn count(&self, from: &str) -> i64 {
        let sql = format!("SELECT COUNT(*) FROM {from}");
        self.db.read().row::<(i64,)>(&sql, values![]).await.unwrap().unwrap().0
    }

    async fn told(&self, name: &str) -> i64 {
        self.count(&format!("events_outbox WHERE name = '{name}'")).await
    }

    /// What must hold whatever happened: no palette is hidden, none lacks colours, none has some
    /// left over, and popularity knows exactly those there are, in their categories.
    async fn check(&self) -> Vec<i64> {
        assert_eq!(self.count("palettes WHERE NOT visible").await, 0);
        let sql = "SELECT id, category FROM palettes ORDER BY id";
        let rows: Vec<(i64, Option<String>)> = self.db.read().rows(sql, values![]).await.unwrap();
        let ids: Vec<i64> = rows.iter().map(|(id, _)| *id).collect();
        assert_eq!(self.fake.known(), ids);
        for (id, category) in rows {
            assert_eq!(self.fake.item(id).unwrap().category, category);
        }
        assert_eq!(self.count("palette_colors").await, 2 * ids.len() as i64);
        ids
    }

    async fn create(&self, engine: &saga::Engine) -> Result<PaletteId, Problem> {
        let colors = ["#123456", "#ABCDEF"].map(|code| code.parse().unwrap()).to_vec();
        let draft = Draft { colors, category: Some("old".into()), name: None };
        let state = create_palette::State::new(ANNA, draft);
        let state = engine.run(create_palette::NAME, Uuid::new_v4(), state).await?;
        Ok(state.palette().unwrap().id)
    }
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
        answer = work => answer.ok(),
        () = dead => None,
    }
}

on_each_engine!(a_creation_is_whole_or_absent, |settings: DataSettings| async move {
    let world = World::new(settings).await;
    for script in SCRIPTS {
        for n in 0.. {
            world.fake.get().script.extend(script);
            let faults = Faults::at(n);
            let engine = world.engine(Some(faults.clone()));
            let answer = unless_dead(&faults, world.create(&engine)).await;
            world.recover().await;
            let there = world.check().await;
            if let Some(id) = answer {
                assert!(
                    there.contains(&id.get()),
                    "{script:?}, {n}: an acknowledged palette is lost"
                );
            }
            assert_eq!(
                world.told(PaletteCreated::NAME).await,
                there.len() as i64,
                "{script:?}, {n}"
            );
            if !faults.died() {
                break;
            }
        }
    }
    assert!(world.count("palettes").await > 10, "most crashes are recovered from");
});

on_each_engine!(a_deletion_is_whole_or_has_not_begun, |settings: DataSettings| async move {
    let world = World::new(settings).await;
    let mut deleted = 0;
    for script in SCRIPTS {
        for n in 0.. {
            let id = world.create(&world.engine(None)).await.unwrap();
            world.fake.get().script.extend(script);
            let faults = Faults::at(n);
            let engine = world.engine(Some(faults.clone()));
            let state = delete_palette::State { id, user: ANNA };
            let work = engine.run_past_pivot(delete_palette::NAME, Uuid::new_v4(), state);
            let answer = unless_dead(&faults, work).await;
            world.recover().await;
            let there = world.check().await.contains(&id.get());
            assert!(!(there && answer.is_some()), "{script:?}, {n}: it was said to be gone");
            deleted += i64::from(!there);
            assert_eq!(world.told(PaletteDeleted::NAME).await, deleted);
            if !faults.died() {
                break;
            }
        }
    }
    assert!(deleted > 10);
});

on_each_engine!(popularity_follows_a_change_of_category, |settings: DataSettings| async move {
    let world = World::new(settings).await;
    let id = world.create(&world.engine(None)).await.unwrap();
    let mut changes = 0;
    for script in SCRIPTS {
        for n in 0.. {
            world.fake.get().script.extend(script);
            let faults = Faults::at(n);
            let engine = world.engine(Some(faults.clone()));
            let category = format!("{changes} {n}");
            let change = Change { category: Some(Some(category.clone())), ..Change::default() };
            let state = update_palette::State { id, user: ANNA, seen: None, change, palette: None };
            let work = engine.run_past_pivot(update_palette::NAME, Uuid::new_v4(), state);
            let answer = unless_dead(&faults, work).await;
            world.recover().await;
            world.check().await;
            let palette = world.store.get(id).await.unwrap().unwrap();
            let changed = palette.category == Some(category);
            assert!(changed || answer.is_none(), "{script:?}, {n}: an acknowledged change is lost");
            changes += i64::from(changed);
            assert_eq!(world.told(PaletteUpdated::NAME).await, changes);
            if !faults.died() {
                break;
            }
        }
    }
    assert!(changes > 10);
});

on_each_engine!(an_account_is_erased_for_good, |settings: DataSettings| async move {
    let world = World::new(settings).await;
    for n in 0.. {
        world
            .db
            .write(|tx: &Tx| Box::pin(async move { tx.run("DELETE FROM erased_users", []).await }))
            .await
            .unwrap();
        let mut made = Vec::new();
        for _ in 0..3 {
            made.push(world.create(&world.engine(None)).await.unwrap().get());
        }
        let faults = Faults::at(n);
        let engine = world.engine(Some(faults.clone()));
        let state = delete_palette::Erasure { user: ANNA, gone: Vec::new() };
        let work = engine.run_past_pivot(delete_palette::ERASE, Uuid::new_v4(), state);
        let answer = unless_dead(&faults, work).await;
        world.recover().await;
        let there = world.check().await;
        assert!(there.is_empty() || answer.is_none());
        assert!(there.is_empty() || made.iter().all(|id| there.contains(id)), "all or none");
        if !faults.died() {
            break;
        }
    }
});

on_each_engine!(
    popularity_is_told_again_when_it_was_told_what_is_past,
    |settings: DataSettings| async move {
        let world = World::new(settings).await;
        let id = world.create(&world.engine(None)).await.unwrap();
        let palette = world.store.get(id).await.unwrap();
        let other =
            palette.clone().map(|palette| Palette { category: Some("new".into()), ..palette });
        for seen in
            [[&palette, &other, &other], [&other, &palette, &other], [&palette, &None, &None]]
        {
            let looks = AtomicI64::new(0);
            let current = || async {
                // What another request has made of it by now; the last stays.
                let look = looks.fetch_add(1, Ordering::SeqCst).min(2);
                Ok::<_, tonic::Status>(seen[usize::try_from(look).unwrap()].clone())
            };
            world.popularity.agree(id, current).await.unwrap();
            let last = seen[2].as_ref().and_then(|palette| palette.category.clone());
            assert_eq!(world.fake.item(id.get()).and_then(|item| item.category), last);
        }
        assert!(world.fake.known().is_empty());
    }
);
