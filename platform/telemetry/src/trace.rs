//! W3C trace context, level 1: `traceparent`, version 00.
//! Source: <https://www.w3.org/TR/trace-context/>.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;

/// 2^64 divided by the golden ratio: SplitMix64's increment.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// SplitMix64's finaliser, a bijection.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Writes two digits for each byte.
fn write_hex(bytes: &[u8], to: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, pair) in bytes.iter().zip(to.chunks_exact_mut(2)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

/// Which trace a piece of work belongs to, and which span is its parent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    trace: u128,
    span: u64,
    sampled: bool,
}

impl Trace {
    /// A trace that begins here.
    #[must_use]
    pub fn begin() -> Self {
        // Random for the process, counted within it and spread by SplitMix64: asking the system
        // for randomness on every request would cost more than the rest of the trace.
        static PROCESS: LazyLock<(u64, u64)> = LazyLock::new(|| uuid::Uuid::new_v4().as_u64_pair());
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let (high, low) = *PROCESS;
        let low = mix(low.wrapping_add(count.wrapping_mul(GOLDEN)));
        Self {
            trace: u128::from(high) << 64 | u128::from(low) | 1,
            span: mix(low) | 1,
            sampled: false,
        }
    }

    /// The same trace, one span further in.
    #[must_use]
    pub fn child(self) -> Self {
        // A bijection of the parent's id mixed with the trace: distinct for each depth.
        let z = self.span ^ (self.trace as u64).rotate_left(17) ^ GOLDEN;
        Self { span: mix(z) | 1, ..self }
    }

    /// The value of the `traceparent` header, as [`fmt::Display`] writes it.
    #[must_use]
    pub fn to_header(self) -> HeaderValue {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write_hex(&self.trace.to_be_bytes(), &mut text[3..35]);
        write_hex(&self.span.to_be_bytes(), &mut text[36..52]);
        text[54] = b'0' + u8::from(self.sampled);
        // Hexadecimal digits and dashes are legal in a header.
        HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    /// The trace's id, as logs show it.
    #[must_use]
    pub fn id(self) -> impl fmt::Display {
        struct Hex(u128);
        impl fmt::Display for Hex {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }
        Hex(self.trace)
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A `traceparent` that the specification calls invalid; a new trace is begun instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent")]
pub struct NotATrace;

impl FromStr for Trace {
    type Err = NotATrace;

    fn from_str(text: &str) -> Result<Self, NotATrace> {
        let mut parts = text.split('-');
        let mut part = |length: usize| {
            let part = parts.next().filter(|p| p.len() == length).ok_or(NotATrace)?;
            let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            if part.bytes().all(lower_hex) { Ok(part) } else { Err(NotATrace) }
        };
        let version = part(2)?;
        let trace = u128::from_str_radix(part(32)?, 16).map_err(|_| NotATrace)?;
        let span = u64::from_str_radix(part(16)?, 16).map_err(|_| NotATrace)?;
        let flags = u8::from_str_radix(part(2)?, 16).map_err(|_| NotATrace)?;
        // Later versions may append fields; version 00 has exactly four, and ff is forbidden.
        let trailing = parts.next().is_some();
        if trace == 0 || span == 0 || version == "ff" || (version == "00" && trailing) {
            return Err(NotATrace);
        }
        Ok(Self { trace, span, sampled: flags & 1 == 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_specifications_example_survives() {
        let trace: Trace = EXAMPLE.parse().expect("valid");
        assert_eq!(trace.to_string(), EXAMPLE);
        assert_eq!(trace.to_header(), EXAMPLE);
        let begun = Trace::begin();
        assert_eq!(begun.to_header(), begun.to_string());
        let child = trace.child();
        assert_eq!(child.id().to_string(), trace.id().to_string());
        assert_ne!(child.to_string(), EXAMPLE);
        assert_ne!(child.child(), child);
    }

    #[test]
    fn what_the_specification_forbids_is_refused() {
        for bad in [
            "",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert_eq!(bad.parse::<Trace>(), Err(NotATrace), "{bad}");
        }
        assert_ne!(Trace::begin().id().to_string(), Trace::begin().id().to_string());
    }
}
