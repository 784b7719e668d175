//! `GET /popular`, `/popular/{category}`, `/recommendations`.

#![allow(unused_qualifications, reason = "utoipa's macro writes them")]

use axum::extract::{OriginalUri, State};
use axum::response::{IntoResponse, Response};
use contracts::Kind;
use http::{HeaderMap, HeaderValue, Uri, header};
use rest::{Page, Path, Problem, Query, SignedIn, conditional};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::Service;
use crate::hydrate::{Entry, Shown};
use crate::model::heading;
use crate::model::ranking::{By, Cursor, Window};
use crate::rank::Asked;

/// A cache between may keep it until something changes, but not long; a browser asks each time
/// whether it still holds, so that its user sees their own likes.
const PUBLIC: HeaderValue = HeaderValue::from_static("public, max-age=0, s-maxage=2");
const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-cache");

/// What a ranking is of.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    /// The time that counts; all of it unless given.
    #[serde(default)]
    window: Window,
    /// What puts one above another; likes unless given.
    #[serde(default)]
    by: By,
    /// Of which kind; palettes unless given.
    kind: Option<Kind>,
}

/// What recommendations are of.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OfKind {
    /// Of which kind; palettes unless given.
    kind: Option<Kind>,
}

/// The most popular items, the first one first.
#[utoipa::path(
    get, path = "/popular", tag = "popularity",
    params(
        Filter,
        ("limit" = Option<u64>, Query, description = "1 to 100, 20 unless given"),
        ("cursor" = Option<String>, Query, description = "From the `Link` of the page before"),
    ),
    responses(
        (status = 200, description = "A page of the ranking", body = Vec<Entry>),
        (status = 422, description = "An unknown window, order or kind, or a bad page"),
        (status = 503, description = "The palettes cannot be reached"),
    )
)]
pub(crate) async fn popular(
    State(service): State<Service>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Query(filter): Query<Filter>,
    page: Page,
) -> Result<Response, Problem> {
    ranking(&service, filter, None, &page, &uri, &headers).await
}

/// The most popular items under one heading.
#[utoipa::path(
    get, path = "/popular/{category}", tag = "popularity",
    params(
        ("category" = String, Path, description = "The heading, as the items have it"),
        Filter,
        ("limit" = Option<u64>, Query, description = "1 to 100, 20 unless given"),
        ("cursor" = Option<String>, Query, description = "From the `Link` of the page before"),
    ),
    responses(
        (status = 200, description = "A page of the ranking; empty for an unknown heading", body = Vec<Entry>),
        (status = 422, description = "An unknown window, order or kind, or a bad page"),
        (status = 503, description = "The palettes cannot be reached"),
    )
)]
pub(crate) async fn popular_in_category(
    State(service): State<Service>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Path(category): Path<String>,
    Query(filter): Query<Filter>,
    page: Page,
) -> Result<Response, Problem> {
    ranking(&service, filter, Some(category), &page, &uri, &headers).await
}

async fn ranking(
    service: &Service,
    filter: Filter,
    category: Option<String>,
    page: &Page,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let after: Option<Cursor> = page.after()?;
    // PostgreSQL keeps no NUL, so nothing has one.
    if category.as_ref().is_some_and(|category| category.contains('\0')) {
        return answer(&[], None, uri, headers, PUBLIC);
    }
    let Filter { window, by, kind } = filter;
    let kind = kind.unwrap_or(Kind::Palette);
    let heading = category.as_deref().map(heading);
    let asked = Asked { kind, heading, window, by, after, limit: page.limit };
    let page = service.rankings.page(asked).await?;
    let shown = page.items.iter().map(|ranked| {
        let (rank, likes, views) = (Some(ranked.rank), ranked.likes, ranked.views);
        (Shown { id: ranked.id, rank, likes, views }, ranked.category.clone())
    });
    let entries = service.hydrators.fill(kind, shown.collect()).await?;
    let next = page.next.as_ref().map(rest::page::cursor);
    answer(&entries, next, uri, headers, PUBLIC)
}

/// What people with similar likes like, then what trends; nothing the caller owns or likes.
#[utoipa::path(
    get, path = "/recommendations", tag = "popularity",
    params(
        OfKind,
        ("limit" = Option<u64>, Query, description = "1 to 100, 20 unless given"),
        ("cursor" = Option<String>, Query, description = "From the `Link` of the page before"),
    ),
    responses(
        (status = 200, description = "A page of recommendations, the best first", body = Vec<Entry>),
        (status = 401, description = "Not signed in"),
        (status = 422, description = "An unknown kind, or a bad page"),
        (status = 503, description = "The palettes cannot be reached"),
    )
)]
pub(crate) async fn recommendations(
    State(service): State<Service>,
    SignedIn(caller): SignedIn,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Query(OfKind { kind }): Query<OfKind>,
    page: Page,
) -> Result<Response, Problem> {
    let kind = kind.unwrap_or(Kind::Palette);
    let skip: usize = page.after()?.unwrap_or(0);
    let list = service.recommendations.of(kind, caller.user.get()).await?;
    let end = skip.saturating_add(usize::try_from(page.limit).unwrap_or(usize::MAX));
    let part = list.iter().take(end).skip(skip).map(|candidate| {
        let (id, likes, views) = (candidate.id, candidate.likes, candidate.views);
        (Shown { id, rank: None, likes, views }, candidate.category.clone())
    });
    let entries = service.hydrators.fill(kind, part.collect()).await?;
    let next = (end < list.len()).then(|| rest::page::cursor(&end));
    answer(&entries, next, &uri, &headers, PRIVATE)
}

fn answer(
    entries: &[Entry],
    next: Option<String>,
    uri: &Uri,
    headers: &HeaderMap,
    caching: HeaderValue,
) -> Result<Response, Problem> {
    let body = serde_json::to_vec(entries).map_err(|error| {
        tracing::error!(%error, "a list cannot be written as JSON");
        Problem::internal()
    })?;
    let mut response = conditional(headers, "application/json", body).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, caching);
    if let Some(link) = next.and_then(|next| rest::page::link(uri, &next)) {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}
