//! User names, and when two of them are the same.
//!
//! Invariant: no two accounts have names that a reader could take for each other. Names are the
//! same if they look the same (UTS 39 skeletons) in any mixture of upper and lower case; what
//! cannot be seen, or not be typed, is in no name.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_security::{GeneralSecurityProfile, skeleton};

use super::Reason;

const SHORTEST: usize = 3;
const LONGEST: usize = 32;
/// UTS 39, 5.4: more marks on one letter cannot be told apart.
const MOST_MARKS: usize = 3;
/// A text of more characters is looked for nowhere.
const LONGEST_LOOKED_FOR: usize = 128;

/// The name of an account, in its compatibility form (NFKC).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

/// What two names have in common when they are the same. At most one account has a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameKey(String);

impl Name {
    /// Reads a name: 3 to 32 letters, marks, digits, `. _ - + @` and single spaces between them.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Reason> {
        if text.chars().take(LONGEST + 1).count() > LONGEST {
            return Err("a name has at most 32 characters");
        }
        let name: String = text.nfkc().collect();
        let length = name.chars().count();
        if length > LONGEST {
            return Err("a name has at most 32 characters");
        }
        // Edges first: white space alone is not "too short".
        if name.trim() != name || text.trim() != text {
            return Err("a name does not begin or end with a space");
        }
        if length < SHORTEST {
            return Err("a name has at least 3 characters");
        }
        if !name.chars().all(is_name_char) {
            return Err("a name has letters, digits, single spaces and . _ - + @ only");
        }
        if name.contains("  ") {
            return Err("a name has no two spaces in a row");
        }
        if has_loose_marks(&name) {
            return Err("a name has at most three marks on a letter");
        }
        if !name.chars().any(char::is_alphanumeric) {
            return Err("a name has at least one letter or digit");
        }
        let name = Self(name);
        let reserved = NameKey::of(contracts::DELETED_USER);
        if name.keys().contains(&reserved) {
            return Err("this name is reserved");
        }
        Ok(name)
    }

    /// The name as it is shown.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Every key of the name, one to three: what it looks like as it is written, in small letters
    /// and in capitals. Two names are the same if they share a key.
    #[must_use]
    pub fn keys(&self) -> Vec<NameKey> {
        let capitals: String = self.0.chars().flat_map(char::to_uppercase).collect();
        let mut keys = vec![
            NameKey(fold(skeleton(&self.0))),
            NameKey::of(&self.0),
            NameKey(fold(skeleton(&capitals))),
        ];
        keys.sort();
        keys.dedup();
        keys
    }
}

impl NameKey {
    /// The key under which a log-in looks for a name; also for texts that can be no name, so that
    /// they are handled as names that do not exist.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let text = text.chars().take(LONGEST_LOOKED_FOR).nfkc();
        let folded = fold(text);
        Self(fold(skeleton(&folded)))
    }

    /// As it is stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Case folding, as far as the standard library knows it: through upper case, so that `ß` meets
/// `ss` and the three sigmas meet each other; letter by letter, so that context has no say.
fn fold(text: impl Iterator<Item = char>) -> String {
    text.flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

fn is_name_char(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || " ._-+@".contains(c);
    }
    c.identifier_allowed() && (c.is_alphanumeric() || is_combining_mark(c))
}

/// Whether a mark stands on no letter, or too many on one.
fn has_loose_marks(name: &str) -> bool {
    let mut marks = MOST_MARKS;
    for c in name.chars() {
        if is_combining_mark(c) {
            marks += 1;
            if marks > MOST_MARKS {
                return true;
            }
        } else {
            // A mark on punctuation or a space is loose.
            marks = if c.is_alphanumeric() { 0 } else { MOST_MARKS };
        }
    }
    false
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn same(one: &str, other: &str) -> bool {
        let (one, other) = (Name::parse(one).unwrap(), Name::parse(other).unwrap());
        one.keys().iter().any(|key| other.keys().contains(key))
    }

    #[test]
    fn ordinary_names_are_names() {
        for good in [
            "Mario",
            "ada",
            "anna_b",
            "j.doe-42",
            "Zoë",
            "Łukasz",
            "Οδυσσέας",
            "李小龙",
            "मोहन",
            "Дмитрий",
            "محمد",
            "mario rossi",
            "a+b@example.org",
            &"a".repeat(32),
        ] {
            assert!(Name::parse(good).is_ok(), "{good}: {:?}", Name::parse(good));
        }
    }

    #[test]
    fn what_misleads_or_breaks_is_no_name() {
        for bad in [
            "",
            "ab",
            "   ",
            " abc",
            "abc ",
            "a  b",
            "abc\n",
            "a\0bc",
            "a\u{7f}bc",
            "abc\u{200b}",
            "ab\u{200d}c",
            "\u{202e}abc",
            "abc\u{ad}",
            "\u{301}abc",
            "a\u{301}\u{301}\u{301}\u{301}\u{301}bc",
            "<script>",
            "'; DROP TABLE users;--",
            "a/b",
            "a\\b",
            "a\"b",
            "a%b",
            "...",
            "_-_",
            "😀😀😀",
            "deleted user",
            "Deleted User",
            "dеleted user",
            "a\tb",
            "a\u{a0}",
            &"a".repeat(33),
            "\u{fdfa}\u{fdfa}",
        ] {
            assert!(Name::parse(bad).is_err(), "{bad:?} became a name");
        }
    }

    #[test]
    fn names_that_look_alike_are_the_same() {
        for (one, other) in [
            ("Mario", "mario"),
            ("Mario", "MARIO"),
            ("Mario", "Mаrio"),      // Cyrillic а
            ("Mario", "МАRIO"),      // Cyrillic М and А
            ("Bob", "Вob"),          // Cyrillic В, which looks like B in upper case alone
            ("Mario", "Ｍａｒｉｏ"), // full width
            ("Zoe\u{308}", "Zoë"),   // decomposed
            ("straße", "STRASSE"),
            ("σας", "ΣΑΣ"),
            ("modern", "rnodern"),
            ("user0", "userO"),
            ("IVAN", "ivan"),
        ] {
            assert!(same(one, other), "{one} {other}");
            assert!(same(other, one), "{other} {one}");
        }
        for (one, other) in
            [("Mario", "Maria"), ("anna.b", "anna_b"), ("user1", "user2"), ("a b c", "abc")]
        {
            assert!(!same(one, other), "{one} {other}");
        }
    }

    #[test]
    fn a_log_in_finds_the_name_in_any_case() {
        for (name, typed) in
            [("Mario", "mARIO"), ("Вob", "вOB"), ("Вob", "bob"), ("Straße", "STRASSE")]
        {
            let keys = Name::parse(name).unwrap().keys();
            assert!(keys.contains(&NameKey::of(typed)), "{name} {typed}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_keys_are_bounded(text in "\\PC{0,300}") {
            prop_assert!(NameKey::of(&text).as_str().len() < 16_384);
            if let Ok(name) = Name::parse(&text) {
                let length = name.as_str().chars().count();
                prop_assert!((SHORTEST..=LONGEST).contains(&length));
                prop_assert!(!name.as_str().chars().any(char::is_control));
            }
        }

        #[test]
        fn every_name_is_found_however_its_letters_are_cased(text in "[A-Za-zА-яΑ-ωäöüßéñ0-9._-]{3,20}") {
            if let Ok(name) = Name::parse(&text) {
                for typed in [text.clone(), text.to_lowercase(), text.to_uppercase()] {
                    prop_assert!(name.keys().contains(&NameKey::of(&typed)), "{} {}", text, typed);
                }
            }
        }
    }
}
