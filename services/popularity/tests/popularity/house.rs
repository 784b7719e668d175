//! One or more instances of the service on one database or several, beside palettes that are made
//! up.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use contracts::Kind;
use contracts::palettes::palettes_server::{Palettes, PalettesServer};
use contracts::palettes::{GetManyReply, GetManyRequest, Palette};
use contracts::popularity::popularity_client::PopularityClient;
use contracts::popularity::{Count, CountsRequest, RegisterRequest, WithdrawRequest};
use data::{DataError, DataSettings, Database, Sql};
use events::Log;
use mesh::{Mesh, MeshSettings};
use popularity::clock::Clock;
use popularity::{MIGRATIONS, Operator, Settings, ShardSettings};
use serde_json::Value;
use tasks::Tasks;
use telemetry::Context;
use testkit::{Client, eventually};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::cells::Cell;

pub(crate) const HOUR: i64 = 3_600_000;
/// 2026-10-01, on the hour.
pub(crate) const START: i64 = 1_790_812_800_000;

/// An instance of the service.
pub(crate) struct House {
    pub router: Router,
    pub db: Database,
    /// Those of all shards, for looking past the service.
    pub dbs: Vec<Database>,
    pub log: Log,
    pub tasks: Tasks,
    pub clock: Arc<AtomicI64>,
    pub palettes: FakePalettes,
    pub databases: Databases,
}

/// What an instance stands on.
#[derive(Clone)]
pub(crate) struct Databases {
    pub own: DataSettings,
    pub log: DataSettings,
    pub shards: Vec<DataSettings>,
}

/// The slots that begin on shard 1 and on shard 2; the rest begins on shard 0.
pub(crate) const BEGIN: [&str; 2] = ["85-169", "170-255"];

impl Databases {
    pub(crate) async fn of(cell: Cell) -> Self {
        let Cell { settings: own, shards: count } = cell;
        let log = testkit::sibling(&own, "log").await;
        let mut shards = Vec::new();
        for number in 1..count {
            shards.push(testkit::sibling(&own, &format!("shard{number}")).await);
        }
        Self { own, log, shards }
    }

    pub(crate) fn settings(&self) -> Settings {
        let shard = |(database, slots): (&DataSettings, &&str)| ShardSettings {
            slots: (*slots).into(),
            database: database.clone(),
        };
        Settings {
            flush_views_ms: 20,
            take_over_moves_after_ms: 60_000,
            shards: self.shards.iter().zip(&BEGIN).map(shard).collect(),
            ..Settings::default()
        }
    }
}

impl House {
    pub(crate) async fn open(cell: Cell) -> Self {
        let databases = Databases::of(cell).await;
        let settings = databases.settings();
        Self::open_with(databases, settings).await
    }

    pub(crate) async fn open_with(databases: Databases, settings: Settings) -> Self {
        let clock = Arc::new(AtomicI64::new(START));
        Self::build(databases, settings, clock, FakePalettes::default()).await
    }

    /// Another instance on the same database, as another process would open it.
    pub(crate) async fn another(&self) -> Self {
        self.another_with(self.databases.settings()).await
    }

    pub(crate) async fn another_with(&self, settings: Settings) -> Self {
        let databases = self.databases.clone();
        Self::build(databases, settings, self.clock.clone(), self.palettes.clone()).await
    }

    /// What an operator has beside the instances.
    pub(crate) async fn operator(&self) -> Operator {
        Operator::open(self.db.clone(), &self.databases.settings()).await.unwrap()
    }

    async fn build(
        databases: Databases,
        settings: Settings,
        clock: Arc<AtomicI64>,
        palettes: FakePalettes,
    ) -> Self {
        let db = Database::open(&databases.own, MIGRATIONS).await.unwrap();
        let log = Log::open(&databases.log).await.unwrap();
        let mesh = Mesh::new(MeshSettings::default());
        let routes = Routes::from(Router::new()).add_service(PalettesServer::new(palettes.clone()));
        mesh.install("palettes", routes.into_axum_router());
        let tasks = Tasks::new();
        let time = clock.clone();
        let caches = cache::Store::embedded();
        let router = popularity::build_with_clock(
            db.clone(),
            log.clone(),
            mesh,
            &caches,
            &tasks,
            settings,
            Clock::new(move || time.load(Ordering::SeqCst)),
        );
        let router = router.await.unwrap();
        let mut dbs = vec![db.clone()];
        for shard in &databases.shards {
            // One that is not there yet is looked at by nobody.
            dbs.extend(Database::open(shard, MIGRATIONS).await);
        }
        Self { router, db, dbs, log, tasks, clock, palettes, databases }
    }

    /// A caller who sees their own writes.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.router.clone()).fresh()
    }

    pub(crate) fn pass(&self, hours: i64) {
        self.clock.fetch_add(hours * HOUR, Ordering::SeqCst);
    }

    fn rpc(&self) -> PopularityClient<Router> {
        PopularityClient::new(self.router.clone())
    }

    pub(crate) async fn try_register(
        &self,
        kind: Kind,
        item_id: i64,
        owner: i64,
        category: Option<&str>,
    ) -> Result<(), Status> {
        let request = RegisterRequest {
            kind: kind.number(),
            item_id,
            owner,
            category: category.map(str::to_owned),
            created_at: START,
        };
        self.rpc().register(request).await.map(drop)
    }

    /// Palettes 1 to `count`, whose owner is user 1000, without a category.
    pub(crate) async fn palettes(&self, count: i64) {
        for id in 1..=count {
            self.try_register(Kind::Palette, id, 1000, None).await.unwrap();
        }
    }

    pub(crate) async fn withdraw(&self, kind: Kind, item_id: i64) {
        let request = WithdrawRequest { kind: kind.number(), item_id };
        self.rpc().withdraw(request).await.unwrap();
    }

    /// Counts as a sibling asks for them on behalf of `caller`.
    pub(crate) async fn counts_for(
        &self,
        client: &Client,
        ids: &[i64],
        view: bool,
        fresh: bool,
    ) -> Vec<Count> {
        let _ = client;
        let mut context = Context::background();
        context.fresh = fresh;
        let kind = Kind::Palette.number();
        let request = CountsRequest { kind, item_ids: ids.to_vec(), view };
        let mut rpc = self.rpc();
        context.scope(async move { rpc.counts(request).await }).await.unwrap().into_inner().counts
    }

    pub(crate) async fn view(&self, caller: Option<i64>, id: i64) {
        let mut context = Context::background();
        context.caller = caller.map(|user| {
            let session = "s".to_owned();
            auth::Principal { user: user.into(), session, staff: false }.to_header()
        });
        let request =
            CountsRequest { kind: Kind::Palette.number(), item_ids: vec![id], view: true };
        let mut rpc = self.rpc();
        context.scope(async move { rpc.counts(request).await }).await.unwrap();
    }

    /// (likes, views) as they are in the database.
    pub(crate) async fn counts(&self, id: i64) -> (i64, i64) {
        let counts = self.counts_for(&self.client(), &[id], false, true).await;
        (counts[0].likes, counts[0].views)
    }

    pub(crate) async fn like(&self, user: i64, id: i64) -> Value {
        let body = serde_json::json!({"palette_id": id});
        self.client().as_user(user).post("/like", body).await.expect(200).json()
    }

    pub(crate) async fn unlike(&self, user: i64, id: i64) -> Value {
        let body = serde_json::json!({"palette_id": id});
        self.client().as_user(user).delete_with("/like", body).await.expect(200).json()
    }

    /// The ids of a list, in its order.
    pub(crate) async fn ids(&self, path: &str) -> Vec<i64> {
        ids(&self.client().get(path).await.expect(200).json())
    }

    /// Every item's likes are its rows, and so are the hours together (in tests, no like is older
    /// than the hours are kept).
    pub(crate) async fn assert_exact(&self) {
        for sql in [
            "SELECT COUNT(*) FROM items i WHERE i.likes <> (SELECT COUNT(*) FROM likes l
                 WHERE l.kind = i.kind AND l.item_id = i.item_id)",
            "SELECT COUNT(*) FROM items i WHERE i.likes <> COALESCE((
                 SELECT CAST(SUM(a.likes) AS BIGINT) FROM activity a
                 WHERE a.kind = i.kind AND a.item_id = i.item_id), 0)",
            "SELECT COUNT(*) FROM likes l WHERE NOT EXISTS (
                 SELECT 1 FROM items i WHERE i.kind = l.kind AND i.item_id = l.item_id)",
        ] {
            assert_eq!(self.number(sql).await, 0, "{sql}");
        }
    }

    /// Waits until the test's own connections have found every database again.
    pub(crate) async fn is_reached(&self) {
        for db in &self.dbs {
            eventually("a database answers", async || {
                let answer: Result<Option<(i32,)>, _> = db.read().row("SELECT 1", []).await;
                answer.is_ok()
            })
            .await;
        }
    }

    /// A number from the database, or the sum of those from all shards.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let mut sum = 0;
        for db in &self.dbs {
            let row: Option<(i64,)> = db.read().row(sql, []).await.unwrap();
            sum += row.map_or(0, |(number,)| number);
        }
        sum
    }

    /// Writes past the service, to all shards.
    pub(crate) async fn execute(&self, sql: &str) {
        for db in &self.dbs {
            let sql = sql.to_owned();
            let done: Result<(), DataError> =
                db.write(move |tx| Box::pin(async move { tx.run(&sql, []).await.map(drop) })).await;
            done.unwrap();
        }
    }
}

pub(crate) fn ids(list: &Value) -> Vec<i64> {
    let id = |entry: &Value| entry["palette_id"].as_str().unwrap().parse().unwrap();
    list.as_array().unwrap().iter().map(id).collect()
}

/// Knows every palette but those said to be missing.
#[derive(Clone, Default)]
pub(crate) struct FakePalettes {
    pub missing: Arc<Mutex<BTreeSet<i64>>>,
    pub down: Arc<AtomicBool>,
}

#[tonic::async_trait]
impl Palettes for FakePalettes {
    async fn get_many(
        &self,
        request: Request<GetManyRequest>,
    ) -> Result<Response<GetManyReply>, Status> {
        if self.down.load(Ordering::SeqCst) {
            return Err(Status::unavailable("palettes are down"));
        }
        let missing = self.missing.lock().unwrap();
        let palette = |palette_id| Palette {
            palette_id,
            user_id: 1000,
            color_codes: vec!["#AABBCC".into()],
            category: Some("warm".into()),
            name: None,
            created_at: START,
            updated_at: START,
        };
        let ids = request.into_inner().palette_ids;
        let there = ids.into_iter().filter(|id| !missing.contains(id));
        Ok(Response::new(GetManyReply { palettes: there.map(palette).collect() }))
    }
}
