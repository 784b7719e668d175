//! The servers of one database: which is the primary, and which to read from.
//!
//! SQLite has one. PostgreSQL has the primary and its replicas, whose parts may be exchanged: when
//! writing fails, the one that is not in recovery is looked for among all of them. Each is known
//! by its place in the list of addresses; its connections are made when first needed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use sea_orm::{DatabaseConnection, DbBackend, DbErr};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::{DataError, Sql};

/// A replica that did not answer is left alone for so long.
const REST: Duration = Duration::from_secs(2);
/// How long a server may take to say whether it is the primary.
const PROBE: Duration = Duration::from_secs(1);

/// A connection that rested longer is asked whether it still lives before it is used.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// How far the resting connections to a server can be trusted. When one is found broken, all that
/// have rested since are tested before they are used, since they broke together.
pub(crate) struct Trust {
    began: Instant,
    /// Milliseconds after `began`.
    broken: AtomicU64,
}

impl Trust {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { began: Instant::now(), broken: AtomicU64::new(0) })
    }

    /// Whether a connection that has rested for so long need not be tested.
    pub(crate) fn holds(&self, rested: Duration) -> bool {
        let since = self.began.elapsed().checked_sub(rested).unwrap_or_default();
        rested < TRUSTED_FOR && millis(since) > self.broken.load(Ordering::Relaxed)
    }

    fn breaks(&self) {
        // Up to the next millisecond: a connection that was given back just now is in doubt too.
        self.broken.store(millis(self.began.elapsed()) + 1, Ordering::Relaxed);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// One server, or the file.
pub(crate) struct Server {
    /// Its address without the password, for messages.
    pub(crate) shown: String,
    pub(crate) writer: DatabaseConnection,
    pub(crate) reader: DatabaseConnection,
    trust: Arc<Trust>,
    /// Milliseconds after [`Servers::began`]; before that moment it is not read from.
    rests_until: AtomicU64,
}

impl Server {
    pub(crate) fn new(
        shown: String,
        writer: DatabaseConnection,
        reader: DatabaseConnection,
        trust: Arc<Trust>,
    ) -> Self {
        Self { shown, writer, reader, trust, rests_until: AtomicU64::new(0) }
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
        replica.trust.breaks();
        let until = self.now() + millis(REST);
        replica.rests_until.store(until, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        millis(self.began.elapsed())
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

    /// What to do after an error of the primary, or of what `asked` was: distrusts its other
    /// connections, looks for another primary, and tells whether trying again may help. A pool
    /// that had no connection to give was waited for already.
    pub(crate) async fn lost(&self, asked: &Server, error: &DbErr) -> bool {
        if self.is_file() || !matches!(DataError::from(error.clone()), DataError::Unavailable(_)) {
            return false;
        }
        asked.trust.breaks();
        self.search().await || !matches!(error, DbErr::ConnectionAcquire(_))
    }

    fn is_file(&self) -> bool {
        self.primary().reader.get_database_backend() == DbBackend::Sqlite
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
            Server::new(n.to_string(), nowhere.clone(), nowhere, Trust::new())
        });
        let first = all.next().unwrap();
        Servers::new(first, all.collect())
    }

    fn next(servers: &Servers) -> Option<&str> {
        servers.replica().map(|server| server.shown.as_str())
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_rested_through_a_break_are_tested() {
        let trust = Trust::new();
        let while_ago = Duration::from_millis(20);
        tokio::time::advance(while_ago).await;
        assert!(trust.holds(Duration::ZERO) && trust.holds(while_ago / 2));
        assert!(!trust.holds(TRUSTED_FOR));
        trust.breaks();
        assert!(!trust.holds(Duration::ZERO) && !trust.holds(while_ago / 2));
        tokio::time::advance(while_ago).await;
        assert!(trust.holds(while_ago / 2), "it was given back after the break");
        assert!(!trust.holds(while_ago * 2));
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
