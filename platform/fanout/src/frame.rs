//! What the server sends: frames, encoded once, shared by all who get them.
//!
//! Invariant: a [`Frame`] is exactly one whole, final, unmasked WebSocket frame, so frames may be
//! joined end to end and written as one.

use bytes::Bytes;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::Close;

/// One encoded message. Clones share its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame(Bytes);

impl Frame {
    /// A text message.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::encode(OpCode::Data(Data::Text), None, text.as_bytes())
    }

    /// A binary message.
    #[must_use]
    pub fn binary(bytes: &[u8]) -> Self {
        Self::encode(OpCode::Data(Data::Binary), None, bytes)
    }

    pub(crate) fn ping() -> Self {
        Self::encode(OpCode::Control(Control::Ping), None, &[])
    }

    pub(crate) fn pong(payload: &[u8]) -> Self {
        Self::encode(OpCode::Control(Control::Pong), None, payload)
    }

    pub(crate) fn close(close: &Close) -> Self {
        Self::encode(OpCode::Control(Control::Close), None, &close.payload())
    }

    /// A close without a code, the answer to one.
    pub(crate) fn bare_close() -> Self {
        Self::encode(OpCode::Control(Control::Close), None, &[])
    }

    /// A close as a client sends it.
    pub(crate) fn masked_close(close: &Close, mask: [u8; 4]) -> Self {
        let mut payload = close.payload();
        for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= key;
        }
        Self::encode(OpCode::Control(Control::Close), Some(mask), &payload)
    }

    fn encode(opcode: OpCode, mask: Option<[u8; 4]>, payload: &[u8]) -> Self {
        let header = FrameHeader { opcode, mask, ..FrameHeader::default() };
        let length = payload.len() as u64;
        let mut frame = Vec::with_capacity(header.len(length) + payload.len());
        header.format(length, &mut frame).expect("a Vec takes every write");
        frame.extend_from_slice(payload);
        Self(frame.into())
    }

    /// The encoded bytes, header and payload.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }
}

impl From<&str> for Frame {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Frame {
    fn from(text: String) -> Self {
        Self::text(&text)
    }
}

impl From<&String> for Frame {
    fn from(text: &String) -> Self {
        Self::text(text)
    }
}

/// Follows a stream of frames by their headers alone and knows where one ends.
///
/// Used where bytes pass unread (the relay) and where a half-written frame has to be finished
/// before anything else may follow it.
#[derive(Debug, Default)]
pub(crate) struct Boundary {
    header: [u8; 14],
    have: u8,
    payload: u64,
    closed: bool,
}

impl Boundary {
    /// Whether the bytes seen so far end where a frame ends.
    pub(crate) fn is_between_frames(&self) -> bool {
        self.have == 0 && self.payload == 0
    }

    /// Whether a close frame has passed.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// How many more bytes certainly belong to the frame that is under way (or to the next
    /// header, when none is): at least 1.
    pub(crate) fn wanted(&self) -> u64 {
        if self.payload > 0 {
            self.payload
        } else {
            u64::from(self.header_length() - self.have).max(1)
        }
    }

    /// Takes note of bytes that pass.
    pub(crate) fn advance(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.payload > 0 {
                let take = self.payload.min(bytes.len() as u64);
                self.payload -= take;
                // At most `bytes.len()`, so it fits.
                bytes = &bytes[take as usize..];
                continue;
            }
            let wanted = self.header_length() - self.have;
            let take = bytes.len().min(usize::from(wanted));
            let have = usize::from(self.have);
            self.header[have..have + take].copy_from_slice(&bytes[..take]);
            self.have += take as u8;
            bytes = &bytes[take..];
            if self.have == self.header_length() {
                self.payload = self.payload_length();
                self.have = 0;
                self.closed |= self.header[0] & 0x0F == 0x08;
            }
        }
    }

    fn header_length(&self) -> u8 {
        header_length(&self.header, self.have)
    }

    fn payload_length(&self) -> u64 {
        match self.header[1] & 0x7F {
            126 => u64::from(u16::from_be_bytes([self.header[2], self.header[3]])),
            127 => self.header[2..10].iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
            short => u64::from(short),
        }
    }
}

/// A header's length as far as its first `have` bytes tell: 2 until the second one is there.
pub(crate) fn header_length(header: &[u8; 14], have: u8) -> u8 {
    if have < 2 {
        return 2;
    }
    let extended = match header[1] & 0x7F {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + extended + if header[1] & 0x80 != 0 { 4 } else { 0 }
}

/// The end of the frame that byte `written` of `frames` lies in; `written` itself where a frame
/// begins. `frames` are whole frames.
pub(crate) fn end_of_frame(frames: &[u8], written: usize) -> usize {
    let mut boundary = Boundary::default();
    boundary.advance(&frames[..written]);
    let mut end = written;
    while !boundary.is_between_frames() && end < frames.len() {
        let step = usize::try_from(boundary.wanted()).unwrap_or(usize::MAX);
        let next = end.saturating_add(step).min(frames.len());
        boundary.advance(&frames[end..next]);
        end = next;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_take_the_shortest_form() {
        assert_eq!(Frame::text("hi").bytes().as_ref(), b"\x81\x02hi");
        assert_eq!(&Frame::binary(&[0; 126]).bytes()[..4], &[0x82, 126, 0, 126]);
        let long = Frame::binary(&vec![0; 65536]);
        assert_eq!(&long.bytes()[..10], &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_close_from_a_client_unmasks_to_its_payload() {
        let close = Frame::masked_close(&Close::RESTART, [1, 2, 3, 4]);
        let bytes = close.bytes();
        assert_eq!(bytes[0], 0x88);
        assert_eq!(bytes[1] & 0x80, 0x80);
        let payload: Vec<u8> = bytes[6..]
            .iter()
            .zip([1u8, 2, 3, 4].iter().cycle())
            .map(|(byte, key)| byte ^ key)
            .collect();
        assert_eq!(payload, Close::RESTART.payload());
    }

    proptest! {
        #[test]
        fn boundaries_are_found_wherever_the_stream_is_cut(
            sizes in prop::collection::vec(prop_oneof![0usize..200, 60_000usize..70_000], 1..6),
            masked in any::<bool>(),
            step in 1usize..5000,
        ) {
            let mask = masked.then_some([9, 8, 7, 6]);
            let mut stream = Vec::new();
            let mut ends = vec![0];
            for size in sizes {
                let frame = Frame::encode(OpCode::Data(Data::Binary), mask, &vec![0xAA; size]);
                stream.extend_from_slice(frame.bytes());
                ends.push(stream.len());
            }
            let mut boundary = Boundary::default();
            for (index, part) in stream.chunks(step).enumerate() {
                boundary.advance(part);
                let at = index * step + part.len();
                prop_assert_eq!(boundary.is_between_frames(), ends.contains(&at));
                let next = *ends.iter().find(|end| **end >= at).unwrap_or(&at);
                prop_assert_eq!(end_of_frame(&stream, at), next);
            }
        }
    }
}
