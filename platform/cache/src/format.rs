//! How values travel to the nodes of a ring and back.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How values of a type are written and read. What cannot be written is not kept; what cannot be
/// read, since another version wrote it, is not there.
pub(crate) struct Format<V> {
    pub(crate) write: fn(&V) -> Option<Vec<u8>>,
    pub(crate) read: fn(Bytes) -> Option<V>,
}

impl<V> Clone for Format<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Format<V> {}

impl<V: Serialize + DeserializeOwned> Format<V> {
    pub(crate) fn json() -> Self {
        Self {
            write: |value| serde_json::to_vec(value).ok(),
            read: |bytes| serde_json::from_slice(&bytes).ok(),
        }
    }
}

impl Format<Bytes> {
    pub(crate) fn bytes() -> Self {
        Self { write: |value| Some(value.to_vec()), read: Some }
    }
}
