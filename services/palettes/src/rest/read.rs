//! Reading palettes: one, many, or as a file.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use contracts::ids::{PaletteId, UserId};
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use rest::{Caller, Page, Path, Problem, Query, conditional, paged};
use serde::Deserialize;
use utoipa::IntoParams;

use super::view::{PaletteView, conditional_answer};
use crate::Palettes;
use crate::export::{Format, UnknownFormat};
use crate::model::Color;
use crate::popularity::Counts;
use crate::store::{Filter, Shown};

/// Longest text to search for, in characters.
const MAX_SEARCH_CHARS: usize = 200;

/// One palette. Seen by someone other than its owner, it counts a view.
#[utoipa::path(
    get, path = "/palettes/{id}", tag = "palettes",
    params(("id" = PaletteId, Path)),
    responses(
        (status = 200, body = PaletteView, headers(("ETag" = String))),
        (status = 304, description = "The client has it (If-None-Match)."),
        (status = 404, description = "There is none with this id."),
    )
)]
pub(super) async fn get(
    State(palettes): State<Palettes>,
    caller: Caller,
    Path(id): Path<PaletteId>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let shown = find(&palettes, id).await?;
    let view = method == Method::GET && caller.user() != Some(shown.palette.user);
    let counts = counts_of(&palettes, &shown, view).await;
    Ok(conditional_answer(&headers, &shown.palette, counts))
}

/// Which palettes to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Search {
    /// Whose.
    user_id: Option<UserId>,
    /// Of this category, whatever its case.
    category: Option<String>,
    /// With a colour near this one (a distance of at most 0.1 in Oklab): `#RGB`, `#RRGGBB` or
    /// `#RRGGBBAA`, also without the `#`. Alpha plays no part.
    color: Option<String>,
    /// With this text in the name or category, whatever its case; at most 200 characters.
    q: Option<String>,
}

impl Search {
    fn filter(self) -> Result<Filter, Problem> {
        if self.q.as_ref().is_some_and(|text| text.chars().nth(MAX_SEARCH_CHARS).is_some()) {
            return Err(Problem::invalid_field(
                "q",
                format!("must be at most {MAX_SEARCH_CHARS} characters long"),
            ));
        }
        let color = |code: String| {
            // A `#` in an address has to be written `%23`; many leave it out.
            let code = if code.starts_with('#') { code } else { format!("#{code}") };
            code.parse::<Color>()
                .map_err(|error| Problem::invalid_field("color", error.to_string()))
        };
        let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        Ok(Filter {
            user: self.user_id,
            category: given(self.category),
            text: given(self.q),
            near: given(self.color).map(color).transpose()?,
        })
    }
}

/// Palettes, newest first.
#[utoipa::path(
    get, path = "/palettes", tag = "palettes",
    params(
        Search,
        ("limit" = Option<u64>, Query, description = "1 to 100, 20 unless given."),
        ("cursor" = Option<String>, Query, description = "From the `Link` of the page before."),
    ),
    responses(
        (status = 200, body = Vec<PaletteView>, headers(("Link" = String, description = "The next page, rel=\"next\"."))),
        (status = 422, description = "A parameter is not as described."),
    )
)]
pub(super) async fn list(
    State(palettes): State<Palettes>,
    Query(search): Query<Search>,
    page: Page,
    uri: Uri,
) -> Result<Response, Problem> {
    let filter = search.filter()?;
    let before = page.after::<PaletteId>()?;
    let mut found = palettes.store.list(&filter, before, page.limit + 1).await?;
    let next = page.cut(&mut found, |last| last.id);
    let ids: Vec<PaletteId> = found.iter().map(|palette| palette.id).collect();
    let counts = palettes.popularity.counts(&ids, false).await;
    let counts = counts.unwrap_or_else(|| palettes.shelf.last_counts(&ids));
    let views = found
        .iter()
        .zip(counts)
        .map(|(palette, counts)| PaletteView::new(palette, counts))
        .collect();
    Ok(paged(views, next, &uri))
}

/// A palette as a file for another program.
#[utoipa::path(
    get, path = "/palettes/{id}/export/{format}", tag = "palettes",
    params(
        ("id" = PaletteId, Path),
        ("format" = String, Path, description = "css, scss, tailwind, json, svg, png, gpl, ase or aco"),
    ),
    responses(
        (status = 200, description = "The file.", headers(("ETag" = String), ("Content-Disposition" = String))),
        (status = 304, description = "The client has it (If-None-Match)."),
        (status = 404, description = "There is no such palette or format."),
    )
)]
pub(super) async fn export(
    State(palettes): State<Palettes>,
    Path((id, format)): Path<(PaletteId, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let format: Format =
        format.parse().map_err(|error: UnknownFormat| Problem::not_found(error.to_string()))?;
    let shown = find(&palettes, id).await?;
    let mut response =
        conditional(&headers, format.media_type(), format.render(&shown.palette)).into_response();
    // Header values are built from ASCII alone.
    if let Ok(disposition) = HeaderValue::try_from(format.disposition(&shown.palette)) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    }
    // It is shown as what it is called: an SVG with somebody's name in it is no web page.
    response
        .headers_mut()
        .insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

async fn find(palettes: &Palettes, id: PaletteId) -> Result<Arc<Shown>, Problem> {
    palettes.shelf.get(id).await?.ok_or_else(absent)
}

fn absent() -> Problem {
    Problem::not_found("there is no such palette")
}

/// A palette's counts as they are, or as they were last shown.
pub(super) async fn counts_of(palettes: &Palettes, shown: &Shown, view: bool) -> Counts {
    match palettes.popularity.counts(&[shown.palette.id], view).await.as_deref() {
        Some([counts]) => {
            shown.keep_counts(*counts);
            *counts
        }
        _ => shown.last_counts(),
    }
}
