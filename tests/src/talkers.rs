//! People who talk in rooms, lose their connections, come back and go on, as a good client does:
//! each remembers the last thing it heard, asks for what came after it, and sends again under the
//! same `client_id` whatever it has not heard itself say.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use rand::RngExt;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::Person;

/// How long a client keeps a connection, at random.
const KEPT_MS: std::ops::Range<u64> = 500..9_000;
/// How long it is silent between two messages, at random.
const SILENT_MS: std::ops::Range<u64> = 1_500..9_000;
/// How long it waits before it tries to connect again, at random.
const AWAY_MS: std::ops::Range<u64> = 20..600;
/// How long one who has said all waits to hear the end of it, on a busy machine.
const CATCH_UP: Duration = Duration::from_secs(90);

/// A message as everybody has to have heard it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Its number in the room.
    pub seq: i64,
    /// Its id.
    pub id: String,
    /// Who said it.
    pub user: String,
    /// What.
    pub text: String,
}

impl Heard {
    /// Reads a message, of a chat or a lobby, of an event or a history.
    #[must_use]
    pub fn of(message: &Value) -> Self {
        let text = |names: [&str; 2]| {
            let found = names.iter().find_map(|name| message[name].as_str());
            found.unwrap_or_else(|| panic!("{names:?} in {message}")).to_owned()
        };
        Self {
            seq: message["seq"].as_i64().expect("a number"),
            id: text(["messageId", "message_id"]),
            user: text(["user_id", "user_id"]),
            text: text(["message", "text"]),
        }
    }
}

/// What a socket is for.
#[derive(Clone, Debug)]
pub enum Line {
    /// All of one's chats; these are spoken in.
    Chats(Vec<String>),
    /// One lobby.
    Lobby(String),
}

/// How far the talk is.
#[derive(Clone, Debug)]
enum Phase {
    Talking,
    /// Nothing new is said.
    Silent,
    /// These are the last messages of the rooms.
    Over(Arc<BTreeMap<String, i64>>),
}

/// People who talk.
pub struct Talkers {
    phase: watch::Sender<Phase>,
    running: Vec<JoinHandle<BTreeMap<String, Vec<Heard>>>>,
    said_all: watch::Receiver<usize>,
}

impl Talkers {
    /// Begins to talk: each person on each of the lines.
    #[must_use]
    pub fn start(people: &[Person], lines: &[Line]) -> Self {
        let (phase, phases) = watch::channel(Phase::Talking);
        let (done, said_all) = watch::channel(0);
        let talkers = people.iter().flat_map(|person| lines.iter().map(move |line| (person, line)));
        let running = talkers
            .map(|(person, line)| {
                let talker = Talker::new(person.clone(), line.clone());
                tokio::spawn(talker.talk(phases.clone(), done.clone()))
            })
            .collect();
        Self { phase, running, said_all }
    }

    /// Nothing new is said any more; returns once everybody has heard all that they said.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn fall_silent(&mut self) {
        self.phase.send_replace(Phase::Silent);
        let all = self.running.len();
        let silent = self.said_all.wait_for(|done| *done == all);
        assert!(timeout(CATCH_UP, silent).await.is_ok(), "somebody's words were not heard");
    }

    /// What each has heard in each of their rooms, once they have heard the last message of all.
    ///
    /// # Panics
    /// When somebody heard something twice, not at all, or out of order.
    pub async fn heard(self, last: BTreeMap<String, i64>) -> Vec<BTreeMap<String, Vec<Heard>>> {
        self.phase.send_replace(Phase::Over(Arc::new(last)));
        let mut heard = Vec::new();
        for talker in self.running {
            let one = timeout(CATCH_UP, talker).await.expect("everybody hears the end in time");
            heard.push(one.expect("nobody heard anything wrong"));
        }
        heard
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

struct Talker {
    person: Person,
    line: Line,
    /// Of the last event of one's chats.
    cursor: Option<String>,
    heard: BTreeMap<String, Vec<Heard>>,
    /// Said and not heard yet, by `client_id`.
    unheard: HashMap<String, Value>,
    said: usize,
}

impl Talker {
    fn new(person: Person, line: Line) -> Self {
        let rooms = match &line {
            Line::Chats(rooms) => rooms.clone(),
            Line::Lobby(room) => vec![room.clone()],
        };
        let heard = rooms.into_iter().map(|room| (room, Vec::new())).collect();
        Self { person, line, cursor: None, heard, unheard: HashMap::new(), said: 0 }
    }

    async fn talk(
        mut self,
        mut phase: watch::Receiver<Phase>,
        done: watch::Sender<usize>,
    ) -> BTreeMap<String, Vec<Heard>> {
        let mut told = false;
        loop {
            if let Some(mut socket) = self.connect().await {
                let until = Instant::now() + at_random(KEPT_MS);
                self.stay(&mut socket, until, &mut phase).await;
                // Dropped without a word, as when a train enters a tunnel.
            }
            let now = phase.borrow().clone();
            if !told && self.unheard.is_empty() && !matches!(now, Phase::Talking) {
                done.send_modify(|done| *done += 1);
                told = true;
            }
            if let Phase::Over(last) = now
                && self.is_complete(&last)
            {
                return self.heard;
            }
            sleep(at_random(AWAY_MS)).await;
        }
    }

    fn is_complete(&self, last: &BTreeMap<String, i64>) -> bool {
        self.heard.iter().all(|(room, heard)| heard.last().map_or(0, |m| m.seq) >= last[room])
    }

    async fn connect(&mut self) -> Option<Socket> {
        let path = match &self.line {
            Line::Chats(_) => {
                format!("/ws/chat?after={}", self.cursor.as_deref().unwrap_or("0"))
            }
            Line::Lobby(room) => {
                let last = self.heard[room].last().map_or(0, |heard| heard.seq);
                format!("/ws/lobbies/{room}?after={last}")
            }
        };
        let mut request = self.person.socket_url(&path).into_client_request().expect("a request");
        let token = format!("Bearer {}", self.person.token).parse().expect("a header");
        request.headers_mut().insert("authorization", token);
        let (mut socket, _) =
            timeout(Duration::from_secs(10), connect_async(request)).await.ok()?.ok()?;
        for said in self.unheard.values() {
            socket.send(Message::text(said.to_string())).await.ok()?;
        }
        Some(socket)
    }

    /// Listens and talks until the connection is over, one way or the other.
    async fn stay(
        &mut self,
        socket: &mut Socket,
        until: Instant,
        phase: &mut watch::Receiver<Phase>,
    ) {
        let mut next_words = Instant::now() + at_random(SILENT_MS);
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                // Changes are looked at between two connections.
                Ok(()) = phase.changed() => return,
                () = tokio::time::sleep_until(next_words), if self.is_talking(phase) => {
                    next_words = Instant::now() + at_random(SILENT_MS);
                    let words = self.words().to_string();
                    if socket.send(Message::text(words)).await.is_err() {
                        return;
                    }
                }
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        self.hear(&serde_json::from_str(&text).expect("JSON"));
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => {}
                },
            }
        }
    }

    fn is_talking(&self, phase: &watch::Receiver<Phase>) -> bool {
        matches!(*phase.borrow(), Phase::Talking)
    }

    /// Something new to say, in one of the rooms.
    fn words(&mut self) -> Value {
        self.said += 1;
        let rooms: Vec<&String> = self.heard.keys().collect();
        let room = rooms[rand::rng().random_range(0..rooms.len())].clone();
        let client_id = format!("{}-{room}-{}", self.person.name, self.said);
        let text = format!("{} says {}", self.person.name, self.said);
        let words = match self.line {
            Line::Chats(_) => json!({"type": "message", "chat_id": room, "message": text,
                "client_id": client_id}),
            Line::Lobby(_) => json!({"type": "message", "text": text, "client_id": client_id}),
        };
        self.unheard.insert(client_id, words.clone());
        words
    }

    fn hear(&mut self, event: &Value) {
        if let Some(cursor) = event["cursor"].as_str() {
            let number = |cursor: &str| cursor.parse::<i64>().expect("a number");
            if let (Line::Chats(_), Some(last)) = (&self.line, &self.cursor) {
                assert!(number(cursor) > number(last), "{} heard {event} again", self.person.name);
            }
            self.cursor = Some(cursor.to_owned());
        }
        if event["type"] != "message" {
            return;
        }
        let room = match &self.line {
            Line::Chats(_) => event["chat_id"].as_str().expect("its chat"),
            Line::Lobby(room) => room,
        };
        let heard = self.heard.get_mut(room).expect("a room of theirs");
        let message = Heard::of(event);
        let expected = heard.last().map_or(1, |last| last.seq + 1);
        assert_eq!(message.seq, expected, "{} heard {event} in {room}", self.person.name);
        if message.user == self.person.id {
            let client_id = event["client_id"].as_str().expect("everybody gives one");
            // On another line of theirs they said it, if not on this one.
            self.unheard.remove(client_id);
        }
        heard.push(message);
    }
}

fn at_random(millis: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(rand::rng().random_range(millis))
}
