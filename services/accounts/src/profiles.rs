//! Profiles as everybody may see them, in the cache that all instances share, if there is one. A
//! cache of this process alone would not hear of what other instances change.
//!
//! Invariants: it holds what is public of living accounts, and nothing else; whoever asks after a
//! change has been answered sees it. Should an instance die between a change and its
//! [`Profiles::changing`], others see what was before for [`KEPT`] at most; those who wrote
//! recently go past it (`Context.fresh`).

use std::time::Duration;

use cache::{Shared, Store};
use data::{DataError, Database};
use ids::UserId;
use serde::{Deserialize, Serialize};
use telemetry::Context;

use crate::store::{self, User};

const KEPT: Duration = Duration::from_secs(30);
const PROFILES: u64 = 50_000;

/// What everybody may see of an account.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Public {
    pub(crate) user: UserId,
    pub(crate) username: String,
    pub(crate) display_name: Option<String>,
    pub(crate) bio: Option<String>,
    pub(crate) created_at: i64,
}

/// The public profiles.
#[derive(Clone)]
pub(crate) struct Profiles {
    db: Database,
    cache: Option<Shared<UserId, Public>>,
}

/// Why nothing was put into the cache. Who is not there may come, so that is not kept.
enum Unloaded {
    Absent,
    Failed(DataError),
}

impl Profiles {
    pub(crate) fn new(db: Database, store: &Store) -> Self {
        let cache = store.is_shared().then(|| store.cache("profiles.v1", PROFILES, KEPT));
        Self { db, cache }
    }

    /// The profile of a living account.
    pub(crate) async fn of(&self, user: UserId) -> Result<Option<Public>, DataError> {
        let fresh = Context::with_current(|context| context.fresh) == Some(true);
        let found = match &self.cache {
            Some(cache) if !fresh => cache.get_with(user, self.load(user)).await,
            _ => self.load(user).await,
        };
        match found {
            Ok(profile) => Ok(Some(profile)),
            Err(Unloaded::Absent) => Ok(None),
            Err(Unloaded::Failed(error)) => Err(error),
        }
    }

    /// Makes a change to its end, whoever waits for it, and makes it seen.
    pub(crate) async fn changing<T: Send + 'static>(
        &self,
        user: UserId,
        change: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let cache = self.cache.clone();
        let task = async move {
            let changed = change.await;
            if let Some(cache) = cache {
                cache.invalidate(&user).await;
            }
            changed
        };
        let context = Context::current().unwrap_or_else(Context::background);
        match tokio::spawn(context.scope(task)).await {
            Ok(changed) => changed,
            Err(gone) => std::panic::resume_unwind(gone.into_panic()),
        }
    }

    /// What is kept is read from the primary: a replica may lag.
    async fn load(&self, user: UserId) -> Result<Public, Unloaded> {
        let db = if self.cache.is_some() { self.db.read_primary() } else { self.db.read() };
        match store::user(&db, user).await {
            Ok(Some(user)) if !user.is_deleted() => Ok(user.into()),
            Ok(_) => Err(Unloaded::Absent),
            Err(error) => Err(Unloaded::Failed(error)),
        }
    }
}

impl From<User> for Public {
    fn from(user: User) -> Self {
        Self {
            user: user.id(),
            username: user.username,
            display_name: user.display_name,
            bio: user.bio,
            created_at: user.created_at,
        }
    }
}
