//! What a client sends: frames parsed as RFC 6455 demands, whatever pieces they arrive in.
//!
//! Invariant: the parser never holds more than one message of at most `limit` bytes and one
//! control payload, and never reserves what has only been announced. A violation is answered
//! with the close that the RFC names for it, and nothing is parsed after it.

use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::Close;
use crate::frame::header_length;

/// The longest header of a client: two bytes, a 64-bit length, the mask.
const LONGEST_HEADER: usize = 14;
const LONGEST_CONTROL: u64 = 125;

/// A whole message of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Checked UTF-8.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
}

/// What a stretch of input amounts to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Message(Message),
    Ping(Vec<u8>),
    Pong,
    /// The peer closes, with this code if it gave one.
    Close(Option<u16>),
}

/// The frame whose payload is being read.
#[derive(Debug)]
struct Open {
    opcode: OpCode,
    is_final: bool,
    mask: [u8; 4],
    /// How much of the payload has been read; the mask turns with it.
    read: u64,
    left: u64,
}

/// Takes a client's bytes and gives events.
#[derive(Debug)]
pub(crate) struct Parser {
    limit: usize,
    header: [u8; LONGEST_HEADER],
    have: u8,
    open: Option<Open>,
    /// Whether the message under way is text; `None` between messages.
    text: Option<bool>,
    message: Vec<u8>,
    control: Vec<u8>,
}

impl Parser {
    /// A parser that takes messages of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            header: [0; LONGEST_HEADER],
            have: 0,
            open: None,
            text: None,
            message: Vec::new(),
            control: Vec::new(),
        }
    }

    /// Reads on in `input`, leaving in it what comes after the event returned; `None` when all
    /// of it is used up.
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Event>, Close> {
        loop {
            if self.open.is_none() && !self.read_header(input)? {
                return Ok(None);
            }
            if !self.read_payload(input) {
                return Ok(None);
            }
            if let Some(event) = self.finish_frame()? {
                return Ok(Some(event));
            }
        }
    }

    /// Gathers a header; true once a frame is open.
    fn read_header(&mut self, input: &mut &[u8]) -> Result<bool, Close> {
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            self.header[usize::from(self.have)] = byte;
            self.have += 1;
            if self.have < header_length(&self.header, self.have) {
                continue;
            }
            let mut cursor = Cursor::new(&self.header[..usize::from(self.have)]);
            match FrameHeader::parse(&mut cursor) {
                Ok(Some((header, length))) => {
                    self.have = 0;
                    self.open = Some(self.admit(&header, length)?);
                    return Ok(true);
                }
                Ok(None) | Err(_) => return Err(Close::PROTOCOL.because("unknown opcode")),
            }
        }
        Ok(false)
    }

    /// Judges a header before any of its payload is read.
    fn admit(&mut self, header: &FrameHeader, length: u64) -> Result<Open, Close> {
        let refuse = |reason: &'static str| Err(Close::PROTOCOL.because(reason));
        let Some(mask) = header.mask else {
            return refuse("frame without a mask");
        };
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return refuse("reserved bit without an extension");
        }
        let shortest = match self.header[1] & 0x7F {
            126 => 126,
            127 => 1 << 16,
            _ => 0,
        };
        if length < shortest || length > i64::MAX as u64 {
            return refuse("length not in its shortest form");
        }
        match header.opcode {
            OpCode::Control(_) if !header.is_final => return refuse("fragmented control frame"),
            OpCode::Control(_) if length > LONGEST_CONTROL => {
                return refuse("control frame too long");
            }
            OpCode::Control(_) => {}
            OpCode::Data(kind) => {
                match (kind, self.text) {
                    (Data::Continue, None) => return refuse("continuation of nothing"),
                    (Data::Continue, Some(_)) => {}
                    (_, Some(_)) => return refuse("new message inside a fragmented one"),
                    (kind, None) => self.text = Some(kind == Data::Text),
                }
                if length > (self.limit - self.message.len()) as u64 {
                    return Err(Close::TOO_BIG);
                }
            }
        }
        Ok(Open { opcode: header.opcode, is_final: header.is_final, mask, read: 0, left: length })
    }

    /// Unmasks what there is of the payload; true once it is whole.
    fn read_payload(&mut self, input: &mut &[u8]) -> bool {
        let Some(open) = &mut self.open else {
            return false;
        };
        let take = usize::try_from(open.left).unwrap_or(usize::MAX).min(input.len());
        let (payload, rest) = input.split_at(take);
        *input = rest;
        let into = match open.opcode {
            OpCode::Control(_) => &mut self.control,
            OpCode::Data(_) => &mut self.message,
        };
        let from = into.len();
        into.extend_from_slice(payload);
        let mut mask = open.mask;
        mask.rotate_left((open.read % 4) as usize);
        for four in into[from..].chunks_mut(4) {
            for (byte, key) in four.iter_mut().zip(mask) {
                *byte ^= key;
            }
        }
        open.read += take as u64;
        open.left -= take as u64;
        open.left == 0
    }

    /// What a whole frame amounts to; `None` for a fragment that is not the last.
    fn finish_frame(&mut self) -> Result<Option<Event>, Close> {
        let Some(open) = self.open.take() else {
            return Ok(None);
        };
        match open.opcode {
            OpCode::Control(kind) => {
                let payload = std::mem::take(&mut self.control);
                match kind {
                    Control::Ping => Ok(Some(Event::Ping(payload))),
                    Control::Close => closing(&payload).map(|code| Some(Event::Close(code))),
                    _ => Ok(Some(Event::Pong)),
                }
            }
            OpCode::Data(_) if !open.is_final => Ok(None),
            OpCode::Data(_) => {
                let payload = std::mem::take(&mut self.message);
                let message = if self.text.take() == Some(true) {
                    Message::Text(String::from_utf8(payload).map_err(|_| Close::NOT_UTF8)?)
                } else {
                    Message::Binary(payload)
                };
                Ok(Some(Event::Message(message)))
            }
        }
    }
}

/// The code in a close frame, checked as section 5.5.1 asks.
fn closing(payload: &[u8]) -> Result<Option<u16>, Close> {
    match payload {
        [] => Ok(None),
        [_] => Err(Close::PROTOCOL.because("close code cut short")),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !Close::is_allowed(code) {
                return Err(Close::PROTOCOL.because("close code not allowed"));
            }
            if std::str::from_utf8(reason).is_err() {
                return Err(Close::NOT_UTF8);
            }
            Ok(Some(code))
        }
    }
}

#[cfg(test)]
mod tests;
