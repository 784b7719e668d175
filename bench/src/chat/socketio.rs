//! socket.io 4 in engine.io 4 over WebSocket alone, as a client with `transports: ["websocket"]`.

use std::io::{self, Write};
use std::net::TcpStream;

use serde_json::json;

use super::dialect::{Dialect, Piece};
use super::websocket::{self, CLOSE, PING, PONG, TEXT};

/// Speaks to `bench/socketio`.
pub struct SocketIo;

/// Engine.io's own ping, a text, and its answer.
const ENGINE_PING: &[u8] = b"2";
const ENGINE_PONG: &[u8] = b"3";

impl Dialect for SocketIo {
    fn join(
        &self,
        stream: &mut TcpStream,
        room: usize,
        member: usize,
        _: Option<u64>,
    ) -> io::Result<Vec<u8>> {
        let mut read = websocket::upgrade(stream, "/socket.io/?EIO=4&transport=websocket", None)?;
        let mut say = |text: String, answer: &[u8], read: &mut Vec<u8>| {
            let mut frame = Vec::new();
            websocket::write(TEXT, text.as_bytes(), &mut frame);
            stream.write_all(&frame)?;
            websocket::read_until(stream, read, answer)
        };
        let who = json!({"username": format!("member{member}")});
        say(format!("40{who}"), b"40{\"sid\"", &mut read)?;
        let join = json!(["join", room.to_string()]);
        let end = say(format!("420{join}"), b"430[]", &mut read)?;
        Ok(read.split_off(end))
    }

    fn say(&self, room: usize, text: &str, out: &mut Vec<u8>) {
        let message = json!(["message", {"room": room.to_string(), "text": text}]);
        websocket::write(TEXT, format!("42{message}").as_bytes(), out);
    }

    fn first<'a>(&self, bytes: &'a [u8], _: &mut u16) -> Option<(Piece<'a>, usize)> {
        let (opcode, payload, length) = websocket::first(bytes)?;
        let answer = |opcode, payload: &[u8]| {
            let mut answer = Vec::new();
            websocket::write(opcode, payload, &mut answer);
            Piece::Asked(answer)
        };
        let piece = match opcode {
            TEXT if payload == ENGINE_PING => answer(TEXT, ENGINE_PONG),
            TEXT => Piece::Said(payload),
            PING => answer(PONG, payload),
            CLOSE => Piece::Closed,
            _ => Piece::Other,
        };
        Some((piece, length))
    }

    fn numbers(&self) -> bool {
        true
    }
}
