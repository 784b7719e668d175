//! A palettes service and what is around it.

use axum::Router;
use contracts::events::Event;
use contracts::palettes::palettes_client::PalettesClient;
use data::{DataSettings, Database, Sql, values};
use events::Log;
use mesh::{Channel, Mesh, MeshSettings};
use palettes::Settings;
use serde_json::{Value, json};
use tasks::Tasks;
use testkit::Client;

use crate::popularity::FakePopularity;

pub(crate) const ANNA: i64 = 1;
pub(crate) const BEN: i64 = 2;

pub(crate) struct World {
    pub(crate) db: Database,
    pub(crate) log: Log,
    pub(crate) mesh: Mesh,
    pub(crate) tasks: Tasks,
    pub(crate) popularity: FakePopularity,
    pub(crate) client: Client,
}

impl World {
    pub(crate) async fn new(settings: DataSettings) -> Self {
        Self::with(settings, Settings::default()).await
    }

    pub(crate) async fn with(settings: DataSettings, how: Settings) -> Self {
        let db = Database::open(&settings, palettes::MIGRATIONS).await.unwrap();
        let log = Log::open(&testkit::sibling(&settings, "log").await).await.unwrap();
        let mesh = Mesh::new(MeshSettings::default());
        let popularity = FakePopularity::default();
        mesh.install("popularity", popularity.router());
        let tasks = Tasks::new();
        let router =
            palettes::build(db.clone(), log.clone(), mesh.clone(), &tasks, how).await.unwrap();
        mesh.install("palettes", router.clone());
        Self { db, log, mesh, tasks, popularity, client: Client::new(router) }
    }

    /// A second instance on the same database and log.
    pub(crate) async fn another(&self) -> Router {
        let (db, log, mesh) = (self.db.clone(), self.log.clone(), self.mesh.clone());
        palettes::build(db, log, mesh, &self.tasks, Settings::default()).await.unwrap()
    }

    pub(crate) fn anna(&self) -> Client {
        self.client.as_user(ANNA)
    }

    pub(crate) fn ben(&self) -> Client {
        self.client.as_user(BEN)
    }

    /// As siblings call it.
    pub(crate) fn rpc(&self) -> PalettesClient<Channel> {
        PalettesClient::new(self.mesh.channel("palettes"))
    }

    /// Anna's new palette.
    pub(crate) async fn create(&self, body: Value) -> Value {
        self.anna().post("/palettes", body).await.expect(201).json()
    }

    /// A palette of one colour; its id.
    pub(crate) async fn some(&self) -> i64 {
        id(&self.create(json!({"color_codes": ["#ABCDEF"]})).await)
    }

    /// How many rows a table has.
    pub(crate) async fn rows(&self, table: &str) -> i64 {
        let sql = format!("SELECT COUNT(*) FROM {table}");
        self.db.read().row::<(i64,)>(&sql, values![]).await.unwrap().unwrap().0
    }

    /// The payloads of this kind of event so far.
    pub(crate) async fn told<E: Event>(&self) -> Vec<E> {
        let all = self.log.read_after(0, 10_000).await.unwrap();
        all.into_iter()
            .filter(|event| event.name == E::NAME)
            .map(|event| event.decode().unwrap())
            .collect()
    }
}

pub(crate) fn id(palette: &Value) -> i64 {
    palette["palette_id"].as_str().unwrap().parse().unwrap()
}

/// The ids of an array of palettes.
pub(crate) fn ids(list: &Value) -> Vec<i64> {
    list.as_array().unwrap().iter().map(id).collect()
}
