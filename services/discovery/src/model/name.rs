//! The names of services: one service, one name, however it is written.

/// What a service is also called, and its name. Whoever is looked up under a name of another
/// application finds the service that does that work here.
const ALIASES: [(&str, &str); 12] = [
    ("account", "accounts"),
    ("auth", "accounts"),
    ("user", "accounts"),
    ("users", "accounts"),
    ("chats", "chat"),
    ("image", "images"),
    ("order", "orders"),
    ("palette", "palettes"),
    ("payment", "payments"),
    ("product", "catalog"),
    ("products", "catalog"),
    ("track", "tracks"),
];

/// The longest name.
const LONGEST: usize = 64;

/// The canonical name of a service; `None` if it is no name.
pub(crate) fn service_name(text: &str) -> Option<String> {
    let name = mesh::canonical_name(text);
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    if name.is_empty() || name.len() > LONGEST || !name.bytes().all(plain) {
        return None;
    }
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
    Some(alias.map_or(name, |(_, name)| (*name).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contracts_names_are_one() {
        for name in ["USER SERVICE", "user-service", "accounts", "Users", "ACCOUNT_SERVICE"] {
            assert_eq!(service_name(name).as_deref(), Some("accounts"), "{name}");
        }
        assert_eq!(service_name("Bench").as_deref(), Some("bench"));
    }

    #[test]
    fn what_is_no_name_is_none() {
        for bad in ["", " ", "a/b", "a\nb", "a\"b", "ü", &"x".repeat(65)] {
            assert_eq!(service_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_alias_leads_to_a_name_and_not_to_another_alias() {
        for (_, name) in ALIASES {
            assert!(ALIASES.iter().all(|(alias, _)| *alias != name), "{name}");
        }
    }
}
