//! The keys that sign access tokens.

use auth::Verifier;
use data::{DataSettings, Database, Sql, values};
use events::Log;
use http::Method;
use serde_json::json;
use testkit::on_each_engine;

use crate::house::{House, quick};

on_each_engine!(
    instances_that_start_together_agree_on_a_key,
    |settings: DataSettings| async move {
        let log = Log::open(&testkit::sibling(&settings, "log").await).await.unwrap();
        let houses = (0..6).map(|_| {
            let (settings, log) = (settings.clone(), log.clone());
            async move {
                // A database handle each, as processes have.
                let db = Database::open(&settings, accounts::MIGRATIONS).await.unwrap();
                House::on(db, log, quick()).await
            }
        });
        let houses = futures::future::join_all(houses).await;
        let first = houses[0].browser().get("/.well-known/jwks.json").await.expect(200).json();
        assert_eq!(first["keys"].as_array().unwrap().len(), 1);
        for house in &houses {
            assert_eq!(house.browser().get("/.well-known/jwks.json").await.json(), first);
        }
        assert_eq!(houses[0].count("signing_keys").await, 1);
        // What one signs, all others accept; also after a restart.
        let (browser, _) = houses[0].signed_up("Mario", "swordfish").await;
        let verifier = Verifier::new();
        verifier.set_keys(&first);
        assert!(verifier.verify(&browser.cookie("accessToken").unwrap()).is_ok());
        let again = House::on(houses[0].db.clone(), log, quick()).await;
        assert_eq!(again.browser().get("/.well-known/jwks.json").await.json(), first);
    }
);

on_each_engine!(the_keys_are_public_and_can_be_cached, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    let browser = house.browser();
    let reply = browser.get("/.well-known/jwks.json").await.expect(200);
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(reply.header("cache-control"), "public, max-age=300");
    let key = &reply.json()["keys"][0];
    assert_eq!(
        (&key["kty"], &key["crv"], &key["alg"], &key["use"]),
        (&json!("OKP"), &json!("Ed25519"), &json!("EdDSA"), &json!("sig"))
    );
    assert!(key.get("d").is_none(), "the private part");
    let tag = reply.header("etag").to_owned();
    let again =
        browser.send(Method::GET, "/.well-known/jwks.json", None, &[("if-none-match", &tag)]).await;
    again.expect(304);
});

on_each_engine!(a_damaged_key_is_told_and_not_replaced, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    let damage: Result<u64, data::DataError> = house
        .db
        .write(|tx: &data::Tx| {
            Box::pin(async move {
                tx.run("UPDATE signing_keys SET pkcs8 = $1", values![vec![1_u8, 2, 3]]).await
            })
        })
        .await;
    assert_eq!(damage, Ok(1));
    let mesh = mesh::Mesh::new(mesh::MeshSettings::default());
    let (db, log, caches) = (house.db.clone(), house.log.clone(), cache::Store::embedded());
    let built = accounts::build(db, log, mesh, &caches, &house.tasks, quick()).await;
    assert!(built.unwrap_err().to_string().contains("damaged"));
    assert_eq!(house.count("signing_keys").await, 1);
});
