//! What palettes tell the others, in the transaction of the change, and what they hear.
//!
//! Emitted: `palette.created.v1` when it can be seen, `palette.updated.v1`,
//! `palette.deleted.v1`; events of one palette keep their order. Heard, by every
//! instance: the same, to forget what it has cached.

use contracts::events::{Event, PaletteCreated, PaletteDeleted, PaletteSnapshot, PaletteUpdated};
use contracts::ids::{PaletteId, UserId};
use data::{DataError, Tx};
use events::{From, Log};
use futures::StreamExt;
use tasks::Tasks;

use crate::model::Palette;
use crate::store::Shelf;

/// Tells that a palette can be seen.
pub(crate) async fn created(tx: &Tx, palette: &Palette) -> Result<(), DataError> {
    emit(tx, &PaletteCreated { palette: snapshot(palette) }).await
}

/// Tells that a palette was changed.
pub(crate) async fn updated(tx: &Tx, palette: &Palette) -> Result<(), DataError> {
    emit(tx, &PaletteUpdated { palette: snapshot(palette) }).await
}

/// Tells that palettes of a user are gone.
pub(crate) async fn deleted(tx: &Tx, user_id: UserId, ids: &[PaletteId]) -> Result<(), DataError> {
    let gone = ids.iter().map(|id| PaletteDeleted { palette_id: *id, user_id });
    events::emit_all(tx, PaletteDeleted::NAME, gone.map(|event| (event.key(), event))).await
}

async fn emit<E: Event>(tx: &Tx, event: &E) -> Result<(), DataError> {
    events::emit(tx, E::NAME, &event.key(), event).await
}

/// Forgets cached palettes that another instance has changed.
pub(crate) fn follow(log: &Log, shelf: Shelf, tasks: &Tasks) {
    let mut changes = log.live_of(From::Now, &[PaletteUpdated::NAME, PaletteDeleted::NAME]);
    let stopping = tasks.stopping();
    tasks.spawn("forget changed palettes", async move {
        while let Some(Some(event)) = stopping.run_until_cancelled(changes.next()).await {
            let id = match event.name.as_str() {
                PaletteUpdated::NAME => {
                    event.decode().map(|event: PaletteUpdated| event.palette.palette_id)
                }
                _ => event.decode().map(|event: PaletteDeleted| event.palette_id),
            };
            match id {
                Ok(id) => shelf.forget(id),
                Err(error) => {
                    tracing::error!(%error, seq = event.seq, "an event of palettes cannot be read")
                }
            }
        }
    });
}

fn snapshot(palette: &Palette) -> PaletteSnapshot {
    PaletteSnapshot {
        palette_id: palette.id,
        user_id: palette.user,
        color_codes: palette.colors.iter().map(ToString::to_string).collect(),
        category: palette.category.clone(),
        name: palette.name.clone(),
        created_at: palette.created_at,
        updated_at: palette.updated_at,
    }
}
