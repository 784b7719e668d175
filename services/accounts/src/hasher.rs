//! Hashes passwords with Argon2id, off the threads that serve requests.
//!
//! Invariants: no more hashes run at once than the settings allow, each of them counted from its
//! beginning to its end even if its caller has gone, and no more callers wait than they allow; and
//! whoever asks about an account that has no password costs as much as one who guesses wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use argon2::password_hash::PasswordHasher as _;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordVerifier as _, Version};
use rest::Problem;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::Password;
use crate::settings::Hashing;

/// The longest wait for a turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// Hashes and checks passwords.
pub(crate) struct Hasher {
    argon2: Argon2<'static>,
    /// What a password is compared with when there is nothing to compare it with. No password
    /// leads to it: its hash is not the hash of anything, it only costs as much.
    decoy: Arc<str>,
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    done: AtomicU64,
}

/// The right to hash once.
pub(crate) struct Turn<'h> {
    hasher: &'h Hasher,
    permit: OwnedSemaphorePermit,
}

impl Hasher {
    /// A hasher with these parameters.
    ///
    /// # Errors
    /// What is wrong with the parameters.
    pub(crate) fn new(settings: &Hashing) -> Result<Self, String> {
        let Hashing { memory_kib, passes, lanes, .. } = *settings;
        let params = Params::new(memory_kib, passes, lanes, None)
            .map_err(|error| format!("[accounts.hashing] cannot be used: {error}"))?;
        let at_once = match settings.at_once {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            some => some,
        };
        Ok(Self {
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
            decoy: decoy(settings).into(),
            turns: Arc::new(Semaphore::new(at_once)),
            waiting: Arc::new(Semaphore::new(settings.waiting.max(1))),
            done: AtomicU64::new(0),
        })
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// 503 when too many wait already, or for too long.
    pub(crate) async fn turn(&self) -> Result<Turn<'_>, Problem> {
        let busy = || Problem::unavailable(1, "too many people are signing in right now");
        let _waiting = self.waiting.try_acquire().map_err(|_| busy())?;
        let turn = tokio::time::timeout(PATIENCE, self.turns.clone().acquire_owned());
        let permit = turn.await.map_err(|_| busy())?.map_err(|_| busy())?;
        Ok(Turn { hasher: self, permit })
    }

    /// How many hashes were computed; for tests of what an attacker could time.
    #[cfg(test)]
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::SeqCst)
    }
}

impl Turn<'_> {
    /// The PHC string of a new password.
    pub(crate) async fn hash(self, password: &Password) -> Result<String, Problem> {
        self.run(password, |argon2, password| {
            let hashed = argon2.hash_password(password.expose());
            hashed.map(|hash| hash.to_string()).map_err(|error| error.to_string())
        })
        .await
    }

    /// Whether the password is the one that was hashed. Without a hash it is not, after as much
    /// work.
    pub(crate) async fn verify(
        self,
        password: &Password,
        hash: Option<&str>,
    ) -> Result<bool, Problem> {
        let exists = hash.is_some();
        let hash = hash.map_or_else(|| self.hasher.decoy.clone(), Arc::from);
        self.run(password, move |argon2, password| {
            let hash = PasswordHash::new(&hash).map_err(|error| error.to_string())?;
            Ok(argon2.verify_password(password.expose(), &hash).is_ok() && exists)
        })
        .await
    }

    async fn run<T: Send + 'static>(
        self,
        password: &Password,
        work: impl FnOnce(&Argon2<'_>, &Password) -> Result<T, String> + Send + 'static,
    ) -> Result<T, Problem> {
        let Self { hasher, permit } = self;
        let (argon2, password) = (hasher.argon2.clone(), password.clone());
        hasher.done.fetch_add(1, Ordering::SeqCst);
        metrics::counter!("atelier_accounts_password_hashes_total").increment(1);
        let hashed = tokio::task::spawn_blocking(move || {
            // Given back when the work ends, not when the caller goes away.
            let _permit = permit;
            work(&argon2, &password)
        });
        match hashed.await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => {
                tracing::error!(error, "a password could not be hashed");
                Err(Problem::internal())
            }
            Err(error) => {
                tracing::error!(%error, "hashing a password failed");
                Err(Problem::internal())
            }
        }
    }
}

/// A PHC string with these parameters, sixteen zero bytes of salt and thirty-two of hash.
fn decoy(settings: &Hashing) -> String {
    let Hashing { memory_kib, passes, lanes, .. } = settings;
    let (salt, hash) = ("A".repeat(22), "A".repeat(43));
    format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${hash}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn cheap() -> Hashing {
        Hashing { memory_kib: 64, passes: 1, at_once: 1, waiting: 2, ..Hashing::default() }
    }

    #[tokio::test]
    async fn the_right_password_fits_and_others_do_not() {
        let hasher = Hasher::new(&cheap()).unwrap();
        let right = Password::new("swordfish");
        let hash = hasher.turn().await.unwrap().hash(&right).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{hash}");
        let again = hasher.turn().await.unwrap().hash(&right).await.unwrap();
        assert_ne!(hash, again, "each has its own salt");
        let turn = hasher.turn().await.unwrap();
        assert!(turn.verify(&right, Some(&hash)).await.unwrap());
        let turn = hasher.turn().await.unwrap();
        assert!(!turn.verify(&Password::new("Swordfish"), Some(&hash)).await.unwrap());
        let turn = hasher.turn().await.unwrap();
        assert!(!turn.verify(&right, None).await.unwrap());
        assert_eq!(hasher.done(), 5);
    }

    #[tokio::test]
    async fn nothing_to_compare_with_costs_as_much() {
        // Coarse on purpose: a hash of 64 KiB against one of 32 MiB could not be mistaken.
        let big = Hashing { memory_kib: 32_768, ..cheap() };
        let hasher = Hasher::new(&big).unwrap();
        let right = Password::new("swordfish");
        let hash = hasher.turn().await.unwrap().hash(&right).await.unwrap();
        let mut taken = [Duration::MAX; 2];
        for _ in 0..5 {
            for (known, best) in [Some(hash.as_str()), None].into_iter().zip(&mut taken) {
                let begun = Instant::now();
                hasher.turn().await.unwrap().verify(&Password::new("guess"), known).await.unwrap();
                *best = begun.elapsed().min(*best);
            }
        }
        assert!(taken[1] > taken[0] / 4, "{taken:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_are_few_and_not_for_ever() {
        let hasher = Hasher::new(&cheap()).unwrap();
        let held = hasher.turn().await.unwrap();
        let (a, b, c) = tokio::join!(hasher.turn(), hasher.turn(), hasher.turn());
        for refused in [a, b, c] {
            assert_eq!(refused.err().unwrap().status(), 503);
        }
        drop(held);
        assert!(hasher.turn().await.is_ok());
    }

    #[test]
    fn impossible_parameters_are_refused_at_the_start() {
        let none = Hashing { memory_kib: 0, ..cheap() };
        assert!(Hasher::new(&none).err().unwrap().contains("hashing"));
    }
}
