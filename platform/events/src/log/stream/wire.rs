//! An event as a message: its id is the message's, its name the end of the subject, so that an
//! operator can watch one kind of event; the rest is JSON.

use broker::{Message, Outgoing};
use data::DataError;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::log::entry::{Entry, Recorded};

const ID: &str = "Nats-Msg-Id";

#[derive(Serialize)]
struct Written<'a> {
    name: &'a str,
    key: &'a str,
    at: i64,
    payload: &'a RawValue,
}

#[derive(Deserialize)]
struct Read {
    name: String,
    key: String,
    at: i64,
    payload: Value,
}

/// # Errors
/// When the payload is no JSON.
pub(crate) fn encode(stream: &str, entry: &Entry) -> Result<Outgoing, DataError> {
    let Entry { id, name, key, at, payload } = entry;
    let wrong = |error| DataError::other(format!("payload of {name}: {error}"));
    let payload = serde_json::from_str(payload).map_err(wrong)?;
    let written = Written { name, key, at: *at, payload };
    let payload = serde_json::to_vec(&written).map_err(wrong)?.into();
    let subject = format!("{stream}.{}", plain(name));
    Ok(Outgoing { id: id.clone(), subject, key: key.clone(), payload })
}

/// `name` as the end of a subject: what a subject may not hold is `_`.
fn plain(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let token = |token: &str| match token {
        "" => "_".to_owned(),
        token => token.chars().map(|c| if allowed(c) { c } else { '_' }).collect(),
    };
    name.split('.').map(token).collect::<Vec<String>>().join(".")
}

/// What somebody else has put there becomes an event without a name, which nobody handles.
pub(super) fn decode(message: Message) -> Recorded {
    let seq = super::signed(message.seq);
    let id = message.header(ID).unwrap_or_default().to_owned();
    match serde_json::from_slice(&message.payload) {
        Ok(Read { name, key, at, payload }) => Recorded { seq, id, name, key, at, payload },
        Err(error) => {
            tracing::error!(seq, subject = message.subject, %error, "this is no event");
            let (name, key) = (String::new(), String::new());
            Recorded { seq, id, name, key, at: 0, payload: Value::Null }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_makes_a_subject() {
        assert_eq!(plain("palette.created.v1"), "palette.created.v1");
        assert_eq!(plain("a..b c*.>"), "a._.b_c_._");
        assert_eq!(plain(""), "_");
    }
}
