//! Asking the servers, all the time, what they are.
//!
//! Each is asked over a connection of its own, so that a server under load, whose pools are empty,
//! is not taken for dead; nor is one that has no connection left to give.

use std::sync::{Arc, Weak};
use std::time::Duration;

use sea_orm::sqlx::error::DatabaseError;
use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::{Connection, Error, PgConnection, query_as};
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::roles::Said;
use crate::servers::Servers;

/// How often a server is asked.
const EVERY: Duration = Duration::from_millis(400);
/// A server that says nothing for so long is gone; requests to it fail then.
pub(crate) const PROBE: Duration = Duration::from_secs(3);

/// Whether it follows, how far it has come, and in which timeline it writes: the first part of the
/// name of the file of the log it writes. (The timeline of the last checkpoint would lag behind a
/// promotion.)
const QUESTION: &str = "SELECT r.follows,
    CAST(pg_wal_lsn_diff(CASE WHEN r.follows THEN COALESCE(pg_last_wal_replay_lsn(), '0/0')
                              ELSE pg_current_wal_lsn() END, '0/0') AS BIGINT),
    CASE WHEN r.follows THEN ''
         ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END
    FROM (SELECT pg_is_in_recovery() AS follows) AS r";

/// What every server answers that speaks PostgreSQL, be it allowed to tell the rest or not. Then
/// lag and remainders of earlier timelines go unnoticed.
const SHORT_QUESTION: &str = "SELECT pg_is_in_recovery()";

/// What asking a server came to.
pub(crate) enum Answer {
    /// It says what it is.
    Said(Said),
    /// It lives, and has no connection left to say more: it is what it was.
    Full,
    /// It cannot be reached.
    Nothing,
}

/// The way to ask one server.
pub(crate) struct Probe {
    options: PgConnectOptions,
    connection: Mutex<Option<PgConnection>>,
}

impl Probe {
    pub(crate) fn new(options: PgConnectOptions) -> Self {
        Self { options, connection: Mutex::new(None) }
    }

    /// Asks the server. Dropped in the middle, it begins anew with the next question.
    pub(crate) async fn ask(&self) -> Answer {
        let mut place = self.connection.lock().await;
        // Taken out: a connection on which an answer is still to come is of no use.
        if let Some(mut connection) = place.take()
            && let Ok(said) = ask(&mut connection).await
        {
            *place = Some(connection);
            return Answer::Said(said);
        }
        let mut connection = match PgConnection::connect_with(&self.options).await {
            Ok(connection) => connection,
            Err(Error::Database(error)) if is_full(&*error) => return Answer::Full,
            Err(_) => return Answer::Nothing,
        };
        let Ok(said) = ask(&mut connection).await else { return Answer::Nothing };
        *place = Some(connection);
        Answer::Said(said)
    }

    pub(crate) async fn close(&self) {
        if let Some(connection) = self.connection.lock().await.take() {
            connection.close().await.ok();
        }
    }
}

async fn ask(connection: &mut PgConnection) -> Result<Said, Error> {
    let (follows, lsn, timeline): (bool, i64, String) =
        match query_as(QUESTION).fetch_one(&mut *connection).await {
            Err(Error::Database(error)) if !is_ending(&*error) => {
                let (follows,) = query_as(SHORT_QUESTION).fetch_one(connection).await?;
                (follows, 0, "0".to_owned())
            }
            answer => answer?,
        };
    if follows {
        return Ok(Said::Follows { lsn });
    }
    let timeline =
        i64::from_str_radix(&timeline, 16).map_err(|error| Error::Decode(Box::new(error)))?;
    Ok(Said::Writes { timeline, lsn })
}

/// Whether the server ends or is just starting, and did not mean the question.
fn is_ending(error: &dyn DatabaseError) -> bool {
    error.code().is_some_and(|code| code.starts_with("57"))
}

/// `too_many_connections`: of all, of one database or of one user.
fn is_full(error: &dyn DatabaseError) -> bool {
    error.code().is_some_and(|code| code == "53300")
}

/// Asks every server again and again, until the database is closed.
pub(crate) fn keep_asking(servers: &Arc<Servers>) {
    for place in 0..servers.len() {
        tokio::spawn(ask_again(Arc::downgrade(servers), place));
    }
}

async fn ask_again(servers: Weak<Servers>, place: usize) {
    loop {
        // Held only while it is asked, so that the last user's drop ends it.
        let Some(servers) = servers.upgrade() else { return };
        if servers.is_closed() {
            return;
        }
        servers.ask(place, PROBE).await;
        drop(servers);
        sleep(EVERY).await;
    }
}
