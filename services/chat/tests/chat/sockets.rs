//! What sockets are told, and what they may say.

use serde_json::json;
use testkit::on_each_engine;
use tokio_tungstenite::tungstenite::Message;

use crate::world::{ADA, BEN, CLEO, Ears, World};

on_each_engine!(every_event_of_a_chat_is_told_to_all_who_are_in_it, |settings| async move {
    let world = World::new(settings).await;
    let other = world.another().await;
    let mut ada = world.socket(ADA, "/ws/chat").await;
    let mut ben = Ears::open(other, BEN, "/ws/chat").await.unwrap();
    assert!(ada.greeting().await.is_empty() && ben.greeting().await.is_empty());
    let chat = world.chat(&[BEN]).await;
    let path = format!("/api/chat/{chat}");
    ada.send(json!({"type": "message", "chat_id": chat, "message": "hi", "client_id": "c1"})).await;
    let heard = ada.next_of("message").await;
    assert_eq!(
        (&heard["chat_id"], &heard["message"], &heard["client_id"], &heard["seq"]),
        (&json!(chat), &json!("hi"), &json!("c1"), &json!(1))
    );
    let message = heard["messageId"].as_str().unwrap().to_owned();
    let one = format!("{path}/message/{message}");
    world.user(ADA).patch(&path, json!({"chatName": "red"})).await.expect(200);
    world.user(ADA).patch(&one, json!({"message": "ho"})).await.expect(200);
    world.user(BEN).put(&format!("{one}/reactions/+1"), json!({})).await.expect(204);
    world.user(ADA).delete(&one).await.expect(200);
    ben.send(json!({"type": "read", "chat_id": chat, "seq": 1})).await;
    let read = ada.next_of("read").await;
    assert_eq!((&read["user_id"], &read["seq"]), (&json!("2"), &json!(1)));
    let added = json!({"user_id": CLEO});
    world.user(ADA).post(&format!("{path}/participants"), added).await.expect(200);
    world.user(ADA).delete(&format!("{path}/participants/{CLEO}")).await.expect(200);
    world.user(ADA).delete(&path).await.expect(200);

    let mut cursor = 0;
    for (kind, field, value) in [
        ("chat.created", "/chat/participants", json!(["1", "2"])),
        ("message", "/username", json!("ada")),
        ("chat.updated", "/chatName", json!("red")),
        ("message.edited", "/messageId", json!(message)),
        ("reaction.added", "/emoji", json!("+1")),
        ("message.deleted", "/seq", json!(1)),
        ("read", "/user_id", json!("2")),
        ("participant.added", "/username", json!("cleo")),
        ("participant.removed", "/user_id", json!("3")),
        ("chat.deleted", "/chat_id", json!(chat)),
    ] {
        let heard = ben.next().await;
        assert_eq!(heard["type"], kind);
        assert_eq!(heard.pointer(field), Some(&value), "{heard}");
        assert_eq!(heard["chat_id"], chat);
        let next: i64 = heard["cursor"].as_str().unwrap().parse().unwrap();
        assert!(next > cursor, "{heard}");
        cursor = next;
    }
});

on_each_engine!(who_is_added_hears_and_who_is_removed_does_not, |settings| async move {
    let world = World::new(settings).await;
    let chat = world.chat(&[BEN]).await;
    let mut cleo = world.socket(CLEO, "/ws/chat").await;
    cleo.greeting().await;
    world.say(ADA, &chat, "before").await;
    let path = format!("/api/chat/{chat}/participants");
    world.user(ADA).post(&path, json!({"user_id": CLEO})).await.expect(200);
    assert_eq!(cleo.next().await["type"], "participant.added");
    world.say(ADA, &chat, "between").await;
    assert_eq!(cleo.next().await["message"], "between");
    world.user(ADA).delete(&format!("{path}/{CLEO}")).await.expect(200);
    assert_eq!(cleo.next().await["type"], "participant.removed");
    world.say(ADA, &chat, "after").await;
    // A later chat of hers is heard, and nothing of the other one before.
    let own = world.user(CLEO).post("/api/chat", json!({"chatName": "own"})).await.expect(201);
    let heard = cleo.next().await;
    assert_eq!(
        (&heard["type"], &heard["chat_id"]),
        (&json!("chat.created"), &own.json()["chat"]["id"])
    );
});

on_each_engine!(a_lobby_tells_what_happens_in_it, |settings| async move {
    let world = World::new(settings).await;
    let other = world.another().await;
    let lobby = world.lobby(&[BEN]).await;
    let path = format!("/ws/lobbies/{lobby}");
    assert_eq!(Ears::connect(world.at, CLEO, &path).await.err(), Some(403));
    assert_eq!(Ears::connect(world.at, CLEO, "/ws/lobbies/99").await.err(), Some(404));
    let mut ada = world.socket(ADA, &path).await;
    let mut ben = Ears::open(other, BEN, &path).await.unwrap();
    ada.greeting().await;
    ben.greeting().await;
    ben.send(json!({"type": "message", "text": "hello", "client_id": "x"})).await;
    for ears in [&mut ada, &mut ben] {
        let heard = ears.next().await;
        let mut members: Vec<&String> = heard.as_object().unwrap().keys().collect();
        members.sort();
        assert_eq!(
            members,
            [
                "client_id",
                "cursor",
                "message_id",
                "sent_at",
                "seq",
                "text",
                "type",
                "user_id",
                "username"
            ]
        );
        assert_eq!((&heard["text"], &heard["username"]), (&json!("hello"), &json!("ben")));
    }
    world.user(CLEO).post(&format!("/lobbies/{lobby}/join"), json!({})).await.expect(200);
    let joined = ada.next().await;
    assert_eq!((&joined["type"], &joined["username"]), (&json!("joined"), &json!("cleo")));
    world.user(BEN).post(&format!("/lobbies/{lobby}/leave"), json!({})).await.expect(200);
    let left = ada.next().await;
    assert_eq!((&left["type"], &left["user_id"]), (&json!("left"), &json!("2")));
    assert_eq!(ben.close_code().await, 4403, "who has left hears no more");
    world.user(ADA).delete(&format!("/lobbies/{lobby}")).await.expect(200);
    assert_eq!(ada.close_code().await, 4404);
});

on_each_engine!(typing_and_presence_are_told_and_not_kept, |settings| async move {
    let world = World::new(settings).await;
    let lobby = world.lobby(&[BEN]).await;
    let chat = world.chat(&[BEN]).await;
    let path = format!("/ws/lobbies/{lobby}");
    let mut ada = world.socket(ADA, &path).await;
    let mut ben = world.socket(BEN, &path).await;
    let shown = async |ears: &mut Ears, online: u64| loop {
        let presence = ears.next_of("presence").await;
        if presence["online"] == online {
            return presence["users"].clone();
        }
    };
    assert_eq!(
        shown(&mut ada, 2).await,
        json!([{"user_id": "1", "username": "ada"}, {"user_id": "2", "username": "ben"}])
    );
    let kept = world.count("log").await;
    ben.send(json!({"type": "typing"})).await;
    let typing = ada.next_of("typing").await;
    assert_eq!(typing, json!({"type": "typing", "user_id": "2", "username": "ben"}));
    let mut chats = world.socket(ADA, "/ws/chat").await;
    let mut his = world.socket(BEN, "/ws/chat").await;
    his.greeting().await;
    chats.greeting().await;
    his.send(json!({"type": "typing", "chat_id": chat})).await;
    let typing = chats.next().await;
    assert_eq!(
        typing,
        json!({"type": "typing", "chat_id": chat, "user_id": "2", "username": "ben"})
    );
    drop(ben);
    assert_eq!(shown(&mut ada, 1).await, json!([{"user_id": "1", "username": "ada"}]));
    assert_eq!(world.count("log").await, kept);
});

on_each_engine!(nonsense_is_answered_and_harms_nobody, |settings| async move {
    let world = World::new(settings).await;
    let chat = world.chat(&[BEN]).await;
    let foreign = world.user(CLEO).post("/api/chat", json!({"chatName": "x"})).await.expect(201);
    let foreign = foreign.json()["chat"]["id"].clone();
    let mut ben = world.socket(BEN, "/ws/chat").await;
    let mut ada = world.socket(ADA, "/ws/chat").await;
    ben.greeting().await;
    ada.greeting().await;
    for (said, status) in [
        (Message::text("{"), 400),
        (Message::text("[]"), 422),
        (Message::text("null"), 422),
        (Message::text("\"message\""), 422),
        (Message::text("{\"type\":\"message\\u0000\"}"), 422),
        (Message::text("[".repeat(50_000)), 400),
        (Message::binary(vec![0, 159, 146, 150]), 415),
        (Message::text(json!({"type": 7}).to_string()), 422),
        (Message::text(json!({"type": "message"}).to_string()), 422),
        (Message::text(json!({"type": "message", "chat_id": chat}).to_string()), 422),
        (Message::text(json!({"type": "shout", "chat_id": chat}).to_string()), 422),
        (Message::text(json!({"type": "typing", "chat_id": foreign}).to_string()), 404),
        (Message::text(json!({"type": "read", "chat_id": foreign, "seq": 1}).to_string()), 404),
        (Message::text(json!({"type": "read", "chat_id": chat}).to_string()), 422),
        (
            Message::text(
                json!({"type": "message", "chat_id": foreign, "message": "x"}).to_string(),
            ),
            404,
        ),
        (
            Message::text(
                json!({"type": "message", "chat_id": chat, "message": "x".repeat(4_001)})
                    .to_string(),
            ),
            422,
        ),
    ] {
        let shown = format!("{said:.60}");
        ben.send_raw(said).await;
        let answer = ben.next().await;
        assert_eq!(
            (&answer["type"], &answer["status"]),
            (&json!("error"), &json!(status)),
            "{shown}"
        );
        assert!(answer["error"].as_str().unwrap().len() > 3);
    }
    let said = json!({"type": "message", "chat_id": chat, "message": "", "client_id": "mine"});
    ben.send(said).await;
    let answer = ben.next().await;
    assert_eq!((&answer["client_id"], &answer["chat_id"]), (&json!("mine"), &json!(chat)));
    ben.send(json!({"type": "message", "chat_id": chat, "message": "still here"})).await;
    assert_eq!(ben.next().await["message"], "still here");
    assert_eq!(ada.next().await["message"], "still here", "and nothing else was told");
    ben.send_raw(Message::text("x".repeat(200_000))).await;
    assert_eq!(ben.close_code().await, 1009);
    ada.send(json!({"type": "message", "chat_id": chat, "message": "on"})).await;
    assert_eq!(ada.next().await["message"], "on");
});

on_each_engine!(a_plain_request_or_nobody_gets_no_socket, |settings| async move {
    let world = World::new(settings).await;
    world.user(ADA).get("/ws/chat").await.expect(426);
    world.client.anonymous().get("/ws/chat").await.expect(401);
    world.user(ADA).get("/ws/chat?after=x").await.expect(422);
    let lobby = world.lobby(&[]).await;
    world.user(ADA).get(&format!("/ws/lobbies/{lobby}")).await.expect(426);
});

on_each_engine!(sockets_are_told_to_come_back_when_the_service_stops, |settings| async move {
    let world = World::new(settings).await;
    let mut ada = world.socket(ADA, "/ws/chat").await;
    ada.greeting().await;
    let (code, ()) = tokio::join!(ada.close_code(), world.tasks.stop());
    assert_eq!(code, 1012);
});
