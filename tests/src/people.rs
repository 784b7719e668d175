//! People who use the system through its public API, as any client would.

use std::time::Duration;

use futures::StreamExt;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// How long an answer or a message may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Somebody who uses the system.
#[derive(Clone, Debug)]
pub struct Person {
    /// Their account's id; empty for a visitor.
    pub id: String,
    /// Their name.
    pub name: String,
    /// Their access token; empty for a visitor.
    pub token: String,
    url: String,
    client: Client,
}

/// What the system answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: reqwest::header::HeaderMap,
    /// The body as JSON; null if it is none.
    pub json: Value,
    /// The body.
    pub bytes: Vec<u8>,
}

impl Answer {
    /// A header as text; empty if it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// The answer, if its status is this one.
    ///
    /// # Panics
    /// If it is another.
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.bytes));
        self
    }
}

impl Person {
    /// Somebody without an account.
    #[must_use]
    pub fn visitor(url: &str) -> Self {
        let client = Client::builder().timeout(PATIENCE).build().expect("a client");
        Self {
            id: String::new(),
            name: String::new(),
            token: String::new(),
            url: url.to_owned(),
            client,
        }
    }

    /// Somebody with a new account, signed in.
    ///
    /// # Panics
    /// If the system refuses.
    pub async fn register(url: &str, name: &str) -> Self {
        let mut person = Self::visitor(url);
        let who = json!({"username": name, "password": "correct horse"});
        let made = person.post("/users/register", &who).await.expect(201);
        person.id = made.json["user_id"].as_str().expect("an id").to_owned();
        person.name = name.to_owned();
        person.log_in().await;
        person
    }

    /// The same person at another gateway.
    #[must_use]
    pub fn at(&self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self.clone() }
    }

    /// Signs in anew.
    ///
    /// # Panics
    /// If the system refuses.
    pub async fn log_in(&mut self) {
        let who = json!({"username": self.name, "password": "correct horse"});
        self.token.clear();
        let answer = self.post("/users/login", &who).await.expect(200);
        self.token = answer.json["token"].as_str().expect("a token").to_owned();
    }

    /// A request to be completed and sent with [`Person::send`].
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        if self.token.is_empty() { request } else { request.bearer_auth(&self.token) }
    }

    /// Sends a request.
    ///
    /// # Panics
    /// If there is no answer at all.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        self.try_send(request).await.expect("an answer")
    }

    /// Sends a request; an error means that the connection broke.
    ///
    /// # Errors
    /// If there is no whole answer.
    pub async fn try_send(&self, request: RequestBuilder) -> Result<Answer, reqwest::Error> {
        let answer = request.send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let bytes = answer.bytes().await?.to_vec();
        let json = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok(Answer { status, headers, json, bytes })
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// POST of JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// PUT of JSON.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    /// DELETE, with JSON.
    pub async fn delete(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::DELETE, path).json(body)).await
    }

    /// A new palette of one colour; its id.
    ///
    /// # Panics
    /// If the system refuses.
    pub async fn palette(&self, color: &str, category: &str) -> String {
        let palette = json!({"color_codes": [color], "category": category});
        let made = self.post("/palettes", &palette).await.expect(201);
        made.json["palette_id"].as_str().expect("an id").to_owned()
    }

    /// Likes a palette.
    pub async fn like(&self, palette: &str) -> Answer {
        self.post("/like", &json!({"palette_id": palette})).await
    }

    /// Where a WebSocket is opened.
    #[must_use]
    pub fn socket_url(&self, path: &str) -> String {
        format!("{}{path}", self.url.replacen("http", "ws", 1))
    }

    /// Opens a WebSocket.
    ///
    /// # Panics
    /// If the system refuses.
    pub async fn listen(&self, path: &str) -> Listener {
        let url = self.socket_url(path);
        let (socket, _) = tokio_tungstenite::connect_async(url).await.expect("a socket");
        Listener { socket }
    }
}

/// An open WebSocket.
pub struct Listener {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Listener {
    /// The next JSON message.
    ///
    /// # Panics
    /// If none comes in time.
    pub async fn next(&mut self) -> Value {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next());
            match message.await.expect("a message in time") {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).expect("JSON"),
                Some(Ok(Message::Close(frame))) => panic!("closed: {frame:?}"),
                Some(Ok(_)) => {}
                other => panic!("the socket broke: {other:?}"),
            }
        }
    }

    /// Reads until a message is what is wanted.
    ///
    /// # Panics
    /// If it does not come in time.
    pub async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self.next().await;
            if wanted(&message) {
                return message;
            }
        }
    }

    /// Waits until the system closes the socket; the close code, if it gave one.
    ///
    /// # Panics
    /// If it does not close in time.
    pub async fn closed(&mut self) -> Option<u16> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next());
            match message.await.expect("closed in time") {
                Some(Ok(Message::Close(frame))) => return frame.map(|f| f.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }
}
