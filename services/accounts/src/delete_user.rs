//! Deletes an account, in every service.
//!
//! ```text
//! close the account ── pivot ──► erase it in every sibling ──► forget who it was
//! ```
//!
//! Invariant: from the first step on the account is gone for everybody: its sessions have ended,
//! nobody can log in to it, nobody sees it. Nothing is undone after that. What a sibling cannot
//! erase now is tried until it can, also after a crash.

use std::time::Duration;

use contracts::erasure::{EraseRequest, ErasureStub};
use data::Tx;
use futures::future::join_all;
use ids::UserId;
use mesh::Mesh;
use rest::{Problem, Timestamp};
use saga::{Definition, StepError, StepKey};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::change_profile::no_such_user;
use crate::{Accounts, events, store};

/// The saga's name.
pub(crate) const NAME: &str = "delete_user";

/// How long the caller waits for the siblings before they go on without being watched.
pub(crate) const WAIT: Duration = Duration::from_secs(5);

/// What the saga remembers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Deletion {
    user: UserId,
    /// When the last access token of the account has expired, unix milliseconds.
    revoked_until: i64,
}

/// The saga. `siblings`: the services that hold something of users.
pub(crate) fn definition(mesh: Mesh, siblings: Vec<String>) -> Definition<Deletion> {
    Definition::new(NAME)
        .local("close the account", |tx, _, deletion| Box::pin(close(tx, deletion)))
        .pivot()
        .remote("erase it in every sibling", move |key, deletion: Deletion| {
            let (mesh, siblings) = (mesh.clone(), siblings.clone());
            async move {
                // Each call may be repeated, so that one step makes them all. To their ends: one
                // that fails at once must not cut off the others each time.
                let calls = siblings.iter().map(|name| erase_in(&mesh, name, key, deletion.user));
                let erased: Result<(), StepError> = join_all(calls).await.into_iter().collect();
                erased.map(|()| deletion)
            }
        })
        .local("forget who it was", |tx, _, deletion| Box::pin(forget(tx, deletion)))
}

async fn close(tx: &Tx, deletion: Deletion) -> Result<Deletion, StepError> {
    let now = Timestamp::now().0;
    if !store::close(tx, deletion.user, now).await? {
        return Err(no_such_user().into());
    }
    let ended = store::end_sessions(tx, deletion.user, None, now).await?;
    events::revoked(tx, deletion.user, ended, deletion.revoked_until).await?;
    events::deleted(tx, deletion.user).await?;
    Ok(deletion)
}

async fn erase_in(mesh: &Mesh, name: &str, key: StepKey, user: UserId) -> Result<(), StepError> {
    match ErasureStub::new(mesh.channel(name)).erase(EraseRequest { user_id: user.get() }).await {
        Ok(_) => Ok(()),
        Err(status) => {
            tracing::warn!(saga = %key.saga(), %user, service = name, code = ?status.code(),
                "a deleted user is not erased here yet; trying again");
            Err(StepError::Retry(format!("{name}: {:?}", status.code())))
        }
    }
}

async fn forget(tx: &Tx, deletion: Deletion) -> Result<Deletion, StepError> {
    store::erase(tx, deletion.user).await?;
    Ok(deletion)
}

impl Accounts {
    /// Deletes an account. Returns once it is gone for everybody; what siblings could not erase
    /// within [`WAIT`] is erased later.
    ///
    /// # Errors
    /// 404 if there is no such account, 503 if it could not even be closed.
    pub(crate) async fn delete_user(&self, user: UserId) -> Result<(), Problem> {
        let revoked_until = self.revoked_until(Timestamp::now().0);
        // One account, one saga: two who delete it at once wait for the same.
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{NAME} {user}").as_bytes());
        let deletion = Deletion { user, revoked_until };
        let sagas = self.sagas.clone();
        let run = async move { sagas.run(NAME, id, deletion).await };
        let Err(problem) = self.profiles.changing(user, run).await else { return Ok(()) };
        let row = store::user(&self.db.read_primary(), user).await?;
        if row.is_some_and(|user| user.is_deleted()) { Ok(()) } else { Err(problem) }
    }
}

#[cfg(test)]
mod tests;
