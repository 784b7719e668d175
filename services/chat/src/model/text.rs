//! What people write: names of rooms, messages, how they call each other.

use std::collections::BTreeSet;

use rest::Problem;

/// The longest name of a room, in characters.
const LONGEST_NAME: usize = 100;
/// The longest id that a client gives a message, in bytes.
const LONGEST_CLIENT_ID: usize = 100;
/// The longest emoji, in bytes: families of many people take that much.
const LONGEST_EMOJI: usize = 64;
/// People called by name in one message; the rest is text.
const MOST_MENTIONS: usize = 20;

/// The name of a chat, or the topic of a lobby.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoomName(String);

impl RoomName {
    /// One line of 1 to 100 characters; blanks around it do not count.
    ///
    /// # Errors
    /// 422 that names `field`.
    pub(crate) fn parse(field: &str, text: &str) -> Result<Self, Problem> {
        let text = text.trim();
        if text.is_empty() || text.chars().nth(LONGEST_NAME).is_some() {
            return Err(Problem::invalid_field(field, "has 1 to 100 characters"));
        }
        if text.chars().any(|c| c.is_control() || is_direction(c)) {
            return Err(Problem::invalid_field(field, "has no control characters"));
        }
        Ok(Self(text.to_owned()))
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

/// How a client knows a message that it sends: the same id, the same message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientId(String);

impl ClientId {
    /// 1 to 100 visible ASCII characters.
    ///
    /// # Errors
    /// 422.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let fits = (1..=LONGEST_CLIENT_ID).contains(&text.len());
        if fits && text.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Problem::invalid_field("client_id", "has 1 to 100 visible ASCII characters"))
        }
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

/// What stands for a feeling under a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Emoji(String);

impl Emoji {
    /// An emoji, or its name as `thumbs_up`.
    ///
    /// # Errors
    /// 422.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let fits = (1..=LONGEST_EMOJI).contains(&text.len());
        let is_name = text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_+-".contains(&b));
        // Signs and what joins them, no letters: nobody writes messages in reactions.
        let is_sign = !text.is_ascii()
            && text.chars().all(|c| !c.is_alphabetic() && !c.is_whitespace() && !c.is_control())
            && !text.chars().any(is_direction);
        if fits && (is_name || is_sign) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Problem::invalid_field("emoji", "is an emoji, or its name as thumbs_up"))
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks a message's text: 1 to `longest` characters, not only blanks.
///
/// # Errors
/// 422 that names `field`.
pub(crate) fn message(field: &str, text: &str, longest: usize) -> Result<(), Problem> {
    if text.trim().is_empty() || text.chars().nth(longest).is_some() {
        return Err(Problem::invalid_field(field, format!("has 1 to {longest} characters")));
    }
    // PostgreSQL keeps no NUL.
    if text.contains('\0') {
        return Err(Problem::invalid_field(field, "has no NUL"));
    }
    Ok(())
}

/// The names after an `@` in a text, in lower case; whether they are anybody's is not known here.
pub(crate) fn mentioned(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        // Not in the middle of a word: that is an e-mail address.
        if c == '@' && !before.is_alphanumeric() && names.len() < MOST_MENTIONS {
            let name = text[at + 1..].split(|c: char| !is_name(c)).next().unwrap_or_default();
            // The full stop after a name ends the sentence.
            let name = name.trim_end_matches(['.', '-']);
            if !name.is_empty() {
                names.insert(name.to_lowercase());
            }
        }
        before = c;
    }
    names
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// Characters that turn the direction of the text around them.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_one_line() {
        assert_eq!(RoomName::parse("n", "  Blue hour ").unwrap().into_string(), "Blue hour");
        for bad in ["", "  ", "a\nb", "a\u{202e}b", &"a".repeat(101)] {
            assert_eq!(RoomName::parse("n", bad).unwrap_err().status(), 422, "{bad:?}");
        }
        assert!(RoomName::parse("n", &"é".repeat(100)).is_ok());
    }

    #[test]
    fn messages_have_something_in_them_and_an_end() {
        assert!(message("m", "é\n🍄", 3).is_ok());
        for bad in ["", " \n ", "abcd", "a\0"] {
            assert!(message("m", bad, 3).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn reactions_are_signs_and_no_words() {
        for good in ["👍", "❤️", "👨‍👩‍👧‍👦", "thumbs_up", "+1"] {
            assert!(Emoji::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "Hello", "a b", "né", "👍 👍", &"👍".repeat(20)] {
            assert!(Emoji::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn people_are_called_by_name_and_addresses_are_not() {
        let names = |text| mentioned(text).into_iter().collect::<Vec<_>>();
        assert_eq!(names("@Ada, look: (@ben_2) and @Jürgen."), ["ada", "ben_2", "jürgen"]);
        assert_eq!(names("ada@example.com @ @@"), [""; 0]);
        assert_eq!(names("@a@a@a"), ["a"]);
        let many: String = (0..50).map(|n| format!("@n{n} ")).collect();
        assert_eq!(names(&many).len(), MOST_MENTIONS);
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_search_for_names(text in ".{0,200}") {
            prop_assert!(mentioned(&text).len() <= MOST_MENTIONS);
        }
    }
}
