//! Slows guessing and mass sign-ups, over all instances together.
//!
//! Invariant: nothing here depends on whether a name exists. Failures are counted by what was
//! typed, and that is stored as a hash: people type passwords into name fields.

use std::net::IpAddr;

use data::{DataError, Database, Tx};
use rest::{Problem, Timestamp};
use telemetry::Context;
use uuid::Uuid;

use crate::model::NameKey;
use crate::settings::Settings;
use crate::store;

const MINUTE: i64 = 60 * 1000;
/// In which failed log-ins are counted, milliseconds.
const LOG_IN_WINDOW: i64 = 5 * MINUTE;
/// In which sign-ups are counted, milliseconds.
const SIGN_UP_WINDOW: i64 = 60 * MINUTE;

/// What is counted, up to how many, in which window.
#[derive(Clone, Debug)]
struct Counter {
    subject: String,
    most: i64,
    window: i64,
}

/// The counters of one attempt.
#[derive(Clone, Debug)]
pub(crate) struct Throttle {
    counters: Vec<Counter>,
}

impl Throttle {
    /// For guesses at the password of whoever has this name, from the present request's address.
    pub(crate) fn log_in(name: &NameKey, settings: &Settings) -> Self {
        let whose = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_str().as_bytes());
        let account = (format!("log-in name {whose}"), settings.failed_log_ins_per_account);
        let address =
            client().map(|a| (format!("log-in from {a}"), settings.failed_log_ins_per_address));
        Self::new([Some(account), address], LOG_IN_WINDOW)
    }

    /// For sign-ups from the present request's address.
    pub(crate) fn sign_up(settings: &Settings) -> Self {
        let address =
            client().map(|a| (format!("sign-up from {a}"), settings.sign_ups_per_hour_per_address));
        Self::new([address], SIGN_UP_WINDOW)
    }

    fn new(counted: impl IntoIterator<Item = Option<(String, u32)>>, window: i64) -> Self {
        let counters = counted
            .into_iter()
            .flatten()
            .filter(|(_, most)| *most > 0)
            .map(|(subject, most)| Counter { subject, most: i64::from(most), window });
        Self { counters: counters.collect() }
    }

    /// Whether one more attempt may be made. Called when its turn to hash has come, so that no
    /// more guesses slip through at once than are hashed at once.
    ///
    /// # Errors
    /// 429 with the time until the window ends.
    pub(crate) async fn check(&self, db: &Database) -> Result<(), Problem> {
        let now = Timestamp::now().0;
        for counter in &self.counters {
            let read = store::attempts(&db.read_primary(), &counter.subject, now).await?;
            if let Some(read) = read.filter(|read| read.count >= counter.most) {
                return Err(too_many(read, now));
            }
        }
        Ok(())
    }

    /// Counts one attempt.
    ///
    /// # Errors
    /// 429 if it is past a limit; the transaction is then to be rolled back.
    pub(crate) async fn count(&self, tx: &Tx) -> Result<(), Problem> {
        let now = Timestamp::now().0;
        for counter in &self.counters {
            let counted = store::add_attempt(tx, &counter.subject, now, counter.window).await?;
            if counted.count > counter.most {
                return Err(too_many(counted, now));
            }
        }
        Ok(())
    }

    /// Counts a failure, in a transaction of its own.
    pub(crate) async fn failed(self, db: &Database) -> Result<(), Problem> {
        let counted: Result<(), DataError> = db
            .write(move |tx: &Tx| {
                Box::pin(async move {
                    let now = Timestamp::now().0;
                    for counter in &self.counters {
                        store::add_attempt(tx, &counter.subject, now, counter.window).await?;
                    }
                    Ok(())
                })
            })
            .await;
        Ok(counted?)
    }

    /// Forgets the failures at this name; those from the address stay, so that an account of
    /// one's own does not buy guesses at others.
    pub(crate) async fn succeeded(&self, tx: &Tx) -> Result<(), DataError> {
        match self.counters.iter().find(|counter| counter.subject.starts_with("log-in name ")) {
            Some(counter) => store::forget_attempts(tx, &counter.subject).await,
            None => Ok(()),
        }
    }
}

fn too_many(attempts: store::Attempts, now: i64) -> Problem {
    let left = u64::try_from(attempts.window_ends_at - now).unwrap_or(0).div_ceil(1000).max(1);
    Problem::too_many(left, "too many attempts; try again later")
}

/// The client's address; of IPv6 the first 64 bits, since one household has all of the rest.
fn client() -> Option<String> {
    let address = Context::with_current(|context| context.client)??;
    Some(match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    async fn from(address: &str) -> Throttle {
        let context = Context { client: Some(address.parse().unwrap()), ..Context::background() };
        context.scope(async { Throttle::log_in(&NameKey::of("Mario"), &Settings::default()) }).await
    }

    #[tokio::test]
    async fn what_is_counted_names_no_one_and_groups_households() {
        let subjects = |throttle: Throttle| {
            throttle.counters.into_iter().map(|c| c.subject).collect::<Vec<_>>()
        };
        let one = subjects(from("2001:db8:1:2:3::4").await);
        let other = subjects(from("2001:db8:1:2:ffff::5").await);
        assert_eq!(one, other);
        assert_eq!(one[1], "log-in from 2001:db8:1:2::/64");
        assert!(!one[0].to_lowercase().contains("mario"));
        assert_eq!(subjects(from("::ffff:10.0.0.1").await), subjects(from("10.0.0.1").await));
    }

    #[tokio::test]
    async fn zero_is_off() {
        let off = Settings {
            failed_log_ins_per_account: 0,
            failed_log_ins_per_address: 0,
            ..Settings::default()
        };
        assert!(Throttle::log_in(&NameKey::of("Mario"), &off).counters.is_empty());
        assert!(
            Throttle::sign_up(&Settings::default()).counters.is_empty(),
            "no address, no counter"
        );
    }
}
