//! A palette as clients see it.

use axum::response::{IntoResponse, Response};
use contracts::ids::{PaletteId, UserId};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use rest::{Json, Timestamp, conditional};
use serde::Serialize;
use utoipa::ToSchema;

use crate::model::{Color, Palette};
use crate::popularity::Counts;

/// A palette.
#[derive(Serialize, ToSchema)]
#[schema(as = Palette)]
pub(crate) struct PaletteView<'a> {
    palette_id: PaletteId,
    user_id: UserId,
    /// Upper case and long: `#RRGGBB`, or `#RRGGBBAA` where an alpha was given.
    #[schema(value_type = Vec<String>, example = json!(["#E63946", "#F1FAEE"]))]
    color_codes: &'a [Color],
    category: Option<&'a str>,
    name: Option<&'a str>,
    created_at: Timestamp,
    updated_at: Timestamp,
    likes: i64,
    views: i64,
}

impl<'a> PaletteView<'a> {
    pub(crate) fn new(palette: &'a Palette, counts: Counts) -> Self {
        Self {
            palette_id: palette.id,
            user_id: palette.user,
            color_codes: &palette.colors,
            category: palette.category.as_deref(),
            name: palette.name.as_deref(),
            created_at: Timestamp(palette.created_at),
            updated_at: Timestamp(palette.updated_at),
            likes: counts.likes,
            views: counts.views,
        }
    }
}

/// The palette with its `ETag`.
pub(super) fn answer(status: StatusCode, palette: &Palette, counts: Counts) -> Response {
    let mut response = (status, Json(PaletteView::new(palette, counts))).into_response();
    response.headers_mut().insert(header::ETAG, tag(palette, counts));
    response
}

/// The palette, or 304 for a client that has it as it is.
pub(super) fn conditional_answer(
    headers: &HeaderMap,
    palette: &Palette,
    counts: Counts,
) -> Response {
    let tag = tag(palette, counts);
    if conditional::matches(headers, &tag) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response();
    }
    answer(StatusCode::OK, palette, counts)
}

/// Everything in the answer that can change: the palette's version, its likes and its views.
fn tag(palette: &Palette, counts: Counts) -> HeaderValue {
    let tag = format!("\"{}.{}.{}\"", palette.version, counts.likes, counts.views);
    HeaderValue::try_from(tag).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// The version that `If-Match` binds a change to. Likes and views do not count there: they
/// change all the time, and nobody writes over them.
///
/// `Ok(None)` without a condition, `Err` for one that no version meets.
pub(super) fn seen_version(headers: &HeaderMap) -> Result<Option<i64>, ()> {
    let Some(tags) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let tag = tags.to_str().map_err(drop)?.trim();
    if tag == "*" {
        return Ok(None);
    }
    let version = tag.strip_prefix('"').and_then(|tag| tag.split('.').next());
    version.and_then(|version| version.parse().ok()).map(Some).ok_or(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn palette() -> Palette {
        Palette {
            id: 7.into(),
            user: 1.into(),
            colors: vec!["#ABC".parse().unwrap()],
            category: None,
            name: Some("x".into()),
            created_at: 1_769_853_600_000,
            updated_at: 1_769_853_600_000,
            version: 3,
        }
    }

    #[test]
    fn it_has_the_members_of_the_contract_in_their_order() {
        let json =
            serde_json::to_string(&PaletteView::new(&palette(), Counts { likes: 2, views: 5 }))
                .unwrap();
        assert_eq!(
            json,
            r##"{"palette_id":"7","user_id":"1","color_codes":["#AABBCC"],"category":null,"name":"x","created_at":"2026-01-31T10:00:00Z","updated_at":"2026-01-31T10:00:00Z","likes":2,"views":5}"##
        );
    }

    #[test]
    fn a_condition_binds_to_the_version_alone() {
        let seen = |value: &'static str| {
            seen_version(&HeaderMap::from_iter([(
                header::IF_MATCH,
                HeaderValue::from_static(value),
            )]))
        };
        assert_eq!(seen_version(&HeaderMap::new()), Ok(None));
        assert_eq!(seen("\"3.2.5\""), Ok(Some(3)));
        assert_eq!(seen("*"), Ok(None));
        assert_eq!(seen("W/\"3.2.5\""), Err(()));
        assert_eq!(seen("\"other\""), Err(()));
        let tag = tag(&palette(), Counts { likes: 9, views: 9 });
        assert_eq!(seen_version(&HeaderMap::from_iter([(header::IF_MATCH, tag)])), Ok(Some(3)));
    }
}
