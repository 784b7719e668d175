//! What one account may do.

use serde_json::json;
use testkit::on_each_engine;

use crate::world::{ADA, BEN, Ears, World};

on_each_engine!(who_sends_too_fast_is_told_and_others_are_not_held_up, |settings| async move {
    let how = chat::Settings { messages_per_minute: 5, ..chat::Settings::default() };
    let world = World::with(settings, how).await;
    let chat = world.chat(&[BEN]).await;
    let mut ada = world.socket(ADA, "/ws/chat").await;
    ada.greeting().await;
    for n in 0..8 {
        let said =
            json!({"type": "message", "chat_id": chat, "message": "x", "client_id": n.to_string()});
        ada.send(said).await;
    }
    let (mut kept, mut refused) = (0, 0);
    while kept + refused < 8 {
        let event = ada.next().await;
        match event["type"].as_str().unwrap() {
            "message" => kept += 1,
            "error" => {
                assert_eq!(event["status"], 429);
                assert!(event["client_id"].is_string());
                refused += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!((kept, refused), (5, 3));
    let path = format!("/api/chat/{chat}/message");
    let answer = world.user(ADA).post(&path, json!({"message": "x"})).await.expect(429);
    assert!(answer.header("retry-after").is_some());
    world.say(BEN, &chat, "not me").await;
});

on_each_engine!(signs_have_a_limit_of_their_own, |settings| async move {
    let how = chat::Settings { signals_per_minute: 2, ..chat::Settings::default() };
    let world = World::with(settings, how).await;
    let chat = world.chat(&[BEN]).await;
    let path = format!("/api/chat/{chat}/read");
    for status in [204, 204, 429] {
        world.user(BEN).put(&path, json!({"seq": 1})).await.expect(status);
    }
    world.say(BEN, &chat, "still heard").await;
});

on_each_engine!(rooms_and_sockets_have_their_limits, |settings| async move {
    let how =
        chat::Settings { rooms_per_hour: 2, sockets_per_account: 2, ..chat::Settings::default() };
    let world = World::with(settings, how).await;
    world.chat(&[BEN]).await;
    world.lobby(&[]).await;
    world.user(ADA).post("/api/chat", json!({"chatName": "x"})).await.expect(429);
    world.user(ADA).post("/lobbies", json!({"topic": "x"})).await.expect(429);
    world.user(BEN).post("/lobbies", json!({"topic": "x"})).await.expect(201);
    let mut first = world.socket(ADA, "/ws/chat").await;
    let mut second = world.socket(ADA, "/ws/chat").await;
    first.greeting().await;
    second.greeting().await;
    assert_eq!(Ears::connect(world.at, ADA, "/ws/chat").await.err(), Some(429));
    world.socket(BEN, "/ws/chat").await.greeting().await;
    drop(first);
    testkit::eventually("there is room again", || async {
        Ears::connect(world.at, ADA, "/ws/chat").await.is_ok()
    })
    .await;
});
