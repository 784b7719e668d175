//! Chats, and who is in them.

use std::collections::BTreeSet;

use serde_json::json;
use testkit::on_each_engine;

use crate::accounts::Answer;
use crate::world::{ADA, BEN, CLEO, DAN, World, ids};

on_each_engine!(a_chat_is_as_the_contract_says, |settings| async move {
    let world = World::new(settings).await;
    let body = json!({"participants": [BEN, "3", BEN], "chatName": " Blue hour "});
    let made = world.user(ADA).post("/api/chat", body).await.expect(201);
    assert_eq!(
        made.json(),
        json!({"message": "Chat created successfully",
            "chat": {"id": "1", "participants": ["1", "2", "3"], "chatName": "Blue hour"}})
    );
    assert_eq!(made.header("location"), Some("/api/chat/1"));
    assert_eq!(world.accounts.get().chats, BTreeSet::from([(1, ADA), (1, BEN), (1, CLEO)]));
    for user in [ADA, BEN, CLEO] {
        let one = world.user(user).get("/api/chat/1").await.expect(200).json();
        assert_eq!(world.user(user).get("/api/chat").await.expect(200).json(), json!([one]));
        assert_eq!(one["chatName"], "Blue hour");
        assert_eq!((&one["last_seq"], &one["unread"]), (&json!(0), &json!(0)));
        assert_eq!(one["role"], if user == ADA { "owner" } else { "member" });
    }
    let renamed =
        world.user(ADA).patch("/api/chat/1", json!({"chatName": "Red"})).await.expect(200);
    assert_eq!(renamed.json(), json!({"message": "Chat details updated successfully"}));
    assert_eq!(world.user(BEN).get("/api/chat/1").await.json()["chatName"], "Red");
    let deleted = world.user(ADA).delete("/api/chat/1").await.expect(200);
    assert_eq!(deleted.json(), json!({"message": "Chat deleted successfully"}));
    for user in [ADA, BEN] {
        world.user(user).get("/api/chat/1").await.expect(404);
        assert_eq!(world.user(user).get("/api/chat").await.expect(200).json(), json!([]));
    }
    assert!(world.accounts.get().chats.is_empty());
});

on_each_engine!(what_is_somebody_elses_does_not_exist, |settings| async move {
    let world = World::new(settings).await;
    let chat = world.chat(&[BEN]).await;
    let message = world.say(ADA, &chat, "secret").await["messageId"].clone();
    let message = message.as_str().unwrap();
    let path = format!("/api/chat/{chat}");
    let cleo = world.user(CLEO);
    cleo.get(&path).await.expect(404);
    cleo.patch(&path, json!({"chatName": "mine"})).await.expect(404);
    cleo.delete(&path).await.expect(404);
    cleo.get(&format!("{path}/message")).await.expect(404);
    cleo.post(&format!("{path}/message"), json!({"message": "hi"})).await.expect(404);
    cleo.post(&format!("{path}/participants"), json!({"user_id": CLEO})).await.expect(404);
    cleo.delete(&format!("{path}/participants/{BEN}")).await.expect(404);
    cleo.patch(&format!("{path}/message/{message}"), json!({"message": "x"})).await.expect(404);
    cleo.delete(&format!("{path}/message/{message}")).await.expect(404);
    cleo.put(&format!("{path}/message/{message}/reactions/+1"), json!({})).await.expect(404);
    cleo.put(&format!("{path}/read"), json!({"seq": 1})).await.expect(404);
    assert_eq!(cleo.get("/api/chat/message?q=secret").await.expect(200).json(), json!([]));
    let nobody = world.client.anonymous();
    nobody.get(&path).await.expect(401);
    nobody.get("/api/chat").await.expect(401);
    nobody.post("/api/chat", json!({"chatName": "x"})).await.expect(401);
    // A lobby is no chat, and the other way round.
    let lobby = world.lobby(&[]).await;
    world.user(ADA).get(&format!("/api/chat/{lobby}")).await.expect(404);
    world.user(ADA).get(&format!("/lobbies/{chat}")).await.expect(404);
    world.user(ADA).get(&format!("/lobbies/{chat}/messages")).await.expect(404);
    let post = json!({"message": "hi"});
    world.user(ADA).post(&format!("/api/chat/{lobby}/message"), post).await.expect(404);
});

on_each_engine!(members_come_and_go, |settings| async move {
    let world = World::new(settings).await;
    let chat = world.chat(&[BEN]).await;
    let path = format!("/api/chat/{chat}/participants");
    let added = world.user(BEN).post(&path, json!({"user_id": CLEO})).await.expect(200).json();
    assert_eq!(ids(&added["chat"]["participants"]), BTreeSet::from([ADA, BEN, CLEO]));
    world.user(BEN).post(&path, json!({"user_id": CLEO})).await.expect(200);
    world.user(BEN).post(&path, json!({"user_id": 99})).await.expect(422);
    // Only the owner sends others away; anybody may go.
    world.user(BEN).delete(&format!("{path}/{CLEO}")).await.expect(403);
    world.user(ADA).delete(&format!("{path}/{DAN}")).await.expect(404);
    world.user(BEN).patch(&format!("/api/chat/{chat}"), json!({"chatName": "x"})).await.expect(403);
    world.user(BEN).delete(&format!("/api/chat/{chat}")).await.expect(403);
    world.user(ADA).delete(&format!("{path}/{CLEO}")).await.expect(200);
    world.user(CLEO).get(&format!("/api/chat/{chat}")).await.expect(404);
    // The owner goes: whoever has been in it longest owns it.
    world.user(ADA).delete(&format!("{path}/{ADA}")).await.expect(200);
    let left = world.user(BEN).get(&format!("/api/chat/{chat}")).await.expect(200).json();
    assert_eq!((&left["role"], &left["participants"]), (&json!("owner"), &json!(["2"])));
    assert_eq!(world.accounts.get().chats.len(), 1);
    // The last one goes, and the chat with them.
    world.user(BEN).delete(&format!("{path}/{BEN}")).await.expect(200);
    world.user(BEN).get(&format!("/api/chat/{chat}")).await.expect(404);
    assert!(world.accounts.get().chats.is_empty());
});

on_each_engine!(without_the_accounts_nothing_is_half_made, |settings| async move {
    let how = chat::Settings { change_within_seconds: 1, ..chat::Settings::default() };
    let world = World::with(settings, how).await;
    let chat = world.chat(&[BEN]).await;
    world.accounts.get().script.extend([Answer::Down; 1_000]);
    let body = json!({"participants": [BEN], "chatName": "blue"});
    let refused = world.user(ADA).post("/api/chat", body.clone()).await.expect(503);
    assert!(refused.header("retry-after").is_some());
    let path = format!("/api/chat/{chat}/participants");
    world.user(ADA).post(&path, json!({"user_id": CLEO})).await.expect(503);
    world.say(BEN, &chat, "people talk on").await;
    world.accounts.get().script.clear();
    testkit::eventually("all is undone", || async {
        world.count("sagas WHERE finished_at IS NULL").await == 0
    })
    .await;
    assert_eq!(world.count("rooms").await, 1);
    assert!(world.accounts.prepared().is_empty());
    world.user(ADA).post("/api/chat", body).await.expect(201);
    // Nobody can be asked who is who.
    world.accounts.get().silent = true;
    world.user(ADA).post("/api/chat", json!({"chatName": "x"})).await.expect(503);
});

on_each_engine!(a_repeat_makes_no_second_chat, |settings| async move {
    let world = World::new(settings).await;
    let post = || async {
        let request = http::Request::post("/api/chat")
            .header("content-type", "application/json")
            .header("idempotency-key", "k1")
            .body(r#"{"chatName":"once","participants":["2"]}"#.into())
            .unwrap();
        world.user(ADA).request(request).await.expect(201).json()
    };
    let (one, two) = tokio::join!(post(), post());
    assert_eq!(one, two);
    assert_eq!(world.count("rooms").await, 1);
});

on_each_engine!(what_is_no_chat_is_refused, |settings| async move {
    let how = chat::Settings { participants_per_chat: 3, ..chat::Settings::default() };
    let world = World::with(settings, how).await;
    let ada = world.user(ADA);
    for (body, field) in [
        (json!({"participants": [], "chatName": " "}), "chatName"),
        (json!({"participants": [], "chatName": "x".repeat(101)}), "chatName"),
        (json!({"participants": [], "chatName": 7}), "chatName"),
        (json!({"participants": "2", "chatName": "x"}), "participants"),
        (json!({"participants": [99], "chatName": "x"}), "participants"),
        (json!({"participants": [2, 3, 4], "chatName": "x"}), "participants"),
    ] {
        let refused = ada.post("/api/chat", body).await.expect(422).json();
        assert_eq!(refused["errors"][0]["field"], field, "{refused}");
    }
    ada.post("/api/chat", json!({"participants": [2]})).await.expect(422);
    let chat = world.chat(&[BEN, CLEO]).await;
    let path = format!("/api/chat/{chat}/participants");
    ada.post(&path, json!({"user_id": DAN})).await.expect(422);
    ada.get("/api/chat/x").await.expect(404);
    ada.get("/api/chat/99999999999999999999").await.expect(404);
    assert_eq!(world.count("rooms").await, 1);
});

on_each_engine!(lists_come_in_pages, |settings| async move {
    let world = World::new(settings).await;
    for _ in 0..5 {
        world.chat(&[BEN]).await;
    }
    let (mut path, mut seen) = ("/api/chat?limit=2".to_owned(), Vec::new());
    loop {
        let page = world.user(BEN).get(&path).await.expect(200);
        let json = page.json();
        seen.extend(json.as_array().unwrap().iter().map(|c| c["id"].as_str().unwrap().to_owned()));
        let Some(link) = page.header("link") else { break };
        path = link.trim_start_matches('<').split('>').next().unwrap().to_owned();
    }
    assert_eq!(seen, ["5", "4", "3", "2", "1"]);
});

on_each_engine!(an_account_that_is_gone_leaves_what_it_said, |settings| async move {
    let world = World::new(settings).await;
    let chat = world.chat(&[BEN]).await;
    let lobby = world.lobby(&[BEN]).await;
    world.say(BEN, &chat, "remember me").await;
    world.user(BEN).post(&format!("/lobbies/{lobby}/messages"), json!({"text": "and me"})).await;
    world.accounts.get().people.remove(&BEN);
    world.erase(BEN).await;
    world.erase(BEN).await;
    let said = world.user(ADA).get(&format!("/api/chat/{chat}/message")).await.expect(200).json();
    assert_eq!(said[0]["message"], "remember me");
    assert_eq!(said[0]["username"], "deleted user");
    let left = world.user(ADA).get(&format!("/api/chat/{chat}")).await.expect(200).json();
    assert_eq!(left["participants"], json!(["1"]));
    let members = world.user(ADA).get(&format!("/lobbies/{lobby}/members")).await.expect(200);
    assert_eq!(members.json(), json!([{"user_id": "1", "username": "ada"}]));
    world.user(BEN).get(&format!("/api/chat/{chat}/message")).await.expect(404);
    world.user(BEN).post(&format!("/lobbies/{lobby}/join"), json!({})).await.expect(401);
});
