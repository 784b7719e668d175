//! Why a socket is closed: the code and reason of RFC 6455, section 7.4.

use std::borrow::Cow;

/// The longest reason: a control frame carries at most 125 bytes, two of them the code.
const LONGEST_REASON: usize = 123;

/// A close code and the reason that goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// RFC 6455 section 7.4.1, or 4000 to 4999 for an application's own.
    pub code: u16,
    /// Text for whoever reads the log of the other side; cut at 123 bytes.
    pub reason: Cow<'static, str>,
}

impl Close {
    /// 1000: all is said.
    pub const DONE: Self = Self::new(1000, "");
    /// 1001: this end goes away.
    pub const GOING_AWAY: Self = Self::new(1001, "going away");
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL: Self = Self::new(1002, "protocol error");
    /// 1007: a text that is not UTF-8.
    pub const NOT_UTF8: Self = Self::new(1007, "text is not UTF-8");
    /// 1008: the peer did what it may not.
    pub const POLICY: Self = Self::new(1008, "not allowed");
    /// 1009: a message larger than this end takes.
    pub const TOO_BIG: Self = Self::new(1009, "message too big");
    /// 1011: this end failed.
    pub const FAILED: Self = Self::new(1011, "internal error");
    /// 1012: the service restarts; connect again after a short random pause.
    pub const RESTART: Self = Self::new(1012, "service restart: connect again");
    /// 1013: the reader does not keep up; it has to connect again and resume.
    pub const TOO_SLOW: Self = Self::new(1013, "too far behind: connect again and resume");

    /// A close with a fixed reason.
    #[must_use]
    pub const fn new(code: u16, reason: &'static str) -> Self {
        Self { code, reason: Cow::Borrowed(reason) }
    }

    /// 4401: the session behind the socket has ended.
    #[must_use]
    pub const fn signed_out() -> Self {
        Self::new(4401, "signed out")
    }

    /// The same code with a reason of one's own.
    #[must_use]
    pub fn because(mut self, reason: impl Into<Cow<'static, str>>) -> Self {
        self.reason = reason.into();
        self
    }

    /// What a close frame carries: the code, then as much of the reason as fits.
    pub(crate) fn payload(&self) -> Vec<u8> {
        let mut cut = self.reason.len().min(LONGEST_REASON);
        while !self.reason.is_char_boundary(cut) {
            cut -= 1;
        }
        let mut payload = self.code.to_be_bytes().to_vec();
        payload.extend_from_slice(&self.reason.as_bytes()[..cut]);
        payload
    }

    /// Whether a peer may send this code (RFC 6455 section 7.4, with IANA's later entries).
    pub(crate) fn is_allowed(code: u16) -> bool {
        matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let payload = Close::POLICY.because("é".repeat(100)).payload();
        assert_eq!(payload.len(), 2 + 122);
        assert!(std::str::from_utf8(&payload[2..]).is_ok());
    }

    #[test]
    fn codes_that_must_not_travel_are_known() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000] {
            assert!(!Close::is_allowed(code), "{code}");
        }
        for code in [1000, 1003, 1007, 1011, 1014, 3000, 4401, 4999] {
            assert!(Close::is_allowed(code), "{code}");
        }
    }
}
