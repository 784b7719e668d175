//! The servers of one database: which is the primary, and which to read from.
//!
//! SQLite has one. PostgreSQL has the primary and its replicas, whose parts may be exchanged: each
//! is asked all the time what it is ([`crate::probe`]), and [`crate::roles`] decides from that. Each
//! is known by its place in the list of addresses; its connections are made when first needed.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use sea_orm::{DatabaseConnection, DbBackend, DbErr, RuntimeErr};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::DataError;
use crate::probe::{Answer, PROBE, Probe};
use crate::roles::{MOST_LAG, Roles, Said};
use crate::trust::{Trust, millis};

/// A replica that failed a read is left alone for so long.
const REST: Duration = Duration::from_secs(2);
/// How long another primary is looked for, beside one that is there or was.
const SEARCH: Duration = Duration::from_secs(1);
/// So long after the primary last said that it is one, it is asked before it is written to.
const UNSURE: Duration = Duration::from_secs(4);
const NEVER: u64 = u64::MAX;

/// One server, or the file.
pub(crate) struct Server {
    /// Its address without the password, for messages.
    pub(crate) shown: String,
    pub(crate) writer: DatabaseConnection,
    pub(crate) reader: DatabaseConnection,
    trust: Arc<Trust>,
    probe: Option<Probe>,
    /// Milliseconds after [`Servers::began`]; before that moment it is not read from.
    rests_until: AtomicU64,
    /// Up to when it has everything, in the same time; [`NEVER`] for what is no replica.
    has_until: AtomicU64,
    answers: watch::Sender<bool>,
}

impl Server {
    pub(crate) fn new(
        shown: String,
        writer: DatabaseConnection,
        reader: DatabaseConnection,
        trust: Arc<Trust>,
        probe: Option<Probe>,
    ) -> Self {
        Self {
            shown,
            writer,
            reader,
            trust,
            probe,
            rests_until: AtomicU64::new(0),
            has_until: AtomicU64::new(NEVER),
            answers: watch::Sender::new(true),
        }
    }

    /// Does `work` on it for as long as it answers: a server that is gone without a word does not
    /// hold up who asked it.
    pub(crate) async fn while_it_answers<T>(
        &self,
        work: impl Future<Output = Result<T, DbErr>>,
    ) -> Result<T, DbErr> {
        if self.probe.is_none() {
            return work.await;
        }
        let mut answers = self.answers.subscribe();
        tokio::select! {
            biased;
            done = work => done,
            // The sender lives as long as `self`.
            _ = answers.wait_for(|answers| !answers) => Err(no_answer()),
        }
    }
}

pub(crate) fn no_answer() -> DbErr {
    DbErr::Conn(RuntimeErr::Internal("no answer".into()))
}

/// All servers of one database; never empty.
pub(crate) struct Servers {
    all: Vec<Server>,
    primary: AtomicUsize,
    turn: AtomicUsize,
    roles: Mutex<Roles>,
    /// Held while the primary is looked for.
    search: tokio::sync::Mutex<()>,
    began: Instant,
    /// When the primary last said that it is one.
    sure: AtomicU64,
    closed: AtomicBool,
}

impl Servers {
    /// The first is taken for the primary until it turns out otherwise.
    pub(crate) fn new(first: Server, others: Vec<Server>) -> Self {
        let mut all = vec![first];
        all.extend(others);
        Self {
            roles: Mutex::new(Roles::new(all.len())),
            all,
            primary: AtomicUsize::new(0),
            turn: AtomicUsize::new(0),
            search: tokio::sync::Mutex::new(()),
            began: Instant::now(),
            sure: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn primary(&self) -> &Server {
        &self.all[self.primary.load(Ordering::Acquire)]
    }

    /// The replicas in turn, without those that rest or lag; `None` when there is none.
    pub(crate) fn replica(&self) -> Option<&Server> {
        let replicas = self.all.len() - 1;
        if replicas == 0 {
            return None;
        }
        let primary = self.primary.load(Ordering::Acquire);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let now = self.now();
        (0..replicas)
            .map(|n| (turn + n) % replicas)
            .map(|place| if place < primary { place } else { place + 1 })
            .map(|place| &self.all[place])
            .find(|server| {
                let has_until = server.has_until.load(Ordering::Relaxed);
                let lags = has_until == NEVER || now.saturating_sub(has_until) > millis(MOST_LAG);
                !lags && server.rests_until.load(Ordering::Relaxed) <= now
            })
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

    /// Asks a server what it is, and takes note of it.
    pub(crate) async fn ask(&self, place: usize, patience: Duration) {
        let server = &self.all[place];
        let Some(probe) = &server.probe else { return };
        let at = self.now();
        let said = match timeout(patience, probe.ask()).await {
            Ok(Answer::Said(said)) => said,
            Ok(Answer::Full) => return,
            Ok(Answer::Nothing) | Err(_) => Said::Nothing,
        };
        let answers = said != Said::Nothing;
        // A search in a hurry does not tell who is only slow from who is gone.
        if answers || patience >= PROBE {
            self.heard(place, at, said);
        }
    }

    /// Asks every server at once.
    pub(crate) async fn ask_all(&self, patience: Duration) {
        let asked = (0..self.all.len()).map(|place| self.ask(place, patience));
        futures::future::join_all(asked).await;
    }

    /// Asks every server at once, until one takes writes and the others have had a moment too: one
    /// that hangs does not hold up a start, but what is left of an earlier primary is not taken for
    /// the primary only because it was quicker.
    pub(crate) async fn ask_until_primary(&self, patience: Duration) {
        let asked = (0..self.all.len()).map(|place| self.ask(place, patience));
        let mut asked: FuturesUnordered<_> = asked.collect();
        while asked.next().await.is_some() {
            if self.has_primary() {
                let others = async { while asked.next().await.is_some() {} };
                timeout(SEARCH, others).await.ok();
                return;
            }
        }
    }

    fn heard(&self, place: usize, at: u64, said: Said) {
        let server = &self.all[place];
        let (before, after, found) = {
            let mut roles = self.roles.lock().unwrap_or_else(PoisonError::into_inner);
            let before = roles.primary();
            roles.heard(place, at, said);
            for (place, server) in self.all.iter().enumerate() {
                let has_until = roles.has_until(place).unwrap_or(NEVER);
                server.has_until.store(has_until, Ordering::Relaxed);
            }
            self.primary.store(roles.primary(), Ordering::Release);
            if place == roles.primary() && roles.has_primary() {
                self.sure.store(at, Ordering::Relaxed);
            }
            (before, roles.primary(), roles.has_primary())
        };
        let answers = said != Said::Nothing;
        let changed = server.answers.send_if_modified(|was| {
            let changed = *was != answers;
            *was = answers;
            changed
        });
        if changed && !answers {
            server.trust.breaks();
            tracing::warn!(server = server.shown, "a database server does not answer");
        }
        if before != after {
            let (from, to) = (&self.all[before].shown, &self.all[after].shown);
            tracing::warn!(from, to, "the primary moved");
        } else if changed && !found {
            let was = &self.all[after].shown;
            tracing::warn!(was, "no server of the database takes writes");
        }
    }

    /// Looks for the primary, and tells whether it is another than before. Of all who ask at once
    /// one looks.
    pub(crate) async fn search(&self) -> bool {
        let before = self.primary.load(Ordering::Acquire);
        if self.all.len() > 1 {
            match self.search.try_lock() {
                Ok(_searching) => {
                    self.ask_all(SEARCH).await;
                }
                Err(_) => drop(self.search.lock().await),
            }
        }
        self.primary.load(Ordering::Acquire) != before
    }

    /// Looks who is the primary if nobody has for a while: this process may have been asleep while
    /// another was promoted and the old one came back.
    pub(crate) async fn make_sure(&self) {
        let unsure = self.now().saturating_sub(self.sure.load(Ordering::Relaxed)) > millis(UNSURE);
        if unsure && self.all.len() > 1 {
            self.search().await;
        }
    }

    /// Whether a server was seen that takes writes and is no remainder.
    pub(crate) fn has_primary(&self) -> bool {
        let roles = self.roles.lock().unwrap_or_else(PoisonError::into_inner);
        roles.has_primary()
    }

    /// What to do after an error of the primary, or of what `asked` was: distrusts its other
    /// connections, looks for another primary, and tells whether trying again may help. A pool
    /// that had no connection to give was waited for already.
    pub(crate) async fn lost(&self, asked: &Server, error: &DbErr) -> bool {
        if self.is_file() || !matches!(DataError::from(error.clone()), DataError::Unavailable(_)) {
            return false;
        }
        asked.trust.breaks();
        let waited = matches!(error, DbErr::ConnectionAcquire(_)) || *error == no_answer();
        let moved = self.search().await || !std::ptr::eq(asked, self.primary());
        moved || !waited
    }

    fn is_file(&self) -> bool {
        self.primary().reader.get_database_backend() == DbBackend::Sqlite
    }

    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        for server in &self.all {
            server.reader.close_by_ref().await.ok();
            server.writer.close_by_ref().await.ok();
            if let Some(probe) = &server.probe {
                probe.close().await;
            }
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
            Server::new(n.to_string(), nowhere.clone(), nowhere, Trust::new(), None)
        });
        let first = all.next().unwrap();
        let servers = Servers::new(first, all.collect());
        servers.heard(0, 0, Said::Writes { timeline: 1, lsn: 1 });
        (1..count).for_each(|place| servers.heard(place, 0, Said::Follows { lsn: 1 }));
        servers
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
        three.heard(1, 1, Said::Writes { timeline: 2, lsn: 2 });
        assert_eq!(next(&three), None, "who follows the new one is not known yet");
        three.heard(0, 2, Said::Follows { lsn: 2 });
        three.heard(2, 2, Said::Follows { lsn: 2 });
        let mut asked = [next(&three), next(&three)];
        asked.sort_unstable();
        assert_eq!(asked, [Some("0"), Some("2")]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_that_lags_is_left_out() {
        let two = servers(2);
        tokio::time::advance(MOST_LAG).await;
        assert_eq!(next(&two), Some("1"));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(next(&two), None);
        let now = two.now();
        two.heard(0, now, Said::Writes { timeline: 1, lsn: 5 });
        two.heard(1, now, Said::Follows { lsn: 4 });
        assert_eq!(next(&two), None);
        two.heard(1, now, Said::Follows { lsn: 5 });
        assert_eq!(next(&two), Some("1"));
    }
}
