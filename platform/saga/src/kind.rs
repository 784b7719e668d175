//! A definition without its type, as the engine drives it: states are JSON here.

use std::any::TypeId;

use data::Tx;
use futures::future::BoxFuture;
use rest::Problem;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::definition::{Action, Definition};
use crate::step::{StepError, StepKey};

/// Where a step or an undo has its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Local,
    Remote,
}

/// A step as the engine sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) place: Place,
    pub(crate) undo: Option<Place>,
}

pub(crate) trait Kind: Send + Sync {
    fn name(&self) -> &'static str;
    fn version(&self) -> i64;
    fn steps(&self) -> &[Shape];
    fn pivot(&self) -> Option<usize>;
    /// The type of its state.
    fn state(&self) -> TypeId;

    /// Does step `n`; `tx` is there exactly if it is local.
    fn act<'a>(
        &'a self,
        n: usize,
        tx: Option<&'a Tx>,
        key: StepKey,
        state: &str,
    ) -> BoxFuture<'a, Result<String, StepError>>;

    /// Undoes step `n`; `tx` is there exactly if that is local.
    fn undo<'a>(
        &'a self,
        n: usize,
        tx: Option<&'a Tx>,
        key: StepKey,
        state: &str,
    ) -> BoxFuture<'a, Result<(), StepError>>;
}

impl<S: Serialize + DeserializeOwned + Send + 'static> Kind for Definition<S> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn steps(&self) -> &[Shape] {
        &self.shapes
    }

    fn pivot(&self) -> Option<usize> {
        self.pivot
    }

    fn state(&self) -> TypeId {
        TypeId::of::<S>()
    }

    fn act<'a>(
        &'a self,
        n: usize,
        tx: Option<&'a Tx>,
        key: StepKey,
        state: &str,
    ) -> BoxFuture<'a, Result<String, StepError>> {
        let state = decode::<S>(key, state);
        Box::pin(async move {
            let state = call(self.actions.get(n), tx, key, state?).await?;
            serde_json::to_string(&state).map_err(|error| broken(key, &error))
        })
    }

    fn undo<'a>(
        &'a self,
        n: usize,
        tx: Option<&'a Tx>,
        key: StepKey,
        state: &str,
    ) -> BoxFuture<'a, Result<(), StepError>> {
        let state = decode::<S>(key, state);
        let action = self.undos.get(n).and_then(Option::as_ref);
        Box::pin(async move { call(action, tx, key, state?).await })
    }
}

async fn call<S, R>(
    action: Option<&Action<S, R>>,
    tx: Option<&Tx>,
    key: StepKey,
    state: S,
) -> Result<R, StepError> {
    match (action, tx) {
        (Some(Action::Local(effect)), Some(tx)) => effect(tx, key, state).await,
        (Some(Action::Remote(call)), None) => call(key, state).await,
        _ => Err(broken(key, &"there is no such action")),
    }
}

fn decode<S: DeserializeOwned>(key: StepKey, state: &str) -> Result<S, StepError> {
    serde_json::from_str(state).map_err(|error| broken(key, &error))
}

/// A defect of the definition, or a state of another version under this one's number.
fn broken(key: StepKey, error: &dyn std::fmt::Display) -> StepError {
    tracing::error!(%key, %error, "a saga's state or definition is broken");
    StepError::Undo(Problem::internal())
}
