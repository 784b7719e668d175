//! People who talk: what everybody hears is what was said, whatever is killed meanwhile.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use system_tests::{Heard, Line, Person, System, Talkers, cell, eventually, in_every_shape};

/// How long they talk while instances die.
const TALK: Duration = Duration::from_secs(120);
const MEMBERS: usize = 50;

/// All messages of a room, as its history has them.
async fn history(person: &Person, path: &str) -> Vec<Heard> {
    let mut log: Vec<Heard> = Vec::new();
    loop {
        let after = log.last().map_or(0, |last| last.seq);
        let page = person.get(&format!("{path}?after={after}&limit=100")).await.expect(200);
        let page: Vec<Heard> = page.json.as_array().unwrap().iter().map(Heard::of).collect();
        if page.is_empty() {
            return log;
        }
        log.extend(page);
    }
}

async fn members(system: &System, number: usize) -> Vec<Person> {
    let mut people = Vec::new();
    for number in 0..number {
        people.push(system.member(&format!("talker{number}")).await);
    }
    people
}

async fn chat(owner: &Person, others: &[Person]) -> String {
    let participants: Vec<&str> = others.iter().map(|person| person.id.as_str()).collect();
    let body = json!({"participants": participants, "chatName": "talk"});
    let made = owner.post("/api/chat", &body).await.expect(201);
    made.json["chat"]["id"].as_str().unwrap().to_owned()
}

async fn lobby(owner: &Person, others: &[Person]) -> String {
    let opened = owner.post("/lobbies", &json!({"topic": "talk"})).await.expect(201);
    let lobby = opened.json["lobby_id"].as_str().unwrap().to_owned();
    for other in others {
        other.post(&format!("/lobbies/{lobby}/join"), &json!({})).await.expect(200);
    }
    lobby
}

/// People in two chats and two lobbies who talk at random, and lose their connections at random.
pub(crate) struct Talk {
    ada: Person,
    chats: Vec<String>,
    lobbies: [String; 2],
    talkers: Talkers,
}

impl Talk {
    pub(crate) async fn start(system: &System, number: usize) -> Self {
        let people = members(system, number).await;
        let (ada, others) = people.split_first().unwrap();
        let chats = vec![chat(ada, others).await, chat(ada, others).await];
        let lobbies = [lobby(ada, others).await, lobby(ada, others).await];
        let lines = [
            Line::Chats(chats.clone()),
            Line::Lobby(lobbies[0].clone()),
            Line::Lobby(lobbies[1].clone()),
        ];
        let talkers = Talkers::start(&people, &lines);
        Self { ada: ada.clone(), chats, lobbies, talkers }
    }

    /// Ends it, and sees that everybody heard each message once and in order: at least `least` in
    /// each room. Answers how many there were.
    pub(crate) async fn end(mut self, least: usize) -> usize {
        self.talkers.fall_silent().await;
        let mut logs: BTreeMap<String, Vec<Heard>> = BTreeMap::new();
        for id in &self.chats {
            logs.insert(id.clone(), history(&self.ada, &format!("/api/chat/{id}/message")).await);
        }
        for id in &self.lobbies {
            logs.insert(id.clone(), history(&self.ada, &format!("/lobbies/{id}/messages")).await);
        }
        for log in logs.values() {
            let numbers: Vec<i64> = log.iter().map(|m| m.seq).collect();
            assert_eq!(numbers, (1..=log.len() as i64).collect::<Vec<_>>(), "no gaps");
            assert!(log.len() >= least, "only {} messages were said", log.len());
        }
        let last = logs.iter().map(|(room, log)| (room.clone(), log.len() as i64)).collect();
        for heard in self.talkers.heard(last).await {
            for (room, heard) in heard {
                assert_eq!(heard, logs[&room], "what was heard in {room} is what was said");
            }
        }
        logs.values().map(Vec::len).sum()
    }
}

/// Fifty members hear the same, while `kill` does its worst again and again.
async fn converges(system: &mut System, mut kill: impl AsyncFnMut(&mut System, usize)) {
    let talk = Talk::start(system, MEMBERS).await;
    let (since, mut round) = (Instant::now(), 0);
    while since.elapsed() < TALK {
        kill(system, round).await;
        round += 1;
    }
    talk.end(100).await;
}

mod everybody_hears_the_same {
    use super::*;

    /// Every few seconds a chat instance dies, and now and then the gateway.
    async fn instances_die(system: &mut System) {
        converges(system, async |system, round| {
            tokio::time::sleep(Duration::from_secs(4)).await;
            system.kill_one(if round % 5 == 4 { "gateway" } else { "chat" });
        })
        .await;
    }

    /// With one process, that one dies.
    async fn all_dies(system: &mut System) {
        converges(system, async |system, _| {
            tokio::time::sleep(Duration::from_secs(12)).await;
            system.power_cut();
        })
        .await;
    }

    cell!(one_process, OneProcess, Embedded, all_dies);
    cell!(split, Replicated(&["chat=3"]), Embedded, instances_die);
    cell!(one_process_on_engines, OneProcess, Engines, all_dies);
    cell!(split_on_engines, Replicated(&["chat=3"]), Engines, instances_die);
}

in_every_shape!(a_chat_is_in_both_and_a_lobby_around_a_palette, async |system: &mut System| {
    let (ada, ben) = (system.member("ada").await, system.member("ben").await);
    let id = chat(&ada, std::slice::from_ref(&ben)).await;
    for person in [&ada, &ben] {
        let profile = person.get(&format!("/users/{}", person.id)).await.expect(200);
        assert_eq!(profile.json["chats"], json!([id]), "the account lists it");
    }
    let seen = ben.get(&format!("/users/{}", ada.id)).await.expect(200);
    assert_eq!(seen.json["chats"], Value::Null, "to its owner alone");
    let sent = ada.post(&format!("/api/chat/{id}/message"), &json!({"message": "hi"})).await;
    assert_eq!(sent.expect(201).json["messageInfo"]["seq"], 1);
    let listed = ben.get("/api/chat").await.expect(200);
    assert_eq!(listed.json[0]["unread"], 1);

    let palette = ada.palette("#223344", "talk").await;
    let opened = ada.post("/lobbies", &json!({"palette_id": palette})).await.expect(201);
    assert_eq!(opened.json["name"], format!("Palette #{palette} Discussion"));
    ada.post("/lobbies", &json!({"palette_id": "999999"})).await.expect(404);
    let lobby = opened.json["lobby_id"].as_str().unwrap();
    ben.post(&format!("/lobbies/{lobby}/join"), &json!({})).await.expect(200);

    ben.delete(&format!("/api/chat/{id}"), &json!({})).await.expect(403);
    ada.delete(&format!("/api/chat/{id}"), &json!({})).await.expect(200);
    let profile = ada.get(&format!("/users/{}", ada.id)).await.expect(200);
    assert_eq!(profile.json["chats"], json!([]));
});

in_every_shape!(a_deleted_account_is_in_no_chat, async |system: &mut System| {
    let (ada, ben) = (system.member("ada").await, system.member("ben").await);
    let id = chat(&ada, std::slice::from_ref(&ben)).await;
    let path = format!("/api/chat/{id}/message");
    ben.post(&path, &json!({"message": "remember me"})).await.expect(201);
    ben.delete(&format!("/users/{}", ben.id), &json!({})).await.expect(200);
    eventually("ben has left, and what he said is nobody's", async || {
        let chat = ada.get(&format!("/api/chat/{id}")).await.expect(200);
        let said = ada.get(&path).await.expect(200);
        let gone = chat.json["participants"] == json!([ada.id]);
        (gone && said.json[0]["username"] == "deleted user").then_some(())
    })
    .await;
    let said = ada.get(&path).await.expect(200);
    assert_eq!(said.json[0]["message"], "remember me");
});

in_every_shape!(a_page_of_another_site_gets_no_socket, async |system: &mut System| {
    let ada = system.member("ada").await;
    for (origin, status) in [("http://evil.example", 403), (system.url.as_str(), 101)] {
        let request = system
            .visitor()
            .request(reqwest::Method::GET, "/ws/chat")
            .header("cookie", format!("accessToken={}", ada.token))
            .header("origin", origin)
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{origin}");
    }
});
