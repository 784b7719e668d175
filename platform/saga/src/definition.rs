//! A saga as its author writes it: steps from top to bottom, each with its undo.

use std::future::Future;

use data::Tx;
use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::kind::{Place, Shape};
use crate::step::{StepError, StepKey};

type Local<S, R> =
    Box<dyn for<'a> Fn(&'a Tx, StepKey, S) -> BoxFuture<'a, Result<R, StepError>> + Send + Sync>;
type Remote<S, R> =
    Box<dyn Fn(StepKey, S) -> BoxFuture<'static, Result<R, StepError>> + Send + Sync>;

/// What a step or an undo does.
pub(crate) enum Action<S, R> {
    Local(Local<S, R>),
    Remote(Remote<S, R>),
}

impl<S, R> Action<S, R> {
    fn place(&self) -> Place {
        match self {
            Self::Local(_) => Place::Local,
            Self::Remote(_) => Place::Remote,
        }
    }
}

/// A kind of saga over a state `S`. Reads from top to bottom:
///
/// ```
/// # use saga::Definition;
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct State;
/// let create = Definition::<State>::new("create_palette")
///     .local("insert it", |_tx, _key, state| Box::pin(async move { Ok(state) }))
///     .undo_local(|_tx, _key, _state| Box::pin(async move { Ok(()) }))
///     .remote("list it", |_key, state| async move { Ok(state) })
///     .undo_remote(|_key, _state| async move { Ok(()) })
///     .pivot()
///     .local("show it", |_tx, _key, state| Box::pin(async move { Ok(state) }));
/// ```
///
/// A change to the steps, or to `S` that old JSON does not fit, is a new
/// [version](Definition::version); the old one stays registered until its last saga has ended.
pub struct Definition<S> {
    pub(crate) name: &'static str,
    pub(crate) version: i64,
    pub(crate) shapes: Vec<Shape>,
    pub(crate) actions: Vec<Action<S, S>>,
    pub(crate) undos: Vec<Option<Action<S, ()>>>,
    pub(crate) pivot: Option<usize>,
}

impl<S: Serialize + DeserializeOwned + Send + 'static> Definition<S> {
    /// A saga without steps, version 1.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            version: 1,
            shapes: Vec::new(),
            actions: Vec::new(),
            undos: Vec::new(),
            pivot: None,
        }
    }

    /// Says which version this is. [`crate::Engine::run`] begins the highest.
    #[must_use]
    pub fn version(mut self, version: i64) -> Self {
        self.version = version;
        self
    }

    /// A step in this service's database. What it writes and emits with `tx` is committed with
    /// the record that it happened, or not at all. A first step that is local is committed with
    /// the saga itself: refused there, nothing has begun.
    ///
    /// # Panics
    /// When a step of that name is there already.
    #[must_use]
    pub fn local<F>(self, name: &'static str, effect: F) -> Self
    where
        F: for<'a> Fn(&'a Tx, StepKey, S) -> BoxFuture<'a, Result<S, StepError>>
            + Send
            + Sync
            + 'static,
    {
        self.step(name, Action::Local(Box::new(effect)))
    }

    /// A step in another service, which must stand being called again with the same key.
    ///
    /// # Panics
    /// When a step of that name is there already.
    #[must_use]
    pub fn remote<F, R>(self, name: &'static str, call: F) -> Self
    where
        F: Fn(StepKey, S) -> R + Send + Sync + 'static,
        R: Future<Output = Result<S, StepError>> + Send + 'static,
    {
        self.step(name, Action::Remote(Box::new(move |key, state| Box::pin(call(key, state)))))
    }

    /// How the last step is undone in this service's database.
    ///
    /// # Panics
    /// When there is no step, or it has an undo.
    #[must_use]
    pub fn undo_local<F>(self, undo: F) -> Self
    where
        F: for<'a> Fn(&'a Tx, StepKey, S) -> BoxFuture<'a, Result<(), StepError>>
            + Send
            + Sync
            + 'static,
    {
        self.undo(Action::Local(Box::new(undo)))
    }

    /// How the last step is undone in another service. The undo of a remote step is also called
    /// when the step may not have happened; it must stand that, and being repeated.
    ///
    /// # Panics
    /// When there is no step, or it has an undo.
    #[must_use]
    pub fn undo_remote<F, R>(self, undo: F) -> Self
    where
        F: Fn(StepKey, S) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), StepError>> + Send + 'static,
    {
        self.undo(Action::Remote(Box::new(move |key, state| Box::pin(undo(key, state)))))
    }

    /// Once the last step has happened nothing is undone any more: what follows is retried until
    /// it succeeds. A remote pivot without an undo is retried itself until it is known whether
    /// it happened.
    ///
    /// # Panics
    /// When there is no step, or there is a pivot.
    #[must_use]
    pub fn pivot(mut self) -> Self {
        assert!(self.pivot.is_none(), "{} has two pivots", self.name);
        assert!(!self.shapes.is_empty(), "{}: a pivot needs a step", self.name);
        self.pivot = Some(self.shapes.len() - 1);
        self
    }

    fn step(mut self, name: &'static str, action: Action<S, S>) -> Self {
        let twice = self.shapes.iter().any(|shape| shape.name == name);
        assert!(!twice, "{} has two steps `{name}`", self.name);
        self.shapes.push(Shape { name, place: action.place(), undo: None });
        self.actions.push(action);
        self.undos.push(None);
        self
    }

    fn undo(mut self, action: Action<S, ()>) -> Self {
        let (Some(shape), Some(undo)) = (self.shapes.last_mut(), self.undos.last_mut()) else {
            panic!("{}: an undo needs a step", self.name);
        };
        assert!(undo.is_none(), "{}: `{}` has two undos", self.name, shape.name);
        shape.undo = Some(action.place());
        *undo = Some(action);
        self
    }
}
