//! A part of a blob, as HTTP asks for it: <https://www.rfc-editor.org/rfc/rfc9110#section-14.1.2>.

use std::ops::Range;

/// A part of a blob whose size is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// `bytes=7-`: from this byte to the end.
    From(u64),
    /// `bytes=7-9`: from the first byte to the last, both included.
    Between(u64, u64),
    /// `bytes=-7`: so many at the end.
    Last(u64),
}

impl ByteRange {
    /// What a `Range` header asks for. [`None`] if it is malformed or asks for several parts or in
    /// another unit: the header is ignored then, and the whole is the answer.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let (unit, range) = header.split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (first, last) = range.trim().split_once('-')?;
        match (first.is_empty(), last.is_empty()) {
            (false, true) => Some(Self::From(number(first)?)),
            (true, false) => Some(Self::Last(number(last)?)),
            (false, false) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::Between(first, last))
            }
            (true, true) => None,
        }
    }

    /// The bytes that it means in a blob of this size; [`None`] if it has none of them.
    #[must_use]
    pub fn within(self, size: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::From(first) => first..size,
            Self::Between(first, last) => first..last.saturating_add(1).min(size),
            Self::Last(count) => size.saturating_sub(count)..size,
        };
        (range.start < range.end).then_some(range)
    }
}

/// Digits alone; a number too large means as much as the largest.
fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_the_rfc_says() {
        assert_eq!(ByteRange::parse("bytes=0-499"), Some(ByteRange::Between(0, 499)));
        assert_eq!(ByteRange::parse("Bytes=9500-"), Some(ByteRange::From(9500)));
        assert_eq!(ByteRange::parse("bytes= -500"), Some(ByteRange::Last(500)));
        let endless = "bytes=0-99999999999999999999";
        assert_eq!(ByteRange::parse(endless), Some(ByteRange::Between(0, u64::MAX)));
        for ignored in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=2-1",
            "items=0-1",
            "bytes=0-1,3-4",
            "bytes=+1-2",
        ] {
            assert_eq!(ByteRange::parse(ignored), None, "{ignored}");
        }
    }

    #[test]
    fn a_range_is_cut_to_what_is_there() {
        assert_eq!(ByteRange::Between(0, 499).within(100), Some(0..100));
        assert_eq!(ByteRange::Between(99, u64::MAX).within(100), Some(99..100));
        assert_eq!(ByteRange::Last(500).within(100), Some(0..100));
        assert_eq!(ByteRange::Last(1).within(100), Some(99..100));
        for nothing in [ByteRange::From(100), ByteRange::Between(100, 200), ByteRange::Last(0)] {
            assert_eq!(nothing.within(100), None);
        }
        assert_eq!(ByteRange::Last(5).within(0), None);
    }
}
