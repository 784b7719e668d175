//! A server that sends by itself whatever it has: the limit to which others are compared.

use std::io;
use std::net::TcpStream;

use super::dialect::{Dialect, Piece};
use super::websocket::{self, TEXT};

/// Counts frames.
pub struct Bare;

impl Dialect for Bare {
    fn join(
        &self,
        stream: &mut TcpStream,
        _: usize,
        _: usize,
        _: Option<u64>,
    ) -> io::Result<Vec<u8>> {
        websocket::upgrade(stream, "/", None)
    }

    fn say(&self, _: usize, _: &str, _: &mut Vec<u8>) {}

    fn first<'a>(&self, bytes: &'a [u8], _: &mut u16) -> Option<(Piece<'a>, usize)> {
        let (opcode, _, length) = websocket::first(bytes)?;
        Some((if opcode == TEXT { Piece::Counted } else { Piece::Other }, length))
    }
}
