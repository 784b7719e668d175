//! Changing a palette. What popularity ranks by, the category, reaches it as soon as
//! it can be reached; the change itself does not wait for that and is never taken back.

use contracts::ids::{PaletteId, UserId};
use rest::Timestamp;
use saga::{Definition, StepError};
use serde::{Deserialize, Serialize};

use crate::events;
use crate::model::{Change, Palette};
use crate::popularity::Popularity;
use crate::store::{self, Store, WriteError};

/// The saga's name.
pub(crate) const NAME: &str = "update_palette";

/// What is to be changed, and by whom.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) id: PaletteId,
    pub(crate) user: UserId,
    /// The version the caller saw, if the change is bound to it.
    pub(crate) seen: Option<i64>,
    pub(crate) change: Change,
    /// As it is afterwards.
    pub(crate) palette: Option<Palette>,
}

/// The change in this service's database, and the event. Alone, it is all that a
/// change needs that leaves the category as it is.
pub(crate) async fn apply(tx: &data::Tx, state: &State) -> Result<Palette, WriteError> {
    let palette = store::change(
        tx,
        state.id,
        state.user,
        state.seen,
        state.change.clone(),
        Timestamp::now().0,
    )
    .await?;
    events::updated(tx, &palette).await?;
    Ok(palette)
}

pub(crate) fn definition(popularity: &Popularity, store: &Store) -> Definition<State> {
    let (popularity, store) = (popularity.clone(), store.clone());
    Definition::new(NAME)
        .local("change it", |tx, _, mut state: State| {
            Box::pin(async move {
                state.palette = Some(apply(tx, &state).await?);
                Ok(state)
            })
        })
        .pivot()
        .remote("tell popularity", move |_, state: State| {
            let (popularity, store) = (popularity.clone(), store.clone());
            async move {
                popularity
                    .agree::<StepError, _>(state.id, || async { Ok(store.get(state.id).await?) })
                    .await?;
                Ok(state)
            }
        })
}
