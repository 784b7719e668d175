//! Where the body of a response ends, and the pieces of it. Source: RFC 9112, sections 6 and 7.

use bytes::{Buf, Bytes, BytesMut};

use crate::transport::h1::response::{Framing, Malformed};

/// The longest line of a chunk's size with its extensions, and the longest trailer section.
const LINES: usize = 16 * 1024;

/// A body as it is read.
#[derive(Debug)]
pub(super) enum Decoder {
    /// So much is left.
    Length(u64),
    Chunked(Chunked),
    UntilClose,
}

/// Where in a chunked body the reader is.
#[derive(Debug)]
pub(super) enum Chunked {
    Size,
    Data(u64),
    /// The line end behind a chunk.
    LineEnd,
    /// Trailers, of which so many bytes came already. They are dropped.
    Trailers(usize),
    End,
}

/// What the bytes at hand give.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Data(Bytes),
    /// More must be read.
    More,
    End,
}

impl Decoder {
    pub(super) fn new(framing: Framing) -> Self {
        match framing {
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunked::Size),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// Takes the next piece off the front of `read`.
    pub(super) fn next(&mut self, read: &mut BytesMut) -> Result<Piece, Malformed> {
        match self {
            Self::Length(0) => Ok(Piece::End),
            Self::Length(left) => Ok(take(read, left)),
            Self::Chunked(chunked) => chunked.next(read),
            Self::UntilClose if read.is_empty() => Ok(Piece::More),
            Self::UntilClose => Ok(Piece::Data(read.split().freeze())),
        }
    }

    /// Whether nothing more comes.
    pub(super) fn is_at_end(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunked::End))
    }

    /// Whether the connection may end now.
    pub(super) fn may_end_by_close(&self) -> bool {
        self.is_at_end() || matches!(self, Self::UntilClose)
    }

    /// How much is left, if that is known.
    pub(super) fn left(&self) -> Option<u64> {
        match self {
            Self::Length(left) => Some(*left),
            Self::Chunked(_) | Self::UntilClose => None,
        }
    }
}

impl Chunked {
    fn next(&mut self, read: &mut BytesMut) -> Result<Piece, Malformed> {
        loop {
            match self {
                Self::Data(left) if *left > 0 => return Ok(take(read, left)),
                Self::Data(_) => *self = Self::LineEnd,
                Self::End => return Ok(Piece::End),
                Self::LineEnd => {
                    let Some(line) = line(read)? else { return Ok(Piece::More) };
                    if !line.is_empty() {
                        return Err(Malformed("end of chunk"));
                    }
                    *self = Self::Size;
                }
                Self::Size => {
                    let Some(line) = line(read)? else { return Ok(Piece::More) };
                    *self = match size(&line)? {
                        0 => Self::Trailers(0),
                        size => Self::Data(size),
                    };
                }
                Self::Trailers(length) => {
                    let Some(line) = line(read)? else { return Ok(Piece::More) };
                    *length += line.len();
                    if *length > LINES {
                        return Err(Malformed("trailers too long"));
                    }
                    if line.is_empty() {
                        *self = Self::End;
                    }
                }
            }
        }
    }
}

fn take(read: &mut BytesMut, left: &mut u64) -> Piece {
    if read.is_empty() {
        return Piece::More;
    }
    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(read.len());
    *left -= length as u64;
    Piece::Data(read.split_to(length).freeze())
}

/// Takes a line that ends in CR LF; a lone LF is refused, for others may not take it for an end.
fn line(read: &mut BytesMut) -> Result<Option<BytesMut>, Malformed> {
    match read.iter().position(|b| *b == b'\n') {
        Some(end) if end > 0 && read[end - 1] == b'\r' && end <= LINES => {
            let mut line = read.split_to(end + 1);
            line.truncate(end - 1);
            Ok(Some(line))
        }
        Some(_) => Err(Malformed("line end")),
        None if read.len() > LINES => Err(Malformed("line too long")),
        None => Ok(None),
    }
}

/// The size of a chunk; its extensions are ignored.
fn size(mut line: &[u8]) -> Result<u64, Malformed> {
    let (mut size, mut any) = (0_u64, false);
    while line.has_remaining() {
        let byte = line.get_u8();
        match (byte as char).to_digit(16) {
            Some(digit) => {
                let next = size.checked_mul(16).and_then(|s| s.checked_add(u64::from(digit)));
                size = next.ok_or(Malformed("chunk too large"))?;
                any = true;
            }
            None if any && matches!(byte, b';' | b' ' | b'\t') => break,
            None => return Err(Malformed("size of chunk")),
        }
    }
    if any { Ok(size) } else { Err(Malformed("size of chunk")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(pieces: &[&[u8]], framing: Framing) -> Result<(Vec<u8>, bool), Malformed> {
        let mut decoder = Decoder::new(framing);
        let (mut read, mut body) = (BytesMut::new(), Vec::new());
        for piece in pieces {
            read.extend_from_slice(piece);
            loop {
                match decoder.next(&mut read)? {
                    Piece::Data(data) => body.extend_from_slice(&data),
                    Piece::More => break,
                    Piece::End => return Ok((body, true)),
                }
            }
        }
        Ok((body, false))
    }

    #[test]
    fn chunks_are_joined_and_trailers_dropped() {
        let bytes = b"3;ext=1\r\nabc\r\nA\r\n0123456789\r\n0\r\nx-checksum: 1\r\n\r\n";
        let body = decode(&[bytes], Framing::Chunked).unwrap();
        assert_eq!(body, (b"abc0123456789".to_vec(), true));
    }

    #[test]
    fn what_others_may_read_otherwise_is_refused() {
        for bytes in [
            &b"3\nabc\n0\n\n"[..],
            b"3\r\nabcd\r\n",
            b"\r\n",
            b"x\r\n",
            b"-1\r\n",
            b"0x3\r\nabc\r\n",
            b"10000000000000000\r\n",
            b";\r\n",
        ] {
            assert!(decode(&[bytes], Framing::Chunked).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn lines_without_end_are_given_up() {
        let size = [b"1;".to_vec(), vec![b'x'; LINES + 1]].concat();
        assert!(decode(&[&size], Framing::Chunked).is_err());
        let trailers = [b"0\r\n".to_vec(), b"x: y\r\n".repeat(LINES)].concat();
        assert!(decode(&[&trailers], Framing::Chunked).is_err());
    }

    proptest! {
        #[test]
        fn chunked_bodies_survive_any_cut(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..10),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\n");
            let (a, b) = wire.split_at(cut.index(wire.len()));
            prop_assert_eq!(decode(&[a, b], Framing::Chunked).unwrap(), (chunks.concat(), true));
            // A body that stops early has not ended.
            prop_assert!(!decode(&[a], Framing::Chunked).unwrap().1);
        }

        #[test]
        fn no_bytes_upset_it(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&[&bytes], Framing::Chunked);
        }

        #[test]
        fn a_length_takes_what_is_its_own(body in prop::collection::vec(any::<u8>(), 0..100), more in 0_usize..10) {
            let wire = [body.clone(), vec![b'x'; more]].concat();
            let mut decoder = Decoder::new(Framing::Length(body.len() as u64));
            let mut read = BytesMut::from(&wire[..]);
            let mut got = Vec::new();
            while let Piece::Data(data) = decoder.next(&mut read).unwrap() {
                got.extend_from_slice(&data);
            }
            prop_assert_eq!(got, body);
            prop_assert_eq!(read.len(), more);
        }
    }
}
