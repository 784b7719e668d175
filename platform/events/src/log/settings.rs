//! Where the log is and how it is kept.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use broker::{Servers, StreamSettings};
use data::{DataError, DataSettings};
use serde::{Deserialize, Serialize};

/// For how long the broker knows the ids it was given. A relay repeats what it got no answer for
/// as soon as it can, so this is how long a broker may be away without one event standing in the
/// log twice. Ten minutes cover a restart and a failover; the broker keeps the ids in memory, some
/// 150 bytes each: 90 MB at a thousand events a second. After a longer outage the events that were
/// on their way when it began may be there twice; consumers know them by their ids.
const DUPLICATES: Duration = Duration::from_secs(600);

/// As long as consumers remember what they handled: a log that is replaced is read again.
const LONGEST_KEEP: u64 = 30 * 24 * 3600;

/// `[events]` of the configuration: where the log is and how it is kept.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// `sqlite:PATH` or `postgres://USER:PASSWORD@HOST/NAME` for a table, or
    /// `nats://[USER:PASSWORD@]HOST:PORT[,nats://…]` for a stream in NATS JetStream.
    pub primary: String,
    /// PostgreSQL servers that follow the primary.
    pub replicas: Vec<String>,
    /// The most connections to a database that write.
    pub pool: u32,
    /// The most connections to each database server that only read.
    pub readers: u32,
    /// The name of the stream in JetStream: letters, digits, `-` and `_`.
    pub stream: String,
    /// How many servers of a NATS cluster keep the stream: 1, 3 or 5.
    pub stream_replicas: usize,
    /// How long events are kept, in seconds. Default 7 days, at most 30: consumers remember what
    /// they handled for 30.
    pub keep_seconds: u64,
    /// How many events a reader may lag behind before it reads them from the log again.
    pub buffer: usize,
}

impl Default for LogSettings {
    fn default() -> Self {
        let DataSettings { primary, replicas, pool, readers } = DataSettings::default();
        Self {
            primary,
            replicas,
            pool,
            readers,
            stream: "atelier-events".into(),
            stream_replicas: 1,
            keep_seconds: 7 * 24 * 3600,
            buffer: 1024,
        }
    }
}

/// The two engines a log can stand on.
#[derive(Debug)]
pub(crate) enum Place {
    Table(DataSettings),
    Stream { servers: Servers, name: String, how: StreamSettings },
}

impl LogSettings {
    /// A table in the file at `path`.
    #[must_use]
    pub fn sqlite(path: impl AsRef<Path>) -> Self {
        DataSettings::sqlite(path).into()
    }

    /// A stream at the brokers that `servers` names.
    #[must_use]
    pub fn nats(servers: impl Into<String>) -> Self {
        Self { primary: servers.into(), ..Self::default() }
    }

    pub(crate) fn keep(&self) -> Duration {
        Duration::from_secs(self.keep_seconds)
    }

    /// Which engine it is.
    pub(crate) fn place(&self) -> Result<Place, DataError> {
        let refuse = |why: String| Err(DataError::Startup(format!("[events] {why}")));
        if !(1..=LONGEST_KEEP).contains(&self.keep_seconds) {
            return refuse(format!("keep_seconds = {}: 1 to {LONGEST_KEEP}", self.keep_seconds));
        }
        if !Servers::is_meant(&self.primary) {
            let Self { primary, replicas, pool, readers, .. } = self.clone();
            return Ok(Place::Table(DataSettings { primary, replicas, pool, readers }));
        }
        let servers = match Servers::parse(&self.primary) {
            Ok(servers) => servers,
            Err(error) => return refuse(error.to_string()),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.stream.is_empty() || !self.stream.chars().all(plain) {
            return refuse(format!("stream = {:?}: letters, digits, `-` and `_`", self.stream));
        }
        if !(1..=5).contains(&self.stream_replicas) {
            return refuse(format!("stream_replicas = {}: 1 to 5", self.stream_replicas));
        }
        let name = self.stream.clone();
        let how = StreamSettings::log(&name, self.keep(), DUPLICATES, self.stream_replicas);
        Ok(Place::Stream { servers, name, how })
    }
}

impl From<DataSettings> for LogSettings {
    fn from(DataSettings { primary, replicas, pool, readers }: DataSettings) -> Self {
        Self { primary, replicas, pool, readers, ..Self::default() }
    }
}

impl From<&DataSettings> for LogSettings {
    fn from(settings: &DataSettings) -> Self {
        settings.clone().into()
    }
}

impl From<&LogSettings> for LogSettings {
    fn from(settings: &LogSettings) -> Self {
        settings.clone()
    }
}

/// Without passwords.
impl fmt::Debug for LogSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("LogSettings");
        match self.place() {
            Ok(Place::Table(database)) => shown.field("table", &database),
            Ok(Place::Stream { servers, name, .. }) => {
                shown.field("servers", &servers).field("stream", &name)
            }
            Err(error) => shown.field("wrong", &error.to_string()),
        };
        shown.field("keep_seconds", &self.keep_seconds).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_engine_follows_from_the_address() {
        let place = |primary: &str| LogSettings { primary: primary.into(), ..Default::default() };
        assert!(matches!(place("sqlite:a.db").place(), Ok(Place::Table(_))));
        assert!(matches!(place("nats://a:1,nats://b:2").place(), Ok(Place::Stream { .. })));
        let wrong = LogSettings { stream: "a.b".into(), ..LogSettings::nats("nats://a:1") };
        assert!(wrong.place().unwrap_err().to_string().contains("a.b"));
    }

    #[test]
    fn no_password_is_shown() {
        for primary in ["nats://me:hush@a:4222", "postgres://me:hush@h/d", "nats://me:hush@"] {
            let settings = LogSettings { primary: primary.into(), ..Default::default() };
            assert!(!format!("{settings:?}").contains("hush"), "{settings:?}");
        }
    }
}
