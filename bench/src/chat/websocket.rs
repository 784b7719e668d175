//! As much of RFC 6455 as a client needs that is not to cost anything.

use std::io::{self, Read, Write};
use std::net::TcpStream;

pub(super) const TEXT: u8 = 1;
pub(super) const CLOSE: u8 = 8;
pub(super) const PING: u8 = 9;
pub(super) const PONG: u8 = 10;

/// Asks for an upgrade; returns what came after the answer's head.
pub(super) fn upgrade(
    stream: &mut TcpStream,
    path: &str,
    token: Option<&str>,
) -> io::Result<Vec<u8>> {
    let host = stream.peer_addr()?;
    let authorization =
        token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n{authorization}\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let end = read_until(stream, &mut answer, b"\r\n\r\n")?;
    if !answer.starts_with(b"HTTP/1.1 101") {
        let line = String::from_utf8_lossy(&answer);
        let line = line.lines().next().unwrap_or_default();
        return Err(io::Error::other(format!("no upgrade of {path}: {line}")));
    }
    Ok(answer.split_off(end))
}

/// Reads until `wanted` has come; returns where it ends.
pub(super) fn read_until(
    stream: &mut TcpStream,
    into: &mut Vec<u8>,
    wanted: &[u8],
) -> io::Result<usize> {
    let mut buffer = [0; 4096];
    loop {
        if let Some(at) = into.windows(wanted.len()).position(|window| window == wanted) {
            return Ok(at + wanted.len());
        }
        let read = stream.read(&mut buffer)?;
        if read == 0 || into.len() > 1 << 20 {
            let got = String::from_utf8_lossy(into);
            let tail: String =
                got.chars().rev().take(200).collect::<Vec<_>>().into_iter().rev().collect();
            return Err(io::Error::other(format!("closed while joining, after: {tail}")));
        }
        into.extend_from_slice(&buffer[..read]);
    }
}

/// A frame as a client writes it. Its mask is zero, which changes nothing and costs nothing here.
pub(super) fn write(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x80 | opcode);
    match payload.len() {
        short @ ..126 => out.push(0x80 | short as u8),
        long => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(long as u16).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// The first whole frame as a server writes it: opcode, payload, length with its head.
pub(super) fn first(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (opcode, short) = (bytes.first()? & 15, bytes.get(1)? & 127);
    let (head, length) = match short {
        126 => (4, usize::from(u16::from_be_bytes(*bytes.get(2..4)?.first_chunk()?))),
        127 => (10, u64::from_be_bytes(*bytes.get(2..10)?.first_chunk()?) as usize),
        short => (2, usize::from(short)),
    };
    let end = head + length;
    Some((opcode, bytes.get(head..end)?, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_apart() {
        let long = [b'y'; 300];
        let mut bytes = vec![0x81, 2, b'h', b'i', 0x89, 0, 0x81, 126, 1, 44];
        bytes.extend(long);
        assert_eq!(first(&bytes), Some((TEXT, &b"hi"[..], 4)));
        assert_eq!(first(&bytes[4..]), Some((PING, &b""[..], 2)));
        assert_eq!(first(&bytes[6..]), Some((TEXT, &long[..], 304)));
        for cut in 0..4 {
            assert_eq!(first(&bytes[..cut]), None);
        }
        assert_eq!(first(&bytes[6..309]), None);
    }
}
