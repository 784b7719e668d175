//! An event on its way into the log, and as it stands there.

use data::DataError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// An event that is to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Unique; a second one with this id is not taken.
    pub id: String,
    /// What happened: `palette.created.v1`.
    pub name: String,
    /// What keeps its order.
    pub key: String,
    /// When, in milliseconds since 1970 UTC.
    pub at: i64,
    /// JSON.
    pub payload: String,
}

impl Entry {
    /// An event of now, with a new id.
    ///
    /// # Errors
    /// When the payload cannot be written as JSON.
    pub fn new(name: &str, key: &str, payload: &impl Serialize) -> Result<Self, DataError> {
        let payload = serde_json::to_string(payload)
            .map_err(|error| DataError::other(format!("payload of {name}: {error}")))?;
        Ok(Self {
            id: uuid::Uuid::now_v7().to_string(),
            name: name.to_owned(),
            key: key.to_owned(),
            at: crate::now(),
            payload,
        })
    }
}

/// An event as it stands in the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// Its place: numbers grow, with gaps.
    pub seq: i64,
    /// Unique.
    pub id: String,
    /// What happened.
    pub name: String,
    /// What keeps its order.
    pub key: String,
    /// When it was emitted, in milliseconds since 1970 UTC.
    pub at: i64,
    /// What the emitter says about it.
    pub payload: serde_json::Value,
}

impl Recorded {
    /// The payload as a type.
    ///
    /// # Errors
    /// When it is not of that shape; in a handler `?` makes a dead letter of it.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(&self.payload)
    }
}

/// A row of the log, or of anything that keeps events: seq, id, name, key, at, payload.
pub(crate) type Row = (i64, String, String, String, i64, String);

impl From<Row> for Recorded {
    fn from((seq, id, name, key, at, payload): Row) -> Self {
        let payload = serde_json::from_str(&payload).unwrap_or_else(|error| {
            tracing::error!(seq, %error, "a payload in the log is no JSON");
            serde_json::Value::Null
        });
        Self { seq, id, name, key, at, payload }
    }
}
