//! The accounts, as chat uses them: what people are called, and the other side of every change of
//! who is in a chat.

use contracts::accounts::{AccountsStub, EndChatRequest, GetUsersRequest, PrepareChatRequest};
use contracts::ids::{RoomId, UserId};
use mesh::{Channel, Mesh, idempotent};
use rest::Problem;
use saga::StepError;
use saga::two_phase::{Participant, TxId, Vote};
use serde::{Deserialize, Serialize};

/// Users that one call asks for.
const AT_ONCE: usize = 100;

/// A client of the sibling. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Accounts {
    client: AccountsStub<Channel>,
}

/// Somebody, and what they are called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Person {
    pub(crate) user: UserId,
    pub(crate) name: String,
}

/// What the accounts are to agree to.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) chat: RoomId,
    pub(crate) asker: UserId,
    pub(crate) add: Vec<UserId>,
    pub(crate) remove: Vec<UserId>,
}

impl Accounts {
    pub(crate) fn new(mesh: &Mesh) -> Self {
        Self { client: AccountsStub::new(mesh.channel("accounts")) }
    }

    /// Those of these users whose accounts are there.
    ///
    /// # Errors
    /// 503 when the accounts cannot be asked.
    pub(crate) async fn people(&self, users: &[UserId]) -> Result<Vec<Person>, Problem> {
        let mut people = Vec::with_capacity(users.len());
        for some in users.chunks(AT_ONCE) {
            let user_ids = some.iter().map(|user| user.get()).collect();
            let request = idempotent(tonic::Request::new(GetUsersRequest { user_ids }));
            let reply = self.client.get_users(request).await?.into_inner();
            let living = reply.users.into_iter().filter(|user| !user.deleted);
            people.extend(
                living.map(|user| Person { user: UserId::new(user.user_id), name: user.username }),
            );
        }
        Ok(people)
    }

    async fn end(&self, tx: TxId, commit: bool) -> Result<(), StepError> {
        let request = EndChatRequest { tx: tx.to_string(), commit };
        self.client.end_chat(idempotent(tonic::Request::new(request))).await?;
        Ok(())
    }
}

impl Participant<Change> for Accounts {
    async fn prepare(&self, tx: TxId, change: Change) -> Result<Vote, StepError> {
        let ids = |users: Vec<UserId>| users.into_iter().map(UserId::get).collect();
        let request = PrepareChatRequest {
            tx: tx.to_string(),
            chat_id: change.chat.get(),
            asker: change.asker.get(),
            add: ids(change.add),
            remove: ids(change.remove),
        };
        self.client.prepare_chat(idempotent(tonic::Request::new(request))).await?;
        Ok(Vote::Yes)
    }

    async fn commit(&self, tx: TxId) -> Result<(), StepError> {
        self.end(tx, true).await
    }

    async fn abort(&self, tx: TxId) -> Result<(), StepError> {
        self.end(tx, false).await
    }
}
