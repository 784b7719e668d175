//! Coming back: exactly what was missed, in order, once, then what happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use testkit::on_each_engine;

use crate::world::{ADA, BEN, CLEO, Ears, World};

fn seq(event: &Value) -> i64 {
    event["seq"].as_i64().unwrap()
}

on_each_engine!(a_lobby_resumes_after_a_number, |settings| async move {
    let world = World::new(settings).await;
    let lobby = world.lobby(&[BEN]).await;
    let messages = format!("/lobbies/{lobby}/messages");
    let mut ids = Vec::new();
    for n in 1..=6 {
        let sent = world.user(ADA).post(&messages, json!({"text": n.to_string()})).await;
        ids.push(sent.json()["message_id"].as_str().unwrap().to_owned());
    }
    world
        .user(ADA)
        .patch(&format!("{messages}/{}", ids[4]), json!({"text": "five"}))
        .await
        .expect(200);
    world.user(ADA).delete(&format!("{messages}/{}", ids[5])).await.expect(200);
    let path = format!("/ws/lobbies/{lobby}");
    let mut all = world.socket(BEN, &format!("{path}?after=0")).await;
    let seqs: Vec<i64> = all.greeting().await.iter().map(seq).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5, 6]);
    let mut some = world.socket(BEN, &format!("{path}?after=3")).await;
    let missed = some.greeting().await;
    assert_eq!(missed.iter().map(seq).collect::<Vec<_>>(), [4, 5, 6]);
    assert_eq!(missed[1]["text"], "five");
    assert_eq!((&missed[2]["text"], &missed[2]["deleted"]), (&json!(""), &json!(true)));
    let mut none = world.socket(BEN, &format!("{path}?after=6")).await;
    assert!(none.greeting().await.is_empty());
    let mut now = world.socket(BEN, &path).await;
    assert!(now.greeting().await.is_empty());
    // By cursor everything comes: what was edited, too.
    let cursor = &missed[0]["cursor"];
    let path = format!("{path}?cursor={}", cursor.as_str().unwrap());
    let mut rest = world.socket(BEN, &path).await;
    let kinds: Vec<Value> = rest.greeting().await.iter().map(|e| e["type"].clone()).collect();
    assert_eq!(kinds, ["message", "message", "message.edited", "message.deleted"]);
    for ears in [&mut all, &mut some, &mut none, &mut now, &mut rest] {
        world.user(ADA).post(&messages, json!({"text": "live"})).await.expect(201);
        assert_eq!(ears.next().await["text"], "live");
    }
});

on_each_engine!(chats_resume_after_a_cursor, |settings| async move {
    let world = World::new(settings).await;
    let one = world.chat(&[BEN]).await;
    let list = world.user(BEN).get("/api/chat").await.expect(200);
    let start = list.header("chat-cursor").unwrap().to_owned();
    world.say(ADA, &one, "1").await;
    let two = world.chat(&[BEN]).await;
    world.say(ADA, &two, "2").await;
    let path = format!("/api/chat/{two}/participants");
    world.user(ADA).delete(&format!("{path}/{BEN}")).await.expect(200);
    world.say(ADA, &two, "not for ben").await;
    let three = world.user(CLEO).post("/api/chat", json!({"chatName": "x"})).await.expect(201);
    world.say(CLEO, three.json()["chat"]["id"].as_str().unwrap(), "nor this").await;
    world.user(ADA).post(&path, json!({"user_id": BEN})).await.expect(200);
    world.say(ADA, &two, "3").await;
    let expected = [
        ("message", &one),
        ("chat.created", &two),
        ("message", &two),
        ("participant.removed", &two),
        ("participant.added", &two),
        ("message", &two),
    ];
    let mut ben = world.socket(BEN, &format!("/ws/chat?after={start}")).await;
    let missed = ben.greeting().await;
    let heard: Vec<_> = missed
        .iter()
        .map(|e| (e["type"].as_str().unwrap(), e["chat_id"].as_str().unwrap()))
        .collect();
    assert_eq!(heard, expected.map(|(kind, chat)| (kind, chat.as_str())));
    // From the middle, at another instance.
    let cursor = missed[2]["cursor"].as_str().unwrap();
    let path = format!("/ws/chat?after={cursor}");
    let mut again = Ears::open(world.another().await, BEN, &path).await.unwrap();
    assert_eq!(again.greeting().await, missed[3..]);
    // What is deleted while one is away is gone, and that is told.
    world.user(ADA).delete(&format!("/api/chat/{two}")).await.expect(200);
    let cursor = missed[5]["cursor"].as_str().unwrap();
    let mut last = world.socket(BEN, &format!("/ws/chat?after={cursor}")).await;
    let gone = last.greeting().await;
    assert_eq!(gone.len(), 1);
    assert_eq!(gone[0]["type"], "chat.deleted");
});

on_each_engine!(there_is_no_seam_between_what_was_missed_and_what_happens, |settings| async move {
    let world = Arc::new(World::new(settings).await);
    let (lobby, chat) = (world.lobby(&[BEN]).await, world.chat(&[BEN]).await);
    let other = world.another().await;
    // Ada talks without a pause, and Ben comes and goes.
    let stop = Arc::new(AtomicBool::new(false));
    let talking =
        [format!("/lobbies/{lobby}/messages"), format!("/api/chat/{chat}/message")].map(|path| {
            let (world, stop) = (world.clone(), stop.clone());
            tokio::spawn(async move {
                let mut said = 0_i64;
                while !stop.load(Ordering::SeqCst) {
                    let body = json!({"text": "x", "message": "x"});
                    world.user(ADA).post(&path, body).await.expect(201);
                    said += 1;
                }
                said
            })
        });
    let (mut last, mut heard, mut cursor) = (0, Vec::new(), "0".to_owned());
    for round in 0..40_usize {
        let at = if round % 2 == 0 { world.at } else { other };
        let mut ears =
            Ears::connect(at, BEN, &format!("/ws/lobbies/{lobby}?after={last}")).await.unwrap();
        for _ in 0..=round % 7 {
            let event = ears.next_of("message").await;
            assert_eq!(seq(&event), last + 1, "round {round}");
            last += 1;
        }
        let mut ears = Ears::connect(at, BEN, &format!("/ws/chat?after={cursor}")).await.unwrap();
        for _ in 0..=round % 5 {
            let event = ears.next_of("message").await;
            cursor = event["cursor"].as_str().unwrap().to_owned();
            heard.push(seq(&event));
        }
    }
    stop.store(true, Ordering::SeqCst);
    for talker in talking {
        assert!(talker.await.unwrap() > 0);
    }
    assert_eq!(heard, (1..=heard.len() as i64).collect::<Vec<_>>());
});

on_each_engine!(who_has_just_connected_hears_what_they_say_next, |settings| async move {
    let world = World::new(settings).await;
    let (chat, lobby) = (world.chat(&[]).await, world.lobby(&[]).await);
    for n in 0..20 {
        let text = n.to_string();
        let mut ears = Ears::connect(world.at, ADA, "/ws/chat").await.unwrap();
        world.say(ADA, &chat, &text).await;
        assert_eq!(ears.next().await["message"], text);
        let path = format!("/ws/lobbies/{lobby}");
        let mut ears = Ears::connect(world.at, ADA, &path).await.unwrap();
        let said = json!({"text": text});
        world.user(ADA).post(&format!("/lobbies/{lobby}/messages"), said).await.expect(201);
        assert_eq!(ears.next().await["text"], text);
    }
});

on_each_engine!(who_has_left_reads_no_later_edit, |settings| async move {
    let world = World::new(settings).await;
    let chat = world.chat(&[BEN]).await;
    let said = world.say(ADA, &chat, "harmless").await["messageId"].as_str().unwrap().to_owned();
    world.say(ADA, &chat, "stays").await;
    let path = format!("/api/chat/{chat}");
    world.user(ADA).delete(&format!("{path}/participants/{BEN}")).await.expect(200);
    let edit = json!({"message": "secret"});
    world.user(ADA).patch(&format!("{path}/message/{said}"), edit).await.expect(200);
    let mut ben = world.socket(BEN, "/ws/chat?after=0").await;
    let texts: Vec<Value> = ben.greeting().await.iter().map(|e| e["message"].clone()).collect();
    assert_eq!(texts, [Value::Null, json!(""), json!("stays"), Value::Null]);
    let mut ada = world.socket(ADA, "/ws/chat?after=0").await;
    assert_eq!(ada.greeting().await[1]["message"], "secret");
});

on_each_engine!(a_cursor_of_no_log_is_refused, |settings| async move {
    let world = World::new(settings).await;
    let lobby = world.lobby(&[]).await;
    for path in ["/ws/chat?after=999", &format!("/ws/lobbies/{lobby}?cursor=999")] {
        let mut ears = Ears::connect(world.at, ADA, path).await.unwrap();
        assert_eq!(ears.close_code().await, 4410);
    }
});

on_each_engine!(much_is_missed_and_comes_page_by_page, |settings| async move {
    let how = chat::Settings { messages_per_minute: 0, ..chat::Settings::default() };
    let world = World::with(settings, how).await;
    let (lobby, chat) = (world.lobby(&[BEN]).await, world.chat(&[BEN]).await);
    world.say(ADA, &chat, "before").await;
    let sending = (0..1_300).map(|n| {
        let (client, path) = (world.user(ADA), format!("/lobbies/{lobby}/messages"));
        async move { client.post(&path, json!({"text": format!("{n}")})).await.expect(201) }
    });
    futures::future::join_all(sending).await;
    world.say(ADA, &chat, "after").await;
    let mut ben = world.socket(BEN, &format!("/ws/lobbies/{lobby}?after=0")).await;
    let seqs: Vec<i64> = ben.greeting().await.iter().map(seq).collect();
    assert_eq!(seqs, (1..=1_300).collect::<Vec<_>>());
    // Of the chat little, and that far apart.
    let mut ben = world.socket(BEN, "/ws/chat?after=0").await;
    let texts: Vec<Value> = ben.greeting().await.iter().map(|e| e["message"].clone()).collect();
    assert_eq!(texts, [Value::Null, json!("before"), json!("after")]);
});

on_each_engine!(who_is_removed_while_coming_back_does_not_listen, |settings| async move {
    let world = World::new(settings).await;
    let chat = world.chat(&[BEN]).await;
    let path = format!("/api/chat/{chat}/participants");
    for _ in 0..15 {
        let (ears, removed) = tokio::join!(Ears::connect(world.at, BEN, "/ws/chat"), async {
            world.user(ADA).delete(&format!("{path}/{BEN}")).await
        },);
        removed.expect(200);
        let mut ears = ears.unwrap();
        ears.send(json!({"type": "are you there"})).await;
        ears.greeting().await;
        world.say(ADA, &chat, "secret").await;
        let own = world.user(BEN).post("/api/chat", json!({"chatName": "own"})).await.expect(201);
        let heard = ears.next_of("chat.created").await;
        assert_eq!(heard["chat_id"], own.json()["chat"]["id"]);
        world.user(ADA).post(&path, json!({"user_id": BEN})).await.expect(200);
        let next = ears.next().await;
        assert_eq!(next["type"], "participant.added", "the secret was not told");
    }
});
