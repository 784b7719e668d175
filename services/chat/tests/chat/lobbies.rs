//! Lobbies: opened, found, joined, left.

use serde_json::json;
use testkit::on_each_engine;

use crate::world::{ADA, BEN, CLEO, World, texts};

on_each_engine!(a_lobby_is_as_the_contract_says, |settings| async move {
    let world = World::new(settings).await;
    let opened = world.user(ADA).post("/lobbies", json!({"palette_id": "7"})).await.expect(201);
    assert_eq!(
        opened.json(),
        json!({"lobby_id": "1", "name": "Palette #7 Discussion", "palette_id": "7",
            "private": false, "members": 1, "last_seq": 0})
    );
    world.user(ADA).post("/lobbies", json!({"palette_id": 8})).await.expect(404);
    let topic = json!({"topic": "Letters", "private": true});
    let private = world.user(ADA).post("/lobbies", topic).await.expect(201).json();
    assert_eq!((&private["topic"], &private["private"]), (&json!("Letters"), &json!(true)));
    assert!(private["invite_code"].as_str().unwrap().len() >= 16);
    // More than one lobby may share a palette.
    world.user(BEN).post("/lobbies", json!({"palette_id": 7})).await.expect(201);
    let names = |list: serde_json::Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|l| l["lobby_id"].as_str().unwrap().into()).collect()
    };
    let anonymous = world.client.anonymous();
    assert_eq!(names(anonymous.get("/lobbies").await.expect(200).json()), ["3", "1"]);
    assert_eq!(names(world.user(ADA).get("/lobbies").await.json()), ["3", "2", "1"]);
    let of_palette = anonymous.get("/lobbies?palette_id=7").await.expect(200).json();
    assert_eq!(names(of_palette), ["3", "1"]);
    assert_eq!(anonymous.get("/lobbies?palette_id=8").await.expect(200).json(), json!([]));
    for bad in [
        json!({}),
        json!({"palette_id": 7, "topic": "x"}),
        json!({"topic": ""}),
        json!({"topic": "x", "private": "yes"}),
    ] {
        world.user(ADA).post("/lobbies", bad).await.expect(422);
    }
    anonymous.post("/lobbies", json!({"topic": "x"})).await.expect(401);
});

on_each_engine!(one_joins_and_leaves, |settings| async move {
    let world = World::new(settings).await;
    let lobby = world.lobby(&[]).await;
    let path = format!("/lobbies/{lobby}");
    let messages = format!("{path}/messages");
    world.user(BEN).get(&messages).await.expect(403);
    world.user(BEN).get(&format!("{path}/members")).await.expect(403);
    world.user(BEN).post(&messages, json!({"text": "hi"})).await.expect(403);
    for _ in 0..2 {
        let joined = world.user(BEN).post(&format!("{path}/join"), json!({})).await.expect(200);
        assert_eq!(joined.json()["members"], 2);
    }
    let sent = world.user(BEN).post(&messages, json!({"text": "hi"})).await.expect(201).json();
    assert_eq!((&sent["seq"], &sent["text"]), (&json!(1), &json!("hi")));
    assert_eq!(texts(&world.user(ADA).get(&messages).await.expect(200).json()), ["hi"]);
    let members = world.user(ADA).get(&format!("{path}/members")).await.expect(200).json();
    assert_eq!(
        members,
        json!([{"user_id": "1", "username": "ada"}, {"user_id": "2", "username": "ben"}])
    );
    let left = world.user(BEN).post(&format!("{path}/leave"), json!({})).await.expect(200).json();
    assert_eq!(left["members"], 1);
    world.user(BEN).post(&format!("{path}/leave"), json!({})).await.expect(200);
    world.user(BEN).get(&messages).await.expect(403);
    // Empty it costs nothing, and whoever comes next owns it.
    world.user(ADA).post(&format!("{path}/leave"), json!({})).await.expect(200);
    world.user(CLEO).delete(&path).await.expect(403);
    world.user(CLEO).post(&format!("{path}/join"), json!({})).await.expect(200);
    assert_eq!(texts(&world.user(CLEO).get(&messages).await.json()), ["hi"]);
    world.user(CLEO).delete(&path).await.expect(200);
    world.client.anonymous().get(&path).await.expect(404);
    world.user(CLEO).post(&format!("{path}/join"), json!({})).await.expect(404);
});

on_each_engine!(a_private_lobby_opens_to_its_code_alone, |settings| async move {
    let world = World::new(settings).await;
    let topic = json!({"topic": "Letters", "private": true});
    let opened = world.user(ADA).post("/lobbies", topic).await.expect(201).json();
    let path = format!("/lobbies/{}", opened["lobby_id"].as_str().unwrap());
    let join = format!("{path}/join");
    for code in [json!({}), json!({"invite_code": "guess"}), json!({"invite_code": null})] {
        world.user(BEN).post(&join, code).await.expect(404);
    }
    world.user(BEN).get(&path).await.expect(404);
    world.user(BEN).get(&format!("{path}/messages")).await.expect(404);
    world.user(BEN).post(&format!("{path}/leave"), json!({})).await.expect(404);
    let code = json!({"invite_code": opened["invite_code"]});
    world.user(BEN).post(&join, code).await.expect(200);
    let seen = world.user(BEN).get(&path).await.expect(200).json();
    assert_eq!(seen["invite_code"], opened["invite_code"], "members may invite");
    world.user(CLEO).delete(&path).await.expect(404);
    world.client.as_staff(CLEO).delete(&path).await.expect(200);
    world.user(ADA).get(&path).await.expect(404);
});

on_each_engine!(messages_of_lobbies_are_edited_too, |settings| async move {
    let world = World::new(settings).await;
    let lobby = world.lobby(&[BEN]).await;
    let path = format!("/lobbies/{lobby}/messages");
    let sent = world.user(BEN).post(&path, json!({"text": "hi"})).await.expect(201).json();
    let one = format!("{path}/{}", sent["message_id"].as_str().unwrap());
    world.user(ADA).patch(&one, json!({"text": "x"})).await.expect(403);
    let edited = world.user(BEN).patch(&one, json!({"text": "ho"})).await.expect(200).json();
    assert_eq!(edited["text"], "ho");
    world.user(ADA).put(&format!("{one}/reactions/tada"), json!({})).await.expect(204);
    world.user(CLEO).put(&format!("{one}/reactions/tada"), json!({})).await.expect(403);
    let found = world.user(ADA).get(&path).await.json();
    assert_eq!(found[0]["reactions"][0]["emoji"], "tada");
    world.user(ADA).delete(&format!("{one}/reactions/tada")).await.expect(204);
    world.user(BEN).delete(&one).await.expect(200);
    assert_eq!(texts(&world.user(ADA).get(&path).await.json()), [""]);
});
