//! Passwords as clients send them.
//!
//! Invariant: a password's text is in no `Debug` form, no error and no log; it leaves this type
//! towards the hash alone.

use serde::{Deserialize, Deserializer, de::Error};
use unicode_normalization::UnicodeNormalization;

use super::Reason;

const LONGEST: usize = 256;

/// A password someone typed, of any length and content. Never serialised.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Takes what someone typed, composed (NFC), so that every keyboard types the same password.
    #[must_use]
    pub fn new(text: &str) -> Self {
        // What is too long is refused everywhere, so that its end need not be kept.
        Self(text.chars().take(LONGEST + 1).nfc().take(LONGEST + 1).collect())
    }

    /// Whether it may become an account's password: `shortest` to 256 characters, none of them a
    /// control character.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, shortest: usize) -> Result<(), Reason> {
        let length = self.0.chars().count();
        if length > LONGEST {
            Err("a password has at most 256 characters")
        } else if length < shortest.max(1) {
            Err("the password is too short")
        } else if self.0.chars().any(char::is_control) {
            Err("a password has no control characters")
        } else {
            Ok(())
        }
    }

    /// The bytes to be hashed.
    pub(crate) fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // Through a value: serde's own message would repeat what is not a string.
        match serde_json::Value::deserialize(from)? {
            serde_json::Value::String(text) => Ok(Self::new(&text)),
            _ => Err(D::Error::custom("a password is a string")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_contracts_example_is_a_password() {
        assert_eq!(Password::new("Mario").check(5), Ok(()));
        assert!(Password::new("Mari").check(5).is_err());
        assert!(Password::new("").check(0).is_err());
        assert_eq!(Password::new(&"ß".repeat(256)).check(5), Ok(()));
        assert!(Password::new(&"ß".repeat(257)).check(5).is_err());
        assert!(Password::new("Mario\u{7}").check(5).is_err());
    }

    #[test]
    fn composed_and_decomposed_are_one_password() {
        assert_eq!(Password::new("cafe\u{301}s"), Password::new("cafés"));
        assert_ne!(Password::new("cafes"), Password::new("cafés"));
    }

    #[test]
    fn nothing_shows_it() {
        let password: Password = serde_json::from_str("\"swordfish\"").unwrap();
        assert!(!format!("{password:?}").contains("swordfish"));
        for wrong in ["12345", "[\"swordfish\"]", "{\"swordfish\":1}", "true"] {
            let error = serde_json::from_str::<Password>(wrong).unwrap_err().to_string();
            assert!(!error.contains("12345") && !error.contains("swordfish"), "{error}");
        }
    }
}
