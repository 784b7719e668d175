//! Refresh tokens: opaque, 256 random bits, known to their client alone.
//!
//! Invariant: the token's text is seen by its client; storage and logs see its SHA-256 or nothing.

use aws_lc_rs::{digest, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::AuthError;

const BYTES: usize = 32;
/// 32 bytes as unpadded base64.
const TEXT: usize = 43;

/// A refresh token. Its `Debug` form is masked.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken(String);

impl RefreshToken {
    /// A new one.
    ///
    /// # Errors
    /// [`AuthError::Key`] when the system has no randomness to give.
    pub fn generate() -> Result<Self, AuthError> {
        let mut bytes = [0; BYTES];
        rand::fill(&mut bytes).map_err(|_| AuthError::Key)?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Reads a client's text; `None` if it cannot be a refresh token.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits =
            text.len() == TEXT && URL_SAFE_NO_PAD.decode(text).is_ok_and(|b| b.len() == BYTES);
        fits.then(|| Self(text.to_owned()))
    }

    /// The text, for the client alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is stored: SHA-256 of the text. The token has 256 random bits, so that a slow hash
    /// would protect nothing more, and a look-up by the hash tells no one anything by its timing.
    #[must_use]
    pub fn hash(&self) -> Vec<u8> {
        digest::digest(&digest::SHA256, self.0.as_bytes()).as_ref().to_vec()
    }
}

impl std::fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RefreshToken(…)")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_is_its_own_and_survives_the_wire() {
        let (one, two) = (RefreshToken::generate().unwrap(), RefreshToken::generate().unwrap());
        assert_ne!(one, two);
        assert_ne!(one.hash(), two.hash());
        assert_eq!(RefreshToken::parse(one.expose()).unwrap().hash(), one.hash());
    }

    #[test]
    fn other_texts_are_none() {
        for bad in ["", "a", &"=".repeat(TEXT), &"A".repeat(TEXT + 1), &"/".repeat(TEXT)] {
            assert!(RefreshToken::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn its_debug_form_is_masked() {
        let token = RefreshToken::generate().unwrap();
        assert!(!format!("{token:?}").contains(&token.expose()[..8]));
    }
}
