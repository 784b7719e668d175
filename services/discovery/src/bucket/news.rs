//! What registries tell each other, as JSON under a key.

use serde::{Deserialize, Serialize};

use crate::model::Registration;

/// Something that a registry was told.
#[derive(Clone, Debug)]
pub(crate) struct News(What);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub(super) enum What {
    /// A registration or a heartbeat; when, in milliseconds since 1970 UTC.
    Beat {
        service: String,
        instance: Registration,
        last_heartbeat: i64,
    },
    Left {
        service: String,
        host: String,
    },
    Opened {
        ticket: String,
        service: String,
        host: String,
    },
    Closed {
        ticket: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Written<W> {
    by: String,
    #[serde(flatten)]
    what: W,
}

impl News {
    pub(crate) fn beat(service: &str, instance: &Registration, last_heartbeat: i64) -> Self {
        let (service, instance) = (service.to_owned(), instance.clone());
        Self(What::Beat { service, instance, last_heartbeat })
    }

    pub(crate) fn left(service: &str, host: &str) -> Self {
        Self(What::Left { service: service.into(), host: host.into() })
    }

    pub(crate) fn opened(ticket: &str, service: &str, host: &str) -> Self {
        Self(What::Opened { ticket: ticket.into(), service: service.into(), host: host.into() })
    }

    pub(crate) fn closed(ticket: &str) -> Self {
        Self(What::Closed { ticket: ticket.into() })
    }

    /// Whether it ends what its key stands for.
    pub(super) fn is_end(&self) -> bool {
        matches!(self.0, What::Left { .. } | What::Closed { .. })
    }

    /// Its key in the bucket.
    pub(super) fn key(&self) -> String {
        match &self.0 {
            What::Beat { service, instance: Registration { host, .. }, .. }
            | What::Left { service, host } => {
                format!("instance.{}.{}", token(service), token(host))
            }
            What::Opened { ticket, .. } | What::Closed { ticket } => format!("ticket.{ticket}"),
        }
    }

    /// Its value, told by the registry `by`.
    pub(super) fn written(&self, by: &str) -> Vec<u8> {
        let written = Written { by: by.to_owned(), what: &self.0 };
        serde_json::to_vec(&written).expect("strings and numbers are JSON")
    }
}

/// Who tells what.
pub(super) fn read(value: &[u8]) -> Result<(String, What), serde_json::Error> {
    let Written { by, what } = serde_json::from_slice(value)?;
    Ok((by, what))
}

/// A text as one part of a key: what a key may not hold, and the dot that parts it, as `=XX`.
fn token(text: &str) -> String {
    let mut token = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
            token.push(char::from(byte));
        } else {
            token.push_str(&format!("={byte:02X}"));
        }
    }
    token
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn news_are_read_as_they_were_written() {
        let instance = Registration {
            host: "[::1]:80".into(),
            version: "1".into(),
            weight: 2,
            zone: "z".into(),
        };
        let beat = News::beat("a.b", &instance, 7);
        assert_eq!(beat.key(), "instance.a=2Eb.=5B=3A=3A1=5D=3A80");
        assert_eq!(News::left("a.b", "[::1]:80").key(), beat.key());
        assert_eq!(News::closed("1-ab").key(), News::opened("1-ab", "a", "h:1").key());
        for news in [beat, News::left("a", "h:1"), News::opened("t", "a", "h"), News::closed("t")] {
            assert_eq!(read(&news.written("me")).unwrap(), ("me".into(), news.0));
        }
        assert!(read(b"").is_err());
    }
}
