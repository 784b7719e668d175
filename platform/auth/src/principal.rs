//! Who a request speaks for, and how that travels between services.
//!
//! Invariant: [`Principal::from_header`] reads exactly what [`Principal::to_header`] writes. The
//! header is trusted: the gateway removes it from what comes from outside, and the mesh takes it
//! only from callers that know the mesh's secret.

use http::HeaderValue;
use ids::UserId;
use serde::{Deserialize, Serialize};

/// The longest session name, in bytes.
pub(crate) const LONGEST_SESSION: usize = 64;

/// A signed-in user.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Principal {
    /// The account.
    pub user: UserId,
    /// The session the account signed in with: 1 to 64 of `A-Z a-z 0-9 - _`.
    pub session: String,
    /// Whether the account may do what staff may.
    pub staff: bool,
}

impl Principal {
    /// The compact form for the wire, `7;s=SESSION` or `7;s=SESSION;staff`. Characters that no
    /// session has are left out.
    #[must_use]
    pub fn to_header(&self) -> HeaderValue {
        let mut text = format!("{};s=", self.user);
        text.extend(self.session.chars().filter(|c| is_session_char(*c)).take(LONGEST_SESSION));
        if self.staff {
            text.push_str(";staff");
        }
        // Digits, punctuation and session characters are all legal in a header.
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    /// Reads [`Principal::to_header`]'s form; `None` for anything else.
    #[must_use]
    pub fn from_header(value: &HeaderValue) -> Option<Self> {
        let text = value.to_str().ok()?;
        let (user, rest) = text.split_once(";s=")?;
        let (session, staff) = match rest.strip_suffix(";staff") {
            Some(session) => (session, true),
            None => (rest, false),
        };
        is_session(session).then_some(())?;
        Some(Self { user: user.parse().ok()?, session: session.to_owned(), staff })
    }

    /// Whoever the current request speaks for, from [`telemetry::Context`].
    #[must_use]
    pub fn current() -> Option<Self> {
        telemetry::Context::with_current(|context| {
            context.caller.as_ref().and_then(Self::from_header)
        })?
    }
}

/// Whether `text` can name a session.
pub(crate) fn is_session(text: &str) -> bool {
    (1..=LONGEST_SESSION).contains(&text.len()) && text.chars().all(is_session_char)
}

fn is_session_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_header_is_compact() {
        let mut who = Principal { user: UserId::new(7), session: "a-1".to_owned(), staff: false };
        assert_eq!(who.to_header(), "7;s=a-1");
        who.staff = true;
        assert_eq!(who.to_header(), "7;s=a-1;staff");
    }

    #[test]
    fn what_is_not_exact_is_nobody() {
        for bad in [
            "",
            "7",
            "7;s=",
            "0;s=a",
            "-7;s=a",
            "7;s=a;admin",
            "7;s=a;staff;staff",
            " 7;s=a",
            "7;s=a b",
        ] {
            assert_eq!(Principal::from_header(&HeaderValue::from_str(bad).unwrap()), None, "{bad}");
        }
        let long = format!("7;s={}", "a".repeat(LONGEST_SESSION + 1));
        assert_eq!(Principal::from_header(&HeaderValue::from_str(&long).unwrap()), None);
        assert_eq!(Principal::from_header(&HeaderValue::from_bytes(b"7;s=\xff").unwrap()), None);
    }

    proptest! {
        #[test]
        fn every_principal_survives_the_wire(user in 1..=i64::MAX, session in "[A-Za-z0-9_-]{1,64}", staff: bool) {
            let who = Principal { user: UserId::new(user), session, staff };
            prop_assert_eq!(Principal::from_header(&who.to_header()), Some(who));
        }

        #[test]
        fn no_bytes_panic_or_smuggle(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes)
                && let Some(who) = Principal::from_header(&value)
            {
                prop_assert!(is_session(&who.session));
            }
        }

        #[test]
        fn a_strange_session_cannot_forge_staff(session in ".{0,80}") {
            let who = Principal { user: UserId::new(7), session, staff: false };
            if let Some(read) = Principal::from_header(&who.to_header()) {
                prop_assert!(!read.staff && read.user == UserId::new(7));
            }
        }
    }
}
