//! A service's part in two-phase commits that others coordinate: what it prepared, durably.

use std::sync::Arc;

use data::{Database, Tx};
use rest::Problem;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::store::{self, State};
use super::{Participant, TxId, Vote};
use crate::engine::background;
use crate::faults::Point;
use crate::local::{NotDone, caught};
use crate::settings::{Settings, millis};
use crate::step::StepError;

/// What a service holds, commits and gives back. Each method is called within the transaction that
/// records it, so once at most for each transaction, and never after one that ended it.
pub trait Resource: Send + Sync + 'static {
    /// What the coordinator asks for. Kept as JSON until it is forgotten; put no secrets in it.
    type Payload: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Names it in this service's database: never changed while something is prepared.
    const NAME: &'static str;

    /// Checks that it can be done and holds what is needed for that, so that neither commit nor
    /// abort can fail later. Others must not see it done yet.
    ///
    /// # Errors
    /// [`StepError::Undo`] is a no and holds nothing; [`StepError::Retry`] is to be asked again.
    fn prepare(
        &self,
        tx: &Tx,
        id: TxId,
        payload: &Self::Payload,
    ) -> impl Future<Output = Result<(), StepError>> + Send;

    /// Makes it so, with the events that tell of it.
    ///
    /// # Errors
    /// Only for now: it is called again until it succeeds.
    fn commit(
        &self,
        tx: &Tx,
        id: TxId,
        payload: &Self::Payload,
    ) -> impl Future<Output = Result<(), StepError>> + Send;

    /// Gives back what was held.
    ///
    /// # Errors
    /// Only for now: it is called again until it succeeds.
    fn abort(
        &self,
        tx: &Tx,
        id: TxId,
        payload: &Self::Payload,
    ) -> impl Future<Output = Result<(), StepError>> + Send;
}

/// Takes part in two-phase commits with a [`Resource`] in a database that has
/// [`MIGRATIONS`](super::MIGRATIONS). Clones share everything. A service's gRPC handlers call it as
/// the [`Participant`] that it is; [`Participation::start`] sees to those that hear nothing.
pub struct Participation<R> {
    pub(super) db: Database,
    pub(super) settings: Arc<Settings>,
    resource: Arc<R>,
}

impl<R> Clone for Participation<R> {
    fn clone(&self) -> Self {
        Self {
            db: self.db.clone(),
            settings: Arc::clone(&self.settings),
            resource: Arc::clone(&self.resource),
        }
    }
}

/// What is done to a transaction, as faults and messages call it.
#[derive(Clone, Copy)]
enum Verb {
    Commit,
    Abort,
}

impl<R: Resource> Participation<R> {
    /// Takes part with `resource` in `db`.
    #[must_use]
    pub fn new(db: Database, resource: R, settings: Settings) -> Self {
        Self { db, resource: Arc::new(resource), settings: Arc::new(settings) }
    }

    async fn vote(&self, id: TxId, payload: R::Payload) -> Result<Vote, NotDone> {
        let text = serde_json::to_string(&payload).map_err(|error| {
            tracing::error!(name = R::NAME, %error, "a payload is broken");
            StepError::Undo(Problem::internal())
        })?;
        let this = self.clone();
        self.strike(id, "prepare", Point::Step)?;
        let vote = self
            .db
            .write(move |tx: &Tx| {
                Box::pin(async move {
                    let now = this.settings.clock.now();
                    let due = now.saturating_add(millis(this.settings.ask_after));
                    // First, so that repeats that come at once wait for each other.
                    if store::insert(tx, R::NAME, id, State::Prepared, &text, due, now).await? {
                        caught(this.resource.prepare(tx, id, &payload)).await?;
                        this.strike(id, "prepare", Point::Effect)?;
                        return Ok(Vote::Yes);
                    }
                    Ok(match store::find(tx, R::NAME, id).await? {
                        Some(State::Prepared) => Vote::Yes,
                        // Late, or under an id that was there before: not a second time.
                        Some(_) => Vote::No(Problem::conflict("this transaction has ended")),
                        None => return Err(just_forgotten().into()),
                    })
                })
            })
            .await;
        let vote = match vote {
            Err(NotDone::Step(StepError::Undo(problem))) => Vote::No(problem),
            other => other?,
        };
        self.strike(id, "prepare", Point::Recorded)?;
        Ok(vote)
    }

    async fn end(&self, id: TxId, verb: Verb) -> Result<(), NotDone> {
        let this = self.clone();
        let name = verb.name();
        self.strike(id, name, Point::Step)?;
        self.db
            .write(move |tx: &Tx| {
                Box::pin(async move {
                    match verb {
                        Verb::Commit => this.commit_in(tx, id).await?,
                        Verb::Abort => this.abort_in(tx, id).await?,
                    }
                    this.strike(id, name, Point::Effect)
                })
            })
            .await?;
        self.strike(id, name, Point::Recorded)
    }

    async fn commit_in(&self, tx: &Tx, id: TxId) -> Result<(), StepError> {
        let now = self.settings.clock.now();
        if let Some(payload) = store::end(tx, R::NAME, id, State::Committed, now).await? {
            let payload = decode::<R>(id, &payload)?;
            return caught(self.resource.commit(tx, id, &payload)).await;
        }
        match store::find(tx, R::NAME, id).await? {
            Some(State::Committed) => Ok(()),
            // It had voted yes, or nobody would say this: so it was committed long ago, or the
            // vote was lost with a primary. Nothing can be done about it here, but it is told.
            None => {
                tracing::error!(name = R::NAME, %id, "told to commit what is forgotten here");
                metrics::counter!("two_phase_contradictions_total", "name" => R::NAME).increment(1);
                Ok(())
            }
            Some(_) => Err(contradiction::<R>(id, "told to commit what is aborted here")),
        }
    }

    async fn abort_in(&self, tx: &Tx, id: TxId) -> Result<(), StepError> {
        let now = self.settings.clock.now();
        if store::insert(tx, R::NAME, id, State::Aborted, "", now, now).await? {
            // Before its `prepare`, or instead of it: when that comes it is refused.
            return Ok(());
        }
        if let Some(payload) = store::end(tx, R::NAME, id, State::Aborted, now).await? {
            let payload = decode::<R>(id, &payload)?;
            return caught(self.resource.abort(tx, id, &payload)).await;
        }
        match store::find(tx, R::NAME, id).await? {
            Some(State::Aborted) => Ok(()),
            None => Err(just_forgotten()),
            Some(_) => Err(contradiction::<R>(id, "told to abort what is committed here")),
        }
    }

    fn strike(&self, id: TxId, verb: &'static str, point: Point) -> Result<(), NotDone> {
        self.settings.strike(id.saga(), verb, point)
    }
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Abort => "abort",
        }
    }
}

/// Runs without its caller's identity and deadline, as the steps of sagas do.
impl<R: Resource> Participant<R::Payload> for Participation<R> {
    async fn prepare(&self, tx: TxId, payload: R::Payload) -> Result<Vote, StepError> {
        Ok(background().scope(self.vote(tx, payload)).await?)
    }

    async fn commit(&self, tx: TxId) -> Result<(), StepError> {
        Ok(background().scope(self.end(tx, Verb::Commit)).await?)
    }

    async fn abort(&self, tx: TxId) -> Result<(), StepError> {
        Ok(background().scope(self.end(tx, Verb::Abort)).await?)
    }
}

impl From<NotDone> for StepError {
    fn from(error: NotDone) -> Self {
        match error {
            NotDone::Step(error) => error,
            NotDone::Lost | NotDone::Crashed => Self::Retry("it stopped in the middle".into()),
        }
    }
}

fn just_forgotten() -> StepError {
    StepError::Retry("the transaction has just been forgotten".into())
}

fn decode<R: Resource>(id: TxId, payload: &str) -> Result<R::Payload, StepError> {
    serde_json::from_str(payload).map_err(|error| {
        tracing::error!(name = R::NAME, %id, %error, "what is prepared cannot be read");
        StepError::Retry("what is prepared cannot be read".into())
    })
}

/// Cannot be while everybody keeps to the protocol; for a person to look at.
fn contradiction<R: Resource>(id: TxId, what: &'static str) -> StepError {
    tracing::error!(name = R::NAME, %id, what, "a two-phase commit contradicts itself");
    metrics::counter!("two_phase_contradictions_total", "name" => R::NAME).increment(1);
    StepError::Undo(Problem::conflict(what))
}
