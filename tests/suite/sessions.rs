//! Who one is, and until when, in every shape.

use std::time::{Duration, Instant};

use serde_json::json;
use system_tests::{System, eventually, in_every_shape};

/// What the contract allows between a logout and its effect, and what a busy machine adds.
const EVERYWHERE: Duration = Duration::from_secs(5);

in_every_shape!(a_logout_takes_effect_everywhere, async |system: &mut System| {
    let ada = system.member("ada").await;
    let _ = ada.get(&format!("/users/{}", ada.id)).await.expect(200);
    ada.post("/logout", &json!({})).await.expect(204);
    let since = Instant::now();
    eventually("the token is void", async || {
        let answer = ada.post("/palettes", &json!({"color_codes": ["#000"]})).await;
        (answer.status == 401).then_some(())
    })
    .await;
    assert!(since.elapsed() < EVERYWHERE);
    let mut ada = ada;
    ada.log_in().await;
    ada.post("/palettes", &json!({"color_codes": ["#000"]})).await.expect(201);
});

in_every_shape!(a_stolen_refresh_token_ends_its_family, async |system: &mut System| {
    let ada = system.member("ada").await;
    let visitor = system.visitor();
    let first = visitor.post("/login", &json!({"name": "ada", "password": "correct horse"})).await;
    let old = first.expect(200).json["refreshToken"].as_str().unwrap().to_owned();
    let second = visitor.post("/refresh", &json!({"refreshToken": old})).await.expect(200);
    let new = second.json["refresh_token"].as_str().unwrap().to_owned();
    assert_ne!(old, new);
    visitor.post("/refresh", &json!({"refresh_token": old})).await.expect(401);
    visitor.post("/refresh", &json!({"refresh_token": new})).await.expect(401);
    // Another session of the same account goes on.
    ada.post("/palettes", &json!({"color_codes": ["#000"]})).await.expect(201);
});

in_every_shape!(a_deleted_account_leaves_nothing, async |system: &mut System| {
    let (ada, ben) = (system.member("ada").await, system.member("ben").await);
    let hers = ada.palette("#123123", "gone").await;
    let his = ben.palette("#321321", "stays").await;
    assert_eq!(ada.like(&his).await.expect(200).json["likes"], 1);
    assert_eq!(ben.like(&his).await.expect(200).json["likes"], 2);

    let gone = ada.delete(&format!("/users/{}", ada.id), &json!({})).await.expect(200);
    assert_eq!(gone.json, json!({"message": "User deleted successfully"}));
    let visitor = system.visitor();
    eventually("her palette is gone", async || {
        (visitor.get(&format!("/palettes/{hers}")).await.status == 404).then_some(())
    })
    .await;
    eventually("her like is gone, his stays", async || {
        let palette = ben.get(&format!("/palettes/{his}")).await.expect(200);
        (palette.json["likes"] == 1).then_some(())
    })
    .await;
    eventually("her token is void", async || {
        let answer = ada.post("/palettes", &json!({"color_codes": ["#000"]})).await;
        (answer.status == 401).then_some(())
    })
    .await;
    let again = json!({"username": "ADA", "password": "correct horse"});
    visitor.post("/users/register", &again).await.expect(409);
    visitor.post("/users/login", &again).await.expect(401);
});

in_every_shape!(a_write_is_seen_by_its_writer_at_once, async |system: &mut System| {
    let ada = system.member("ada").await;
    for round in 0..20 {
        let id = ada.palette("#456456", "mine").await;
        let path = format!("/palettes/{id}");
        assert_eq!(ada.get(&path).await.expect(200).json["likes"], 0);
        ada.like(&id).await.expect(200);
        assert_eq!(ada.get(&path).await.expect(200).json["likes"], 1, "round {round}");
        let name = format!("round {round}");
        ada.put(&path, &json!({"color_codes": ["#000"], "name": name})).await.expect(200);
        assert_eq!(ada.get(&path).await.expect(200).json["name"], name.as_str());
        let list = ada.get("/palettes?limit=1").await.expect(200);
        assert_eq!(list.json[0]["palette_id"], id.as_str());
    }
});
