//! Changes who is in a chat, as far as accounts know of it: this service's part of a two-phase
//! commit that chat coordinates.
//!
//! ```text
//! prepare: checked, and held ──commit──► written, no longer held
//!                              └─abort──► no longer held
//! ```
//!
//! Invariants: what is held is shown to nobody. One account in one chat is held by one transaction
//! at most. No closed account comes into a chat, also when it was closed after it was held: commit
//! locks the accounts, so that it sees a deletion that comes first and one that comes later erases
//! what it wrote.

use contracts::accounts::PrepareChatRequest;
use contracts::ids::RoomId;
use data::{Dialect, Engine, Tx};
use ids::UserId;
use rest::Problem;
use saga::StepError;
use saga::two_phase::{Resource, TxId};
use serde::{Deserialize, Serialize};

use crate::store::{self, Chats, Membership};

/// The most accounts that one change adds, and that one removes.
const MOST: usize = 1_000;

/// Why a prepare is to be repeated that met another transaction.
pub(crate) const HELD: &str = "another transaction changes this chat";

/// Who comes into a chat and who leaves it. The lists ascend and share nobody.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Change {
    chat_id: RoomId,
    asker: UserId,
    add: Vec<UserId>,
    remove: Vec<UserId>,
}

/// Who is in which chat, as this service prepares and changes it.
pub(crate) struct Members(Chats);

impl Members {
    pub(crate) fn new(engine: Engine) -> Self {
        Self(Chats::new(Dialect::of(engine)))
    }
}

impl Change {
    /// Reads what chat asks for.
    ///
    /// # Errors
    /// 422 for what can never be, 403 for an asker that is nobody.
    pub(crate) fn read(request: PrepareChatRequest) -> Result<Self, Problem> {
        let PrepareChatRequest { tx: _, chat_id, asker, add, mut remove } = request;
        for (field, ids) in [("add", &add), ("remove", &remove)] {
            if ids.len() > MOST {
                return Err(Problem::invalid_field(field, format!("at most {MOST}")));
            }
        }
        if chat_id <= 0 {
            return Err(Problem::invalid_field("chat_id", "not an id"));
        }
        if asker <= 0 {
            return Err(not_a_member());
        }
        if let Some(nobody) = add.iter().find(|id| **id <= 0) {
            return Err(no_user(*nobody));
        }
        // Nobody has such an id, so nobody has to leave.
        remove.retain(|id| *id > 0);
        let (add, remove) = (ascending(add), ascending(remove));
        if add.iter().any(|user| remove.binary_search(user).is_ok()) {
            return Err(Problem::invalid_field("remove", "has somebody who is to be added"));
        }
        Ok(Self { chat_id: chat_id.into(), asker: asker.into(), add, remove })
    }

    /// Everybody it is about, ascending.
    fn concerned(&self) -> Vec<UserId> {
        let mut all = [&self.add[..], &self.remove[..]].concat();
        all.sort_unstable();
        all
    }
}

fn ascending(ids: Vec<i64>) -> Vec<UserId> {
    let mut users: Vec<UserId> = ids.into_iter().map(UserId::new).collect();
    users.sort_unstable();
    users.dedup();
    users
}

impl Resource for Members {
    type Payload = Change;
    const NAME: &'static str = "chat_members";

    async fn prepare(&self, tx: &Tx, id: TxId, change: &Change) -> Result<(), StepError> {
        let Change { chat_id, asker, add, .. } = change;
        let mut must_live = add.clone();
        if let Err(place) = must_live.binary_search(asker) {
            must_live.insert(place, *asker);
        }
        let living = self.0.lock_living(tx, &must_live).await?;
        let lives = |user: &UserId| living.binary_search(user).is_ok();
        if !lives(asker) {
            return Err(not_a_member().into());
        }
        if add.binary_search(asker).is_err() {
            match store::membership(tx, *asker, *chat_id).await? {
                Membership::Member => {}
                // Perhaps decided already, and not yet told here.
                Membership::Pending => return Err(StepError::Retry(HELD.into())),
                Membership::Stranger => return Err(not_a_member().into()),
            }
        }
        if let Some(nobody) = add.iter().find(|user| !lives(user)) {
            return Err(no_user(nobody.get()).into());
        }
        if !self.0.hold(tx, &id.to_string(), *chat_id, &change.concerned()).await? {
            return Err(StepError::Retry(HELD.into()));
        }
        Ok(())
    }

    async fn commit(&self, tx: &Tx, id: TxId, change: &Change) -> Result<(), StepError> {
        let Change { chat_id, add, remove, .. } = change;
        let living = self.0.lock_living(tx, &change.concerned()).await?;
        let add: Vec<UserId> =
            add.iter().filter(|user| living.binary_search(user).is_ok()).copied().collect();
        self.0.join(tx, *chat_id, &add).await?;
        self.0.leave(tx, *chat_id, remove).await?;
        Ok(store::release_chats(tx, &id.to_string()).await?)
    }

    async fn abort(&self, tx: &Tx, id: TxId, _: &Change) -> Result<(), StepError> {
        Ok(store::release_chats(tx, &id.to_string()).await?)
    }
}

fn not_a_member() -> Problem {
    Problem::forbidden("you are not in this chat")
}

fn no_user(id: i64) -> Problem {
    Problem::invalid_field("participants", format!("there is no user {id}"))
}

#[cfg(test)]
mod tests;
