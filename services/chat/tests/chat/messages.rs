//! Messages: sent, found, edited, deleted, read.

use serde_json::{Value, json};
use testkit::on_each_engine;

use crate::world::{ADA, BEN, CLEO, World, texts};

on_each_engine!(a_message_is_as_the_contract_says, |settings| async move {
    let world = World::new(settings).await;
    let chat = world.chat(&[BEN]).await;
    let path = format!("/api/chat/{chat}/message");
    let body = json!({"message": "Hello, \"you\" 🍄\n<b>", "client_id": "c-1"});
    let sent = world.user(BEN).post(&path, body).await.expect(201).json();
    assert_eq!(sent["message"], "Message sent successfully");
    let info = &sent["messageInfo"];
    assert_eq!(info["message"], "Hello, \"you\" 🍄\n<b>");
    assert_eq!((&info["seq"], &info["user_id"]), (&json!(1), &json!("2")));
    assert!(info["messageId"].is_string() && info["sent_at"].is_string());
    let found = world.user(ADA).get(&path).await.expect(200).json();
    assert_eq!(found, json!([info]));
});

on_each_engine!(numbers_have_no_gaps_whoever_sends_at_once, |settings| async move {
    let world = World::new(settings).await;
    let (chat, other) = (world.chat(&[BEN, CLEO]).await, world.chat(&[BEN]).await);
    let mut sending = Vec::new();
    for n in 0..60 {
        let (user, to) = ([ADA, BEN, CLEO][n % 3], if n % 5 == 0 { &other } else { &chat });
        // Who is not in it takes no number.
        let path = format!("/api/chat/{to}/message");
        let client = world.user(user);
        sending.push(
            async move { client.post(&path, json!({"message": format!("{n}")})).await.status },
        );
    }
    let statuses = futures::future::join_all(sending).await;
    let refused = statuses.iter().filter(|status| **status == 404).count();
    assert_eq!(refused, 4, "Cleo is not in the other one: {statuses:?}");
    for (id, many) in [(chat, 48_i64), (other, 8)] {
        let path = format!("/api/chat/{id}/message?limit=100");
        let found = world.user(ADA).get(&path).await.expect(200).json();
        let seqs: Vec<i64> =
            found.as_array().unwrap().iter().map(|m| m["seq"].as_i64().unwrap()).collect();
        assert_eq!(seqs, (1..=many).collect::<Vec<_>>());
        let one = world.user(ADA).get(&format!("/api/chat/{id}")).await.json();
        assert_eq!(one["last_seq"], many);
    }
});

on_each_engine!(one_client_id_is_one_message, |settings| async move {
    let world = World::new(settings).await;
    let chat = world.chat(&[BEN]).await;
    let path = format!("/api/chat/{chat}/message");
    let body = json!({"message": "once", "client_id": "c1"});
    let repeats = (0..8).map(|_| {
        let (client, path, body) = (world.user(ADA), path.clone(), body.clone());
        async move { client.post(&path, body).await.expect(201).json() }
    });
    let answers = futures::future::join_all(repeats).await;
    assert!(answers.windows(2).all(|two| two[0] == two[1]), "{answers:?}");
    // Also with another text: the first one stands. Another's id is another's.
    let again = json!({"message": "twice", "client_id": "c1"});
    let same = world.user(ADA).post(&path, again.clone()).await.expect(201).json();
    assert_eq!(same, answers[0]);
    world.user(BEN).post(&path, again).await.expect(201);
    let found = world.user(ADA).get(&path).await.expect(200).json();
    assert_eq!(texts(&found), ["once", "twice"]);
    for bad in ["", "a b", "é", &"x".repeat(101)] {
        let body = json!({"message": "x", "client_id": bad});
        world.user(ADA).post(&path, body).await.expect(422);
    }
});

on_each_engine!(a_key_finds_what_it_sent_also_when_its_answer_is_lost, |settings| async move {
    let world = World::new(settings).await;
    let chat = world.chat(&[BEN]).await;
    for (path, body) in [
        (format!("/api/chat/{chat}/message"), r#"{"message":"once"}"#),
        ("/lobbies".to_owned(), r#"{"topic":"once"}"#),
    ] {
        let post = || async {
            let request = http::Request::post(&path)
                .header("content-type", "application/json")
                .header("idempotency-key", "k1")
                .body(body.into())
                .unwrap();
            world.user(ADA).request(request).await.expect(201).json()
        };
        let first = post().await;
        // As if the process had died before it kept the answer.
        world.forget_keys().await;
        assert_eq!(post().await, first);
    }
    assert_eq!(world.count("rooms").await, 2);
    assert_eq!(world.count("log WHERE kind = 'message'").await, 1);
    // A client's id may be a number: it is the same as its text.
    let path = format!("/api/chat/{chat}/message");
    let by_number = json!({"message": "7", "client_id": 7});
    let first = world.user(ADA).post(&path, by_number).await.expect(201).json();
    let by_text = json!({"message": "7", "client_id": "7"});
    assert_eq!(world.user(ADA).post(&path, by_text).await.expect(201).json(), first);
});

on_each_engine!(history_is_read_from_any_place, |settings| async move {
    let world = World::new(settings).await;
    let chat = world.chat(&[BEN]).await;
    for n in 1..=9 {
        world.say(ADA, &chat, &n.to_string()).await;
    }
    let path = format!("/api/chat/{chat}/message");
    let ben = world.user(BEN);
    let read = |part: &'static str| {
        let (ben, path) = (ben.clone(), format!("{path}?{part}"));
        async move { ben.get(&path).await.expect(200).json() }
    };
    for (part, expected) in [
        ("limit=3", &["7", "8", "9"][..]),
        ("before=4&limit=2", &["2", "3"]),
        ("after=0&limit=2", &["1", "2"]),
        ("after=7", &["8", "9"]),
        ("after=9", &[]),
        ("before=1", &[]),
        ("around=5&limit=4", &["3", "4", "5", "6"]),
        ("around=1&limit=4", &["1", "2"]),
        ("after=3&before=7&limit=2", &["4", "5"]),
        ("after=7&before=3", &[]),
        ("q=5", &["5"]),
        ("q=5&before=5", &[]),
        ("q=5&after=4&before=6", &["5"]),
    ] {
        assert_eq!(texts(&read(part).await), expected, "{part}");
    }
    for bad in ["around=1&after=2", "around=1&q=a", "limit=0", "limit=101", "before=x", "q=%20"] {
        ben.get(&format!("{path}?{bad}")).await.expect(422);
    }
});

on_each_engine!(what_was_said_is_found_in_every_language, |settings| async move {
    let world = World::new(settings).await;
    let (chat, other) = (world.chat(&[BEN]).await, world.chat(&[CLEO]).await);
    for text in ["Straße im Regen", "100% BLAU", "ÄPFEL und Birnen", "under_score"] {
        world.say(ADA, &chat, text).await;
    }
    world.say(ADA, &other, "blau ist hier auch").await;
    let gone = world.say(ADA, &chat, "blau und weg").await["messageId"].clone();
    let gone = format!("/api/chat/{chat}/message/{}", gone.as_str().unwrap());
    world.user(ADA).delete(&gone).await.expect(200);
    let path = format!("/api/chat/{chat}/message");
    for (q, expected) in [
        ("blau", &["100% BLAU"][..]),
        ("%C3%A4pfel", &["ÄPFEL und Birnen"]),
        ("%25", &["100% BLAU"]),
        ("_", &["under_score"]),
        ("r", &["Straße im Regen", "ÄPFEL und Birnen", "under_score"]),
        ("nichts", &[]),
    ] {
        let found = world.user(BEN).get(&format!("{path}?q={q}")).await.expect(200).json();
        assert_eq!(texts(&found), expected, "{q}");
    }
    // In all of one's chats.
    let found = world.user(ADA).get("/api/chat/message?q=blau").await.expect(200).json();
    assert_eq!(texts(&found), ["100% BLAU", "blau ist hier auch"]);
    assert_eq!(found[1]["chat_id"], other);
    let found = world.user(BEN).get("/api/chat/message?q=blau").await.expect(200).json();
    assert_eq!(texts(&found), ["100% BLAU"]);
    // In pages, from the newest.
    let page = world.user(ADA).get("/api/chat/message?q=blau&limit=1").await.expect(200);
    assert_eq!(texts(&page.json()), ["blau ist hier auch"]);
    let next = page.header("link").unwrap().trim_start_matches('<').split('>').next().unwrap();
    let page = world.user(ADA).get(next).await.expect(200);
    assert_eq!(texts(&page.json()), ["100% BLAU"]);
});

on_each_engine!(its_author_alone_changes_a_message, |settings| async move {
    let world = World::new(settings).await;
    let chat = world.chat(&[BEN]).await;
    let first = world.say(ADA, &chat, "frist").await;
    let path = format!("/api/chat/{chat}/message/{}", first["messageId"].as_str().unwrap());
    world.user(BEN).patch(&path, json!({"message": "mine"})).await.expect(403);
    world.user(BEN).delete(&path).await.expect(403);
    world.user(ADA).patch(&path, json!({"message": " "})).await.expect(422);
    let edited = world.user(ADA).patch(&path, json!({"message": "first"})).await.expect(200).json();
    assert_eq!(edited["messageInfo"]["message"], "first");
    assert_eq!(edited["messageInfo"]["seq"], first["seq"]);
    assert!(edited["messageInfo"]["edited_at"].is_string());
    let deleted = world.user(ADA).delete(&path).await.expect(200).json();
    assert_eq!(deleted, json!({"message": "Message deleted successfully"}));
    world.user(ADA).patch(&path, json!({"message": "back"})).await.expect(404);
    world.user(ADA).delete(&path).await.expect(404);
    let found = world.user(BEN).get(&format!("/api/chat/{chat}/message")).await.json();
    assert_eq!((&found[0]["seq"], &found[0]["deleted"]), (&json!(1), &json!(true)));
    assert_eq!(found[0]["message"], "");
    // A message of another chat is not found in this one.
    let other = world.chat(&[]).await;
    let there = world.say(ADA, &other, "there").await["messageId"].clone();
    let crossed = format!("/api/chat/{chat}/message/{}", there.as_str().unwrap());
    world.user(ADA).patch(&crossed, json!({"message": "here"})).await.expect(404);
});

on_each_engine!(what_is_unread_follows_from_numbers, |settings| async move {
    let world = World::new(settings).await;
    let chat = world.chat(&[BEN, CLEO]).await;
    let path = format!("/api/chat/{chat}");
    let unread = |user: i64| {
        let (client, path) = (world.user(user), path.clone());
        async move {
            let one = client.get(&path).await.expect(200).json();
            (one["unread"].as_i64().unwrap(), one["unread_mentions"].as_i64().unwrap())
        }
    };
    for text in ["one", "@Ben two", "three @ben and @cleo, @nobody"] {
        world.say(ADA, &chat, text).await;
    }
    assert_eq!((unread(ADA).await, unread(BEN).await), ((0, 0), (3, 2)));
    world.user(BEN).put(&format!("{path}/read"), json!({"seq": 2})).await.expect(204);
    assert_eq!(unread(BEN).await, (1, 1));
    world.user(BEN).put(&format!("{path}/read"), json!({"seq": 1})).await.expect(204);
    assert_eq!(unread(BEN).await, (1, 1), "never back");
    world.user(BEN).put(&format!("{path}/read"), json!({"seq": 99})).await.expect(204);
    assert_eq!(unread(BEN).await, (0, 0));
    world.say(ADA, &chat, "four").await;
    assert_eq!(unread(BEN).await, (1, 0), "not beyond what there was");
    world.say(BEN, &chat, "five").await;
    assert_eq!(unread(BEN).await, (0, 0), "who speaks has read");
    assert_eq!(unread(CLEO).await, (5, 1));
});

on_each_engine!(reactions_count_people, |settings| async move {
    let world = World::new(settings).await;
    let chat = world.chat(&[BEN]).await;
    let id = world.say(ADA, &chat, "look").await["messageId"].as_str().unwrap().to_owned();
    let path = format!("/api/chat/{chat}/message/{id}/reactions");
    for (user, emoji) in [(ADA, "+1"), (BEN, "+1"), (BEN, "+1"), (BEN, "%F0%9F%8D%84")] {
        world.user(user).put(&format!("{path}/{emoji}"), json!({})).await.expect(204);
    }
    world.user(BEN).put(&format!("{path}/Hello"), json!({})).await.expect(422);
    let shown = |user: i64| {
        let (client, path) = (world.user(user), format!("/api/chat/{chat}/message"));
        async move { client.get(&path).await.expect(200).json()[0]["reactions"].clone() }
    };
    assert_eq!(
        shown(ADA).await,
        json!([{"emoji": "+1", "count": 2, "mine": true}, {"emoji": "🍄", "count": 1, "mine": false}])
    );
    world.user(ADA).delete(&format!("{path}/+1")).await.expect(204);
    world.user(ADA).delete(&format!("{path}/+1")).await.expect(204);
    assert_eq!(shown(ADA).await[0], json!({"emoji": "+1", "count": 1, "mine": false}));
    let gone = format!("/api/chat/{chat}/message/{id}");
    world.user(ADA).delete(&gone).await.expect(200);
    assert_eq!(shown(ADA).await, Value::Null);
    world.user(BEN).put(&format!("{path}/+1"), json!({})).await.expect(404);
});
