//! Deleting palettes: gone here at once, and forgotten by popularity as soon as it
//! can be reached. Never taken back.

use contracts::ids::{PaletteId, UserId};
use saga::Definition;
use serde::{Deserialize, Serialize};

use crate::events;
use crate::popularity::Popularity;
use crate::store;

/// The saga that deletes one palette.
pub(crate) const NAME: &str = "delete_palette";
/// The saga that deletes some palettes of an account that is gone.
pub(crate) const ERASE: &str = "erase_palettes";
/// Palettes that one `erase_palettes` takes.
const BATCH: i64 = 100;

/// Which palette, and who asks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) id: PaletteId,
    pub(crate) user: UserId,
}

pub(crate) fn definition(popularity: &Popularity) -> Definition<State> {
    let popularity = popularity.clone();
    Definition::new(NAME)
        .local("delete it", |tx, _, state: State| {
            Box::pin(async move {
                store::remove(tx, state.id, state.user).await?;
                events::deleted(tx, state.user, &[state.id]).await?;
                Ok(state)
            })
        })
        .pivot()
        .remote("have popularity forget it", move |_, state: State| {
            let popularity = popularity.clone();
            async move {
                popularity.withdraw(state.id).await?;
                Ok(state)
            }
        })
}

/// Whose palettes, and which were taken; none when there were none left.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Erasure {
    pub(crate) user: UserId,
    pub(crate) gone: Vec<PaletteId>,
}

pub(crate) fn erasure(popularity: &Popularity) -> Definition<Erasure> {
    let popularity = popularity.clone();
    Definition::new(ERASE)
        .local("delete some", |tx, _, mut state: Erasure| {
            Box::pin(async move {
                state.gone = store::erase_some(tx, state.user, BATCH).await?;
                events::deleted(tx, state.user, &state.gone).await?;
                Ok(state)
            })
        })
        .pivot()
        .remote("have popularity forget them", move |_, state: Erasure| {
            let popularity = popularity.clone();
            async move {
                for id in &state.gone {
                    popularity.withdraw(*id).await?;
                }
                Ok(state)
            }
        })
}
