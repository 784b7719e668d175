//! The deletion crashes at every point there is, and is finished by another instance.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use contracts::erasure::erasure_server::{Erasure, ErasureServer};
use contracts::erasure::{EraseReply, EraseRequest};
use data::{DataSettings, Database, Sql, values};
use mesh::{Mesh, MeshSettings};
use saga::faults::Faults;
use tasks::Tasks;
use testkit::{eventually, on_each_engine};

use super::*;
use crate::MIGRATIONS;
use crate::model::{Name, Password};
use crate::settings::{Hashing, Settings};
use crate::sign_up::SignUp;

/// Keeps whom it was told to erase.
#[derive(Clone, Default)]
struct Sibling(Arc<Mutex<Vec<i64>>>);

#[tonic::async_trait]
impl Erasure for Sibling {
    async fn erase(
        &self,
        request: tonic::Request<EraseRequest>,
    ) -> Result<tonic::Response<EraseReply>, tonic::Status> {
        self.0.lock().unwrap().push(request.into_inner().user_id);
        Ok(tonic::Response::new(EraseReply {}))
    }
}

struct World {
    db: Database,
    mesh: Mesh,
    sibling: Sibling,
}

impl World {
    async fn new(database: &DataSettings) -> Self {
        let db = Database::open(database, MIGRATIONS).await.unwrap();
        let (mesh, sibling) = (Mesh::new(MeshSettings::default()), Sibling::default());
        let router = tonic::service::Routes::from(Router::new())
            .add_service(ErasureServer::new(sibling.clone()))
            .into_axum_router();
        mesh.install("palettes", router);
        Self { db, mesh, sibling }
    }

    async fn instance(&self, faults: Option<Faults>) -> Arc<Accounts> {
        let settings = Settings {
            hashing: Hashing { memory_kib: 64, passes: 1, ..Hashing::default() },
            erase_in: vec!["palettes".to_owned()],
            ..Settings::default()
        };
        let sagas = saga::Settings {
            lease: Duration::from_millis(200),
            step_timeout: Duration::from_millis(100),
            first_pause: Duration::from_millis(1),
            recover_every: Duration::from_millis(5),
            wait: Duration::from_millis(50),
            faults,
            ..saga::Settings::default()
        };
        let store = cache::Store::embedded();
        Accounts::open(self.db.clone(), self.mesh.clone(), &store, settings, sagas).await.unwrap()
    }

    async fn count(&self, of: &str) -> i64 {
        let sql = format!("SELECT COUNT(*) FROM {of}");
        let row: Option<(i64,)> = self.db.read_primary().row(&sql, values![]).await.unwrap();
        row.unwrap().0
    }
}

on_each_engine!(wherever_it_crashes_it_is_finished_once, |database: DataSettings| async move {
    let world = World::new(&database).await;
    let (mut n, mut half) = (0, 0);
    loop {
        let faults = Faults::at(n);
        let crashing = world.instance(Some(faults.clone())).await;
        let name = Name::parse(&format!("user-{n}")).unwrap();
        let wanted = SignUp { name, email: None, password: Some(Password::new("swordfish")) };
        let user = crashing.sign_up(wanted).await.unwrap().0.id();
        let answer = crashing.delete_user(user).await;
        let deleted = format!("users WHERE id = {user} AND deleted_at IS NOT NULL");
        assert_eq!(
            world.count(&deleted).await == 1,
            answer.is_ok(),
            "the answer at point {n} is true"
        );
        half += u32::from(
            world.count(&format!("users WHERE id = {user} AND username <> 'deleted user'")).await
                == 1,
        );

        // Another instance comes up. Whoever was told of a failure tries again there.
        let tasks = Tasks::new();
        let other = world.instance(None).await;
        other.sagas.start(&tasks);
        if answer.is_err() {
            eventually("it can be deleted", || async { other.delete_user(user).await.is_ok() })
                .await;
        }
        let forgotten = format!(
            "users WHERE id = {user} AND username = 'deleted user' AND password_hash IS NULL"
        );
        eventually("it is finished", || async { world.count(&forgotten).await == 1 }).await;
        assert!(world.sibling.0.lock().unwrap().contains(&user.get()));
        assert_eq!(world.count(&format!("sessions WHERE user_id = {user}")).await, 0);
        let told = format!(
            "events_outbox WHERE name = 'account.deleted.v1' AND event_key = 'user:{user}'"
        );
        assert_eq!(world.count(&told).await, 1, "told once at point {n}");
        tasks.stop().await;
        if faults.reached() <= n {
            break;
        }
        n += 1;
    }
    assert!(n >= 6 && half >= 3, "{n} points, {half} of them with the deletion under way");
});
