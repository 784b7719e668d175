//! What waits for one reader whose connection takes no more.
//!
//! Invariant: the first chunk begins where a frame begins, so the frame that is half written can
//! always be finished before anything else is said.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;

use crate::frame::end_of_frame;

/// Chunks handed to one system call.
pub(crate) const SLICES: usize = 16;

/// Whole frames, shared with whoever else they wait for.
#[derive(Debug)]
struct Chunk {
    bytes: Bytes,
    frames: usize,
}

/// The queue of one socket; allocates nothing while it is empty.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    chunks: VecDeque<Chunk>,
    /// Bytes of the first chunk that the connection has taken.
    written: usize,
    bytes: usize,
    frames: usize,
    /// Bytes given on purpose (first frames), which are not held against the reader.
    granted: usize,
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Adds whole frames, `written` bytes of which the connection took already; that is only
    /// possible while nothing waits.
    pub(crate) fn push(&mut self, bytes: Bytes, frames: usize, written: usize) {
        debug_assert!(written == 0 || self.is_empty());
        self.bytes += bytes.len() - written;
        self.frames += frames;
        self.written += written;
        self.chunks.push_back(Chunk { bytes, frames });
    }

    /// Does not count what waits now against the reader.
    pub(crate) fn grant(&mut self) {
        self.granted = self.bytes;
        self.frames = 0;
        for chunk in &mut self.chunks {
            chunk.frames = 0;
        }
    }

    /// Whether more waits than a reader may be behind.
    pub(crate) fn is_over(&self, bytes: usize, frames: usize) -> bool {
        self.bytes > bytes.saturating_add(self.granted) || self.frames > frames
    }

    /// The bytes to write next, as many slices as fit.
    pub(crate) fn slices<'a>(&'a self, into: &mut [IoSlice<'a>; SLICES]) -> usize {
        let mut count = 0;
        for (slice, chunk) in into.iter_mut().zip(&self.chunks) {
            let from = if count == 0 { self.written } else { 0 };
            *slice = IoSlice::new(&chunk.bytes[from..]);
            count += 1;
        }
        count
    }

    /// Forgets `count` bytes that the connection took.
    pub(crate) fn advance(&mut self, count: usize) {
        self.bytes -= count;
        self.granted = self.granted.min(self.bytes);
        self.written += count;
        while let Some(first) = self.chunks.front() {
            if self.written < first.bytes.len() {
                return;
            }
            self.written -= first.bytes.len();
            self.frames -= first.frames;
            self.chunks.pop_front();
        }
        // Only a socket that fell behind pays for a queue, and only as long.
        *self = Self::default();
    }

    /// Drops all but the rest of the frame that is half written.
    pub(crate) fn cut(&mut self) {
        let Some(first) = self.chunks.pop_front() else {
            return;
        };
        let written = self.written;
        let end = end_of_frame(&first.bytes, written);
        *self = Self::default();
        if end > written {
            self.push(first.bytes.slice(..end), 1, written);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Frame;

    fn chunk(texts: &[&str]) -> Bytes {
        let frames: Vec<u8> =
            texts.iter().flat_map(|text| Frame::text(text).bytes().to_vec()).collect();
        frames.into()
    }

    fn waiting(outbox: &Outbox) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = outbox.slices(&mut slices);
        slices[..count].iter().flat_map(|slice| slice.to_vec()).collect()
    }

    #[test]
    fn a_half_written_frame_survives_the_cut_and_nothing_else_does() {
        let mut outbox = Outbox::default();
        // Frames of 5 bytes each; 7 written is two bytes into the second.
        outbox.push(chunk(&["abc", "def", "ghi"]), 3, 7);
        outbox.push(chunk(&["jkl"]), 1, 0);
        outbox.cut();
        assert_eq!(waiting(&outbox), b"def");
        outbox.advance(3);
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_cut_between_frames_leaves_nothing() {
        let mut outbox = Outbox::default();
        outbox.push(chunk(&["abc", "def"]), 2, 5);
        outbox.cut();
        assert!(outbox.is_empty());
    }

    #[test]
    fn bytes_and_frames_are_counted_across_chunks() {
        let mut outbox = Outbox::default();
        outbox.push(chunk(&["abc"]), 1, 2);
        outbox.push(chunk(&["def", "ghi"]), 2, 0);
        assert!(outbox.is_over(12, 9) && !outbox.is_over(13, 9));
        assert!(outbox.is_over(99, 2) && !outbox.is_over(99, 3));
        outbox.advance(3 + 6);
        assert!(outbox.is_over(3, 9) && !outbox.is_over(4, 9));
        assert_eq!(waiting(&outbox), b"\x03ghi"[..].to_vec());
    }

    #[test]
    fn what_was_granted_is_not_held_against_the_reader() {
        let mut outbox = Outbox::default();
        outbox.push(chunk(&["history"]), 1, 0);
        outbox.grant();
        assert!(!outbox.is_over(0, 0));
        outbox.push(chunk(&["live"]), 1, 0);
        assert!(outbox.is_over(5, 1) && !outbox.is_over(6, 1));
    }
}
