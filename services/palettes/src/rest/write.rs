//! Creating, changing and deleting palettes.

use axum::extract::State;
use axum::response::Response;
use contracts::ids::PaletteId;
use data::Tx;
use http::{HeaderMap, StatusCode};
use rest::{Json, OperationId, Path, Problem, SignedIn, located, own};
use telemetry::Context;
use uuid::Uuid;

use super::bodies::{NewPalette, PaletteChange};
use super::view::{PaletteView, answer, seen_version};
use crate::popularity::Counts;
use crate::store::WriteError;
use crate::{Palettes, create_palette, delete_palette, update_palette};

/// Creates a palette.
#[utoipa::path(
    post, path = "/palettes", tag = "palettes", request_body = NewPalette,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key and body give the first answer again.")),
    responses(
        (status = 201, body = PaletteView, headers(("Location" = String), ("ETag" = String))),
        (status = 401, description = "Not signed in."),
        (status = 403, description = "`user_id` is not your own."),
        (status = 422, description = "No colours, too many, or what is none; a name or category too long."),
        (status = 503, description = "Popularity cannot be told of it; nothing was created."),
    )
)]
pub(super) async fn create(
    State(palettes): State<Palettes>,
    SignedIn(caller): SignedIn,
    operation: OperationId,
    Json(body): Json<NewPalette>,
) -> Result<Response, Problem> {
    own(&caller, body.user_id)?;
    let state = create_palette::State::new(caller.user, body.draft()?);
    let state = palettes.sagas.run(create_palette::NAME, operation.or_new(), state).await?;
    // The first step sets it.
    let palette = state.palette().ok_or_else(Problem::internal)?;
    let created = answer(StatusCode::CREATED, &palette, Counts::default());
    Ok(located(created, &format!("/palettes/{}", palette.id)))
}

/// Changes a palette; what is left out stays.
#[utoipa::path(
    put, path = "/palettes/{id}", tag = "palettes", request_body = PaletteChange,
    params(
        ("id" = PaletteId, Path),
        ("If-Match" = Option<String>, Header, description = "Change it only if it is still as this ETag says; likes and views do not count."),
    ),
    responses(
        (status = 200, body = PaletteView, headers(("ETag" = String))),
        (status = 401, description = "Not signed in."),
        (status = 403, description = "It is not yours."),
        (status = 404, description = "There is none with this id."),
        (status = 412, description = "It has changed (If-Match)."),
        (status = 422, description = "As for creating one."),
    )
)]
pub(super) async fn update(
    State(palettes): State<Palettes>,
    SignedIn(caller): SignedIn,
    Path(id): Path<PaletteId>,
    headers: HeaderMap,
    Json(body): Json<PaletteChange>,
) -> Result<Response, Problem> {
    own(&caller, body.user_id)?;
    let change = body.change()?;
    let seen = seen_version(&headers).map_err(|()| WriteError::Changed)?;
    let moves = change.category.is_some();
    let state = update_palette::State { id, user: caller.user, seen, change, palette: None };
    let changed = if moves {
        // Not to its end: popularity may take its time.
        let state =
            palettes.sagas.run_past_pivot(update_palette::NAME, Uuid::new_v4(), state).await;
        state.and_then(|state| state.palette.ok_or_else(Problem::internal))
    } else {
        let write = palettes
            .db
            .write(move |tx: &Tx| Box::pin(async move { update_palette::apply(tx, &state).await }));
        write.await.map_err(Problem::from)
    };
    // Also after an error: it may have been kept all the same.
    palettes.shelf.forget(id);
    let palette = changed?;
    let counts = match palettes.popularity.counts(&[id], false).await.as_deref() {
        Some([counts]) => *counts,
        _ => Counts::default(),
    };
    Ok(answer(StatusCode::OK, &palette, counts))
}

/// Deletes a palette.
#[utoipa::path(
    delete, path = "/palettes/{id}", tag = "palettes",
    params(("id" = PaletteId, Path)),
    responses(
        (status = 204, description = "It is gone."),
        (status = 401, description = "Not signed in."),
        (status = 403, description = "It is not yours."),
        (status = 404, description = "There is none with this id."),
    )
)]
pub(super) async fn delete(
    State(palettes): State<Palettes>,
    SignedIn(caller): SignedIn,
    Path(id): Path<PaletteId>,
) -> Result<StatusCode, Problem> {
    // One id for one request: sent again by the mesh to another instance, because the first
    // died before it answered, it finds what that has done, and not that nothing is there.
    let request = Context::with_current(|context| context.request_id.clone());
    let name = format!("{}\n{}\n{id}", request.as_deref().unwrap_or_default(), caller.user);
    let saga =
        request.map_or_else(Uuid::new_v4, |_| Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()));
    let state = delete_palette::State { id, user: caller.user };
    let deleted = palettes.sagas.run_past_pivot(delete_palette::NAME, saga, state).await;
    palettes.shelf.forget(id);
    deleted.map(|_| StatusCode::NO_CONTENT)
}
