//! The name of a blob.

use std::fmt;
use std::str::FromStr;

/// The longest key, in bytes.
const LONGEST: usize = 512;
/// The longest part between slashes; a file's name has at most 255 bytes on most systems.
const LONGEST_PART: usize = 200;

/// The name of a blob: parts of ASCII letters, digits, `-`, `_` and `.`, joined by `/`. No part is
/// empty or begins with a dot, so that no key leads out of its folder.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

/// This is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a key of a blob: {0}")]
pub struct InvalidKey(&'static str);

impl Key {
    /// A key, if it is one.
    ///
    /// # Errors
    /// [`InvalidKey`] with the reason.
    pub fn new(key: impl Into<String>) -> Result<Self, InvalidKey> {
        let key = key.into();
        if key.len() > LONGEST {
            return Err(InvalidKey("longer than 512 bytes"));
        }
        for part in key.split('/') {
            if part.is_empty() {
                return Err(InvalidKey("an empty part"));
            }
            if part.len() > LONGEST_PART {
                return Err(InvalidKey("a part longer than 200 bytes"));
            }
            if part.starts_with('.') {
                return Err(InvalidKey("a part that begins with a dot"));
            }
            if !part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
                return Err(InvalidKey("other characters than letters, digits, `-`, `_` and `.`"));
            }
        }
        Ok(Self(key))
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its parts; at least one.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Key {
    type Err = InvalidKey;

    fn from_str(key: &str) -> Result<Self, InvalidKey> {
        Self::new(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_leads_elsewhere() {
        for good in ["a", "images/01J/raw.png", "a-b_c.d/E", &"x".repeat(200)] {
            assert_eq!(Key::new(good).map(|key| key.to_string()), Ok(good.to_owned()));
        }
        let long = format!("{}/x", "x/".repeat(300));
        let wide = "x".repeat(201);
        for bad in [
            "", "/a", "a/", "a//b", "..", "a/../b", ".a", "a/.b", "a b", "a\\b", "a\0", "ä", "a+",
            "a#1", "a%2f", "a:b", &long, &wide,
        ] {
            assert!(Key::new(bad).is_err(), "{bad:?}");
        }
    }
}
