//! The servers of one database: which is the primary, and which to read from.
//!
//! SQLite has one. PostgreSQL has the primary and its replicas, whose parts may be exchanged: when
//! writing fails, the one that is not in recovery is looked for among all of them. Each is known
//! by its place in the list of addresses; its connections are made when first needed.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sea_orm::DatabaseConnection;
use tokio::sync::Mutex;

use crate::{DataError, Sql};

/// A replica that did not answer is left alone for so long.
const REST: Duration = Duration::from_secs(2);
/// How long a server may take to say whether it is the primary.
const PROBE: Duration = Duration::from_secs(1);

/// One server, or the file.
pub(crate) struct Server {
    /// Its address without the password, for messages.
    pub(crate) shown: String,
    pub(crate) writer: DatabaseConnection,
    pub(crate) reader: DatabaseConnection,
    /// Milliseconds after [`Servers::began`]; before that moment it is not read from.
    rests_until: AtomicU64,
}

impl Server {
    pub(crate) fn new(
        shown: String,
        writer: DatabaseConnection,
        reader: DatabaseConnection,
    ) -> Self {
        Self { shown, writer, reader, rests_until: AtomicU64::new(0) }
    }
}

/// All servers of one database; never empty.
pub(crate) struct Servers {
    all: Vec<Server>,
    primary: AtomicUsize,
    turn: AtomicUsize,
    /// Held while the primary is looked for.
    search: Mutex<()>,
    began: Instant,
}

impl Servers {
    /// The first is taken for the primary until it turns out otherwise.
    pub(crate) fn new(first: Server, others: Vec<Server>) -> Self {
        let mut all = vec![first];
        all.extend(others);
        Self {
            all,
            primary: AtomicUsize::new(0),
            turn: AtomicUsize::new(0),
            search: Mutex::new(()),
            began: Instant::now(),
        }
    }

    pub(crate) fn primary(&self) -> &Server {
        &self.all[self.primary.load(Ordering::Relaxed)]
    }

    /// The replicas in turn, without those that rest; `None` when the primary is all there is.
    pub(crate) fn replica(&self) -> Option<&Server> {
        let replicas = self.all.len() - 1;
        let primary = self.primary.load(Ordering::Relaxed);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        (0..replicas)
            .map(|n| (turn + n) % replicas)
            .map(|place| if place < primary { place } else { place + 1 })
            .map(|place| &self.all[place])
            .find(|server| server.rests_until.load(Ordering::Relaxed) <= self.now())
    }

    /// Reads from elsewhere for a while.
    pub(crate) fn rest(&self, replica: &Server) {
        let until = self.now() + u64::try_from(REST.as_millis()).unwrap_or_default();
        replica.rests_until.store(until, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Looks for the primary, and tells whether it is another than before. Of all who ask at once
    /// one looks.
    pub(crate) async fn search(&self) -> bool {
        let before = self.primary.load(Ordering::Relaxed);
        if self.all.len() == 1 {
            return false;
        }
        let Ok(_searching) = self.search.try_lock() else {
            drop(self.search.lock().await);
            return self.primary.load(Ordering::Relaxed) != before;
        };
        let probes = self.all.iter().map(|server| async {
            let probe = server.reader.row::<(bool,)>("SELECT pg_is_in_recovery()", []);
            matches!(tokio::time::timeout(PROBE, probe).await, Ok(Ok(Some((false,)))))
        });
        let writable = futures::future::join_all(probes).await;
        // The one there is, if it still serves; else the first that does.
        let found = writable[before].then_some(before).or_else(|| writable.iter().position(|w| *w));
        match found {
            Some(place) if place != before => {
                self.primary.store(place, Ordering::Relaxed);
                tracing::warn!(
                    from = self.all[before].shown,
                    to = self.all[place].shown,
                    "the primary moved"
                );
                true
            }
            Some(_) => false,
            None => {
                tracing::warn!(
                    was = self.all[before].shown,
                    "no server of the database takes writes"
                );
                false
            }
        }
    }

    /// Whether there is anywhere to look after this error.
    pub(crate) fn may_have_moved(&self, error: &DataError) -> bool {
        self.all.len() > 1 && matches!(error, DataError::Unavailable(_))
    }

    pub(crate) async fn close(&self) {
        for server in &self.all {
            server.reader.close_by_ref().await.ok();
            server.writer.close_by_ref().await.ok();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn servers(count: usize) -> Servers {
        let mut all = (0..count).map(|n| {
            let nowhere = DatabaseConnection::default();
            Server::new(n.to_string(), nowhere.clone(), nowhere)
        });
        let first = all.next().unwrap();
        Servers::new(first, all.collect())
    }

    fn next(servers: &Servers) -> Option<&str> {
        servers.replica().map(|server| server.shown.as_str())
    }

    #[test]
    fn replicas_take_turns_and_rest_when_they_fail() {
        let three = servers(3);
        assert_eq!([next(&three), next(&three), next(&three)], [Some("1"), Some("2"), Some("1")]);
        three.rest(&three.all[2]);
        assert_eq!([next(&three), next(&three)], [Some("1"), Some("1")]);
        three.rest(&three.all[1]);
        assert_eq!(next(&three), None);
        assert_eq!(next(&servers(1)), None);
    }

    #[test]
    fn the_primary_is_no_replica_wherever_it_stands() {
        let three = servers(3);
        three.primary.store(1, Ordering::Relaxed);
        assert_eq!([next(&three), next(&three)], [Some("0"), Some("2")]);
    }
}
