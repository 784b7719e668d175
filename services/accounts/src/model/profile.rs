//! What users say of themselves.

use super::Reason;

/// RFC 5321, 4.5.3.1.3: a path has at most 256 octets, two of them the angle brackets.
const LONGEST_EMAIL: usize = 254;
/// RFC 5321, 4.5.3.1.1.
const LONGEST_LOCAL_PART: usize = 64;

macro_rules! text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// As it is stored and shown.
            #[must_use]
            pub fn into_string(self) -> String {
                self.0
            }
        }
    };
}

text!(
    /// An e-mail address. Only its form is known: nothing was sent to it.
    Email
);
text!(
    /// How a user wants to be called, 1 to 64 characters.
    DisplayName
);
text!(
    /// What a user tells of themselves, at most 1,000 characters in lines.
    Bio
);

impl Email {
    /// Reads an address of the everyday form `local@domain`; quoted local parts are not accepted.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Reason> {
        const WRONG: Reason = "this is not an e-mail address";
        if text.len() > LONGEST_EMAIL {
            return Err("an e-mail address has at most 254 characters");
        }
        let (local, domain) = text.rsplit_once('@').ok_or(WRONG)?;
        let local_fits = (1..=LONGEST_LOCAL_PART).contains(&local.len())
            && local.chars().all(|c| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c))
            && local.split('.').all(|atom| !atom.is_empty());
        let domain_fits = domain.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.chars().all(|c| c.is_alphanumeric() || c == '-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        });
        if local_fits && domain_fits { Ok(Self(text.to_owned())) } else { Err(WRONG) }
    }
}

impl DisplayName {
    /// Reads a display name. It need not be unique, and is never what identifies a user.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Reason> {
        let text = text.trim();
        if !(1..=64).contains(&text.chars().count()) {
            return Err("a display name has 1 to 64 characters");
        }
        if text.chars().any(|c| c.is_control() || is_direction(c)) {
            return Err("a display name has no control characters");
        }
        Ok(Self(text.to_owned()))
    }
}

impl Bio {
    /// Reads a bio; it may be empty.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Reason> {
        if text.chars().count() > 1_000 {
            return Err("a bio has at most 1000 characters");
        }
        if text.chars().any(|c| (c.is_control() && !"\n\r\t".contains(c)) || is_direction(c)) {
            return Err("a bio has no control characters");
        }
        Ok(Self(text.to_owned()))
    }
}

/// Characters that turn the direction of the text around them, and of the page after it.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyday_addresses_are_addresses() {
        for good in [
            "a@b",
            "mario@example.com",
            "o'brien+x@mail.example.co.uk",
            "jürgen@münchen.de",
            "root@localhost",
        ] {
            assert!(Email::parse(good).is_ok(), "{good}");
        }
        let long = format!("{}@example.com", "a".repeat(65));
        for bad in [
            "",
            "@",
            "a@",
            "@b",
            "mario",
            "a b@c.de",
            "a@b..c",
            "a.@b.c",
            "a@-b.c",
            "<a@b.c>",
            "a@b.c\n",
            "a@b\0.c",
            "a@b@c",
            "\"a\"@b.c",
            &long,
            &format!("a@{}", "b.".repeat(130)),
        ] {
            assert!(Email::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_users_say_is_bounded_and_shows_what_it_is() {
        assert_eq!(DisplayName::parse("  Mario 🍄 "), Ok(DisplayName("Mario 🍄".to_owned())));
        for bad in ["", "  ", "a\nb", "\u{202e}a", &"a".repeat(65)] {
            assert!(DisplayName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Bio::parse("").is_ok() && Bio::parse("two\nlines 🍄").is_ok());
        assert!(Bio::parse("\u{1b}[31m").is_err() && Bio::parse(&"a".repeat(1_001)).is_err());
    }
}
