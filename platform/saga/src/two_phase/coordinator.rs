//! The coordinator: three steps of a saga, and the answer to those in doubt.

use std::sync::Arc;

use data::Tx;
use futures::future::{BoxFuture, join_all};
use futures::stream::{FuturesUnordered, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Coordinator, Outcome, Participant, TxId, Vote};
use crate::definition::Definition;
use crate::engine::{Engine, background};
use crate::step::{StepError, StepKey};
use crate::store::{self, Status};

/// A participant without the types of its payload.
trait Party<S>: Send + Sync {
    fn name(&self) -> &'static str;
    fn prepare(&self, tx: TxId, state: &S) -> BoxFuture<'static, Result<Vote, StepError>>;
    fn commit(&self, tx: TxId) -> BoxFuture<'static, Result<(), StepError>>;
    fn abort(&self, tx: TxId) -> BoxFuture<'static, Result<(), StepError>>;
}

struct Remote<F, T> {
    name: &'static str,
    payload: F,
    at: Arc<T>,
}

impl<S, P, F, T> Party<S> for Remote<F, T>
where
    P: Send + 'static,
    F: Fn(&S) -> P + Send + Sync,
    T: Participant<P>,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn prepare(&self, tx: TxId, state: &S) -> BoxFuture<'static, Result<Vote, StepError>> {
        let (at, payload) = (Arc::clone(&self.at), (self.payload)(state));
        Box::pin(async move { at.prepare(tx, payload).await })
    }

    fn commit(&self, tx: TxId) -> BoxFuture<'static, Result<(), StepError>> {
        let at = Arc::clone(&self.at);
        Box::pin(async move { at.commit(tx).await })
    }

    fn abort(&self, tx: TxId) -> BoxFuture<'static, Result<(), StepError>> {
        let at = Arc::clone(&self.at);
        Box::pin(async move { at.abort(tx).await })
    }
}

/// Who takes part in a two-phase commit besides the coordinator's own database.
pub struct Participants<S>(Vec<Box<dyn Party<S>>>);

impl<S> Default for Participants<S> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<S: 'static> Participants<S> {
    /// Nobody yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// And `participant`, which is asked to prepare `payload` of the state. The payload of one
    /// state must be the same each time.
    ///
    /// # Panics
    /// When one of that name is there already.
    #[must_use]
    pub fn with<P, F, T>(mut self, name: &'static str, payload: F, participant: T) -> Self
    where
        P: Send + 'static,
        F: Fn(&S) -> P + Send + Sync + 'static,
        T: Participant<P>,
    {
        assert!(self.0.iter().all(|party| party.name() != name), "`{name}` takes part twice");
        self.0.push(Box::new(Remote { name, payload, at: Arc::new(participant) }));
        self
    }

    /// Asks all; one no is enough, and is not kept waiting by those who do not answer.
    fn prepare(&self, tx: TxId, state: &S) -> BoxFuture<'static, Result<(), StepError>> {
        let vote = |party: &dyn Party<S>| {
            let (name, asked) = (party.name(), party.prepare(tx, state));
            async move { (name, asked.await) }
        };
        let mut votes: FuturesUnordered<_> = self.0.iter().map(|party| vote(&**party)).collect();
        Box::pin(async move {
            let mut unheard = None;
            while let Some((name, vote)) = votes.next().await {
                match vote {
                    Ok(Vote::Yes) => {}
                    Ok(Vote::No(problem)) | Err(StepError::Undo(problem)) => {
                        return Err(StepError::Undo(problem));
                    }
                    Err(StepError::Retry(reason)) => {
                        unheard = Some(StepError::Retry(format!("{name}: {reason}")));
                    }
                }
            }
            unheard.map_or(Ok(()), Err)
        })
    }

    /// Tells all; whoever did not hear it does not keep it from the others.
    fn tell(&self, tx: TxId, commit: bool) -> BoxFuture<'static, Result<(), StepError>> {
        let tell = |party: &dyn Party<S>| {
            let told = if commit { party.commit(tx) } else { party.abort(tx) };
            let name = party.name();
            async move {
                // Nothing can be refused any more: a refusal is a defect, and told again.
                told.await.map_err(|error| StepError::Retry(format!("{name}: {error}")))
            }
        };
        let told = join_all(self.0.iter().map(|party| tell(&**party)));
        Box::pin(async move { told.await.into_iter().collect() })
    }
}

impl<S: Serialize + DeserializeOwned + Send + 'static> Definition<S> {
    /// Commits at all `participants` and here, or nowhere. `decide` is this service's own part:
    /// what it writes and emits is committed with the decision. It may still refuse; then all is
    /// aborted. What steps came before is undone with it, what steps follow is done after it:
    ///
    /// ```
    /// # use saga::{Definition, StepError, two_phase::{Participant, Participants, TxId, Vote}};
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct NewChat { members: Vec<i64> }
    /// # struct Accounts;
    /// # impl Participant<Vec<i64>> for Accounts {
    /// #     async fn prepare(&self, _: TxId, _: Vec<i64>) -> Result<Vote, StepError> {
    /// #         Ok(Vote::Yes)
    /// #     }
    /// #     async fn commit(&self, _: TxId) -> Result<(), StepError> { Ok(()) }
    /// #     async fn abort(&self, _: TxId) -> Result<(), StepError> { Ok(()) }
    /// # }
    /// # let accounts = Accounts;
    /// let create = Definition::<NewChat>::new("create_chat").two_phase(
    ///     Participants::new().with("accounts", |chat: &NewChat| chat.members.clone(), accounts),
    ///     |_tx, _key, chat| Box::pin(async move { Ok(chat) }),
    /// );
    /// ```
    ///
    /// [`Engine::run_past_pivot`] answers once it is decided, [`Engine::run`] once all have
    /// committed. Its steps are called `prepare`, `decide` and `commit`.
    ///
    /// # Panics
    /// When nobody takes part, or there is a pivot already.
    #[must_use]
    pub fn two_phase<F>(self, participants: Participants<S>, decide: F) -> Self
    where
        F: for<'a> Fn(&'a Tx, StepKey, S) -> BoxFuture<'a, Result<S, StepError>>
            + Send
            + Sync
            + 'static,
    {
        assert!(!participants.0.is_empty(), "nobody takes part in a two-phase commit");
        let all = Arc::new(participants);
        let (prepare, abort, commit) = (Arc::clone(&all), Arc::clone(&all), all);
        self.remote("prepare", move |key, state| {
            let votes = prepare.prepare(key.into(), &state);
            async move { votes.await.map(|()| state) }
        })
        .undo_remote(move |key, _| abort.tell(key.into(), false))
        .local("decide", decide)
        .pivot()
        .remote("commit", move |key, state| {
            let told = commit.tell(key.into(), true);
            async move { told.await.map(|()| state) }
        })
    }
}

impl Coordinator for Engine {
    async fn outcome(&self, tx: TxId) -> Result<Outcome, StepError> {
        // Nobody prepares before the saga is on record: what is not there is over and forgotten.
        let Some(saga) = background().scope(store::load(&self.db, tx.id)).await? else {
            return Ok(Outcome::Aborted);
        };
        if saga.round != tx.round {
            // Only what was undone begins another round.
            return Ok(Outcome::Aborted);
        }
        match saga.status {
            Status::Done => Ok(Outcome::Committed),
            Status::Undoing | Status::Undone => Ok(Outcome::Aborted),
            Status::Running => {
                let kind = self.kind(&saga.kind, saga.version);
                let pivot = kind.and_then(|kind| kind.pivot()).ok_or_else(|| {
                    StepError::Retry(format!("`{}` is not known here", saga.kind))
                })?;
                let passed = saga.step > pivot;
                Ok(if passed { Outcome::Committed } else { Outcome::Undecided })
            }
        }
    }
}
