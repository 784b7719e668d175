//! Creating a palette: seen by nobody until popularity can count its likes, and not
//! there at all if popularity cannot be told.

use contracts::ids::UserId;
use rest::Timestamp;
use saga::{Definition, StepError};
use serde::{Deserialize, Serialize};

use crate::events;
use crate::model::{Draft, Palette};
use crate::popularity::Popularity;
use crate::store;

/// The saga's name.
pub(crate) const NAME: &str = "create_palette";

/// What the saga knows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct State {
    user: UserId,
    draft: Draft,
    /// Known once it is inserted.
    palette: Option<Palette>,
}

impl State {
    pub(crate) fn new(user: UserId, draft: Draft) -> Self {
        Self { user, draft, palette: None }
    }

    /// What was created, at the end.
    pub(crate) fn palette(self) -> Option<Palette> {
        self.palette
    }

    fn inserted(&self) -> Result<&Palette, StepError> {
        // The first step sets it, and the engine keeps the order of steps.
        self.palette
            .as_ref()
            .ok_or_else(|| StepError::Retry("the palette is not inserted yet".to_owned()))
    }
}

pub(crate) fn definition(popularity: &Popularity) -> Definition<State> {
    let (lists, forgets) = (popularity.clone(), popularity.clone());
    Definition::new(NAME)
        .local("insert it, hidden", |tx, _, mut state: State| {
            Box::pin(async move {
                let draft = state.draft.clone();
                state.palette =
                    Some(store::insert_hidden(tx, state.user, draft, Timestamp::now().0).await?);
                Ok(state)
            })
        })
        .undo_local(|tx, _, state: State| {
            Box::pin(async move { Ok(store::discard(tx, state.inserted()?.id).await?) })
        })
        .remote("list it in popularity", move |_, state: State| {
            let popularity = lists.clone();
            async move {
                popularity.register(state.inserted()?).await?;
                Ok(state)
            }
        })
        .undo_remote(move |_, state: State| {
            let popularity = forgets.clone();
            async move { Ok(popularity.withdraw(state.inserted()?.id).await?) }
        })
        .local("let it be seen", |tx, _, state: State| {
            Box::pin(async move {
                let palette = state.inserted()?;
                store::publish(tx, palette).await?;
                events::created(tx, palette).await?;
                Ok(state)
            })
        })
}
