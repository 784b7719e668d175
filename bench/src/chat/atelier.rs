//! Lobbies of the system, as the contract has them.
//!
//! Accounts cost an Argon2 hash each, so there are a few, and each sits in every room many times.

use std::fmt::Write as _;
use std::io;
use std::net::{SocketAddr, TcpStream};

use axum::body::{Body, to_bytes};
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use super::dialect::{Dialect, Piece};
use super::seat::Hall;
use super::stamp;
use super::websocket::{self, CLOSE, PING, PONG, TEXT};

/// More than any answer here.
const ANSWER: usize = 1 << 20;
const PASSWORD: &str = "correct horse";

/// Speaks to lobbies made for the purpose.
pub struct Atelier {
    tokens: Vec<String>,
    lobbies: Vec<String>,
}

impl Atelier {
    /// Signs up and in, opens a lobby for each room and takes every account into it.
    pub async fn prepare(address: SocketAddr, hall: Hall, accounts: usize) -> io::Result<Self> {
        let api = Api { address, client: Client::builder(TokioExecutor::new()).build_http() };
        let mut tokens = Vec::new();
        for account in 0..accounts.clamp(1, hall.members) {
            let who = json!({"username": format!("chatload{account}"), "password": PASSWORD});
            api.post("/users/register", None, &who, &[StatusCode::CONFLICT]).await?;
            let session = api.post("/users/login", None, &who, &[]).await?;
            tokens.push(text(&session, "token")?);
        }
        let mut lobbies = Vec::new();
        for room in 0..hall.rooms {
            let topic = json!({"topic": format!("load {room}")});
            let lobby = api.post("/lobbies", Some(&tokens[0]), &topic, &[]).await?;
            let lobby = text(&lobby, "lobby_id")?;
            for token in &tokens[1..] {
                api.post(&format!("/lobbies/{lobby}/join"), Some(token), &json!({}), &[]).await?;
            }
            lobbies.push(lobby);
        }
        Ok(Self { tokens, lobbies })
    }
}

impl Dialect for Atelier {
    fn join(
        &self,
        stream: &mut TcpStream,
        room: usize,
        member: usize,
        after: Option<u64>,
    ) -> io::Result<Vec<u8>> {
        let mut path = format!("/ws/lobbies/{}", self.lobbies[room]);
        if let Some(after) = after {
            let _ = write!(path, "?after={after}");
        }
        websocket::upgrade(stream, &path, Some(&self.tokens[member % self.tokens.len()]))
    }

    /// A stamp is a good client id: the same message said again has the same.
    fn say(&self, _: usize, text: &str, out: &mut Vec<u8>) {
        let id = &text[1..stamp::LENGTH - 1];
        let message = format!(r#"{{"type":"message","text":"{text}","client_id":"{id}"}}"#);
        websocket::write(TEXT, message.as_bytes(), out);
    }

    fn first<'a>(&self, bytes: &'a [u8], _: &mut u16) -> Option<(Piece<'a>, usize)> {
        let (opcode, payload, length) = websocket::first(bytes)?;
        let piece = match opcode {
            TEXT => Piece::Said(payload),
            PING => {
                let mut answer = Vec::new();
                websocket::write(PONG, payload, &mut answer);
                Piece::Asked(answer)
            }
            CLOSE => Piece::Closed,
            _ => Piece::Other,
        };
        Some((piece, length))
    }

    fn numbers(&self) -> bool {
        true
    }
}

struct Api {
    address: SocketAddr,
    client: Client<HttpConnector, Body>,
}

impl Api {
    /// The answer, which is a success or one of the `allowed`.
    async fn post(
        &self,
        path: &str,
        token: Option<&str>,
        body: &Value,
        allowed: &[StatusCode],
    ) -> io::Result<Value> {
        let mut request = Request::post(format!("http://{}{path}", self.address))
            .header("Content-Type", "application/json");
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let request = request.body(Body::from(body.to_string())).map_err(io::Error::other)?;
        let answer = self.client.request(request).await.map_err(io::Error::other)?;
        let status = answer.status();
        let bytes =
            to_bytes(Body::new(answer.into_body()), ANSWER).await.map_err(io::Error::other)?;
        if !status.is_success() && !allowed.contains(&status) {
            let said = String::from_utf8_lossy(&bytes);
            return Err(io::Error::other(format!("POST {path}: {status} {said}")));
        }
        Ok(serde_json::from_slice(&bytes).unwrap_or_default())
    }
}

fn text(value: &Value, name: &str) -> io::Result<String> {
    let text = value.get(name).and_then(Value::as_str).map(str::to_owned);
    text.ok_or_else(|| io::Error::other(format!("no {name} in {value}")))
}
