//! Frames that go out together: joined once, written to each reader in one piece.

use bytes::Bytes;

use crate::Frame;

/// A published frame.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    /// Its place in the service's sequence, 0 for none.
    pub(crate) seq: u64,
    /// Its place among all that was published here.
    pub(crate) order: u64,
    pub(crate) frame: Frame,
}

/// Frames that go out together.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) frames: Vec<Published>,
    /// All of them, end to end.
    pub(crate) bytes: Bytes,
    /// The lowest sequence among them, `u64::MAX` where none has one.
    pub(crate) lowest: u64,
}

impl Batch {
    pub(crate) fn new(frames: Vec<Published>) -> Self {
        let sequences = frames.iter().map(|published| published.seq);
        let lowest = sequences.filter(|seq| *seq > 0).min().unwrap_or(u64::MAX);
        let bytes = join(frames.iter().map(|published| &published.frame));
        Self { frames, bytes, lowest }
    }
}

/// Frames end to end; a single one is not copied.
pub(crate) fn join<'a>(mut frames: impl Iterator<Item = &'a Frame> + Clone) -> Bytes {
    let length = frames.clone().map(|frame| frame.bytes().len()).sum();
    let Some(first) = frames.next() else {
        return Bytes::new();
    };
    if first.bytes().len() == length {
        return first.bytes().clone();
    }
    let mut joined = Vec::with_capacity(length);
    joined.extend_from_slice(first.bytes());
    for frame in frames {
        joined.extend_from_slice(frame.bytes());
    }
    joined.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_frame_is_shared_and_several_are_joined() {
        let frame = Frame::text("x");
        let published = |seq| Published { seq, order: 0, frame: frame.clone() };
        let one = Batch::new(vec![published(0)]);
        assert_eq!(one.bytes.as_ptr(), frame.bytes().as_ptr());
        assert_eq!(one.lowest, u64::MAX);
        let two = Batch::new(vec![published(0), published(7)]);
        assert_eq!(two.bytes.as_ref(), b"\x81\x01x\x81\x01x");
        assert_eq!(two.lowest, 7);
    }
}
