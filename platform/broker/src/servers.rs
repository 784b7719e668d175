//! Where brokers are, with what they are told about who comes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::BrokerError;

/// `nats://[USER[:PASSWORD]@]HOST:PORT[,nats://…]`, or `tls://`: the servers of one cluster. A user
/// without a password is a token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Servers(String);

/// One server and how to log in.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) user: Option<(String, Option<String>)>,
}

impl Servers {
    /// Whether `text` names brokers and not, say, a database.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.starts_with("nats://") || text.starts_with("tls://")
    }

    /// The servers that `text` names.
    ///
    /// # Errors
    /// [`BrokerError::Refused`] when it does not name any.
    pub fn parse(text: &str) -> Result<Self, BrokerError> {
        let servers = Self(text.to_owned());
        let wrong = |server: &Server| {
            let host = server.url.split_once("://").map_or("", |(_, host)| host);
            !Self::is_meant(&server.url) || host.is_empty() || host.contains(char::is_whitespace)
        };
        if text.is_empty() || servers.each().any(|server| wrong(&server)) {
            return Err(BrokerError::refused(format!(
                "`{servers}` is no broker: write `nats://HOST:PORT`, several with a comma between"
            )));
        }
        Ok(servers)
    }

    pub(crate) fn each(&self) -> impl Iterator<Item = Server> + '_ {
        self.0.split(',').map(|url| {
            let url = url.trim();
            let split = url.split_once("://").and_then(|(scheme, rest)| {
                rest.rsplit_once('@').map(|(user, host)| (scheme, user, host))
            });
            match split {
                None => Server { url: url.to_owned(), user: None },
                Some((scheme, user, host)) => {
                    let user = match user.split_once(':') {
                        Some((name, password)) => (name.to_owned(), Some(password.to_owned())),
                        None => (user.to_owned(), None),
                    };
                    Server { url: format!("{scheme}://{host}"), user: Some(user) }
                }
            }
        })
    }
}

impl TryFrom<String> for Servers {
    type Error = BrokerError;

    fn try_from(text: String) -> Result<Self, BrokerError> {
        Self::parse(&text)
    }
}

/// With passwords and tokens.
impl From<Servers> for String {
    fn from(servers: Servers) -> Self {
        servers.0
    }
}

/// Without passwords and tokens.
impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.each().map(|server| server.url).collect::<Vec<_>>();
        f.write_str(&shown.join(","))
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Servers({self})")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn no_password_is_shown() {
        let servers = Servers::parse("nats://me:se:cr@t@a:4222, tls://t0ken@b:4222").unwrap();
        for shown in [format!("{servers}"), format!("{servers:?}")] {
            assert!(shown.contains("nats://a:4222,tls://b:4222"), "{shown}");
            assert!(!shown.contains("cr@t") && !shown.contains("t0ken"), "{shown}");
        }
        let users: Vec<_> = servers.each().map(|server| server.user.unwrap()).collect();
        assert_eq!(users[0], ("me".into(), Some("se:cr@t".into())));
        assert_eq!(users[1], ("t0ken".into(), None));
    }

    #[test]
    fn what_is_no_broker_is_refused_without_its_password() {
        for text in ["", "nats://", "postgres://a:hush@h/d", "nats://a:1,,", "nats://a b:1"] {
            let error = Servers::parse(text).unwrap_err().to_string();
            assert!(error.contains("is no broker") && !error.contains("hush"), "{error}");
        }
    }
}
