//! What an attacker could time: counted, not measured.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use data::{DataSettings, Database};
use mesh::{Mesh, MeshSettings};
use testkit::on_each_engine;

use crate::model::{Email, Name, Password};
use crate::settings::{Hashing, Settings};
use crate::sign_up::SignUp;
use crate::{Accounts, MIGRATIONS};

async fn accounts(database: &DataSettings) -> Arc<Accounts> {
    let settings = Settings {
        hashing: Hashing { memory_kib: 64, passes: 1, ..Hashing::default() },
        failed_log_ins_per_account: 2,
        ..Settings::default()
    };
    let db = Database::open(database, MIGRATIONS).await.unwrap();
    let mesh = Mesh::new(MeshSettings::default());
    let store = cache::Store::embedded();
    Accounts::open(db, mesh, &store, settings, saga::Settings::default()).await.unwrap()
}

async fn sign_up(accounts: &Accounts, name: &str, password: Option<&str>) -> ids::UserId {
    let wanted = SignUp {
        name: Name::parse(name).unwrap(),
        email: Some(Email::parse("a@example.com").unwrap()),
        password: password.map(Password::new),
    };
    accounts.sign_up(wanted).await.unwrap().0.id()
}

/// Hashes computed and transactions committed by one log-in, and its status.
async fn cost(accounts: &Accounts, name: &str, password: &str) -> (u64, u64, u16) {
    let commits = accounts.db.committed();
    let before = (accounts.hasher.done(), *commits.borrow());
    let answer = accounts.log_in(name, &Password::new(password)).await;
    let status = answer.map_or_else(|problem| problem.status().as_u16(), |_| 200);
    (accounts.hasher.done() - before.0, *commits.borrow() - before.1, status)
}

on_each_engine!(every_way_to_fail_costs_the_same, |database: DataSettings| async move {
    let accounts = accounts(&database).await;
    sign_up(&accounts, "Mario", Some("swordfish")).await;
    sign_up(&accounts, "Luigi", None).await;
    let gone = sign_up(&accounts, "Wario", Some("swordfish")).await;
    accounts
        .db
        .write(move |tx: &data::Tx| Box::pin(crate::store::close(tx, gone, 1)))
        .await
        .map(|closed: bool| assert!(closed))
        .map_err(|error: data::DataError| error)
        .unwrap();
    let long = "x".repeat(10_000);
    for name in ["Mario", "Luigi", "Wario", "nobody", "\u{202e}", "a b  c", &long] {
        for password in ["wrong", &long] {
            assert_eq!(
                cost(&accounts, name, password).await,
                (1, 1, 401),
                "{name:.20} {password:.20}"
            );
        }
        // Once throttled, nothing is hashed for anyone.
        assert_eq!(cost(&accounts, name, "swordfish").await, (0, 0, 429), "{name:.20}");
    }
});

on_each_engine!(
    a_password_changed_during_a_log_in_opens_nothing,
    |database: DataSettings| async move {
        let accounts = accounts(&database).await;
        let user = sign_up(&accounts, "Mario", Some("swordfish")).await;
        let opened: Result<bool, data::DataError> = accounts
            .db
            .write(move |tx: &data::Tx| {
                Box::pin(crate::store::lock(tx, user, Some("another hash")))
            })
            .await;
        assert_eq!(opened, Ok(false));
    }
);
