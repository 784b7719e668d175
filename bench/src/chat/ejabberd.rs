//! Rooms of XEP-0045 over plain TCP, signed in anonymously: what costs an XMPP server least.

use std::io::{self, Write};
use std::net::TcpStream;

use super::dialect::{Dialect, Piece};
use super::websocket::read_until;

/// Speaks to ejabberd as `bench/chat.py` configures it.
pub struct Ejabberd;

const STREAM: &str = "<stream:stream to='localhost' xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
const START: &[u8] = b"<message";
const END: &[u8] = b"</message>";
/// Answers need no more than this to be told from messages.
const CLOSED: &[u8] = b"</stream:stream>";

impl Dialect for Ejabberd {
    fn join(
        &self,
        stream: &mut TcpStream,
        room: usize,
        member: usize,
        _: Option<u64>,
    ) -> io::Result<Vec<u8>> {
        let mut read = Vec::new();
        write!(
            stream,
            "{STREAM}<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>"
        )?;
        read_until(stream, &mut read, b"<success")?;
        write!(
            stream,
            "{STREAM}<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>\
             <presence to='r{room}@conference.localhost/member{member}'>\
             <x xmlns='http://jabber.org/protocol/muc'/></presence>"
        )?;
        // The room's subject is the last of what a newcomer is told, and comes as a message.
        let end = read_until(stream, &mut read, END)?;
        Ok(read.split_off(end))
    }

    fn say(&self, room: usize, text: &str, out: &mut Vec<u8>) {
        let message = format!(
            "<message to='r{room}@conference.localhost' type='groupchat'><body>{text}</body></message>"
        );
        out.extend_from_slice(message.as_bytes());
    }

    fn first<'a>(&self, bytes: &'a [u8], hint: &mut u16) -> Option<(Piece<'a>, usize)> {
        // Messages to one member are of nearly always the same length.
        let likely = usize::from(*hint);
        if bytes.starts_with(START) && bytes.get(..likely).is_some_and(|b| b.ends_with(END)) {
            return Some((Piece::Said(&bytes[..likely]), likely));
        }
        if bytes.starts_with(CLOSED) {
            return Some((Piece::Closed, CLOSED.len()));
        }
        let length = bytes.windows(END.len()).position(|window| window == END)? + END.len();
        if bytes.starts_with(START) {
            *hint = u16::try_from(length).unwrap_or(0);
        }
        Some((Piece::Said(&bytes[..length]), length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stanzas_come_apart() {
        let one = b"<message from='r'><body>~a</body></message>";
        let shorter = b"<message><body>b</body></message>";
        let mut bytes = one.to_vec();
        bytes.extend(one);
        bytes.extend(b"<presence from='r/2'/>");
        bytes.extend(shorter);
        let mut hint = 0;
        let mut rest = &bytes[..];
        let mut lengths = Vec::new();
        while let Some((Piece::Said(_), length)) = Ejabberd.first(rest, &mut hint) {
            lengths.push(length);
            rest = &rest[length..];
        }
        assert!(rest.is_empty());
        assert_eq!(lengths, [one.len(), one.len(), 22 + shorter.len()]);
        assert_eq!(Ejabberd.first(&one[..one.len() - 1], &mut hint), None);
        assert_eq!(Ejabberd.first(b"</stream:stream>", &mut hint), Some((Piece::Closed, 16)));
    }
}
