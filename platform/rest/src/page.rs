//! Lists come in pages: an array, and a `Link` to the next one. Cursors are opaque to clients.

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::request::Parts;
use http::{HeaderValue, Uri, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Json, Problem};

/// How many entries a page has unless the client says otherwise.
pub const DEFAULT_LIMIT: u64 = 20;
/// How many entries a page has at most.
pub const MOST: u64 = 100;

/// `?limit=` (1 to 100, 20 unless given) and `?cursor=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// How many entries.
    pub limit: u64,
    /// Where the page before this one ended.
    pub cursor: Option<String>,
}

#[derive(Deserialize)]
struct Asked {
    limit: Option<String>,
    cursor: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Page {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::read(parts.uri.query().unwrap_or_default())
    }
}

impl Page {
    /// Reads the page of a query string.
    ///
    /// # Errors
    /// 422 for a limit outside 1 to 100.
    pub fn read(query: &str) -> Result<Self, Problem> {
        let asked: Asked = crate::params::query(query)?;
        let limit = match asked.limit {
            None => DEFAULT_LIMIT,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=MOST).contains(limit))
                .ok_or_else(|| Problem::invalid_field("limit", "a number from 1 to 100"))?,
        };
        Ok(Self { limit, cursor: asked.cursor })
    }

    /// What the cursor says, as [`cursor`] wrote it.
    ///
    /// # Errors
    /// 422 for a cursor that this service did not give out.
    pub fn after<T: DeserializeOwned>(&self) -> Result<Option<T>, Problem> {
        let Some(text) = &self.cursor else {
            return Ok(None);
        };
        BASE64_URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .map(Some)
            .ok_or_else(|| Problem::invalid_field("cursor", "not a cursor of this list"))
    }

    /// Cuts what was found, one more than `limit` where there is more, to this page. Answers the next
    /// page's cursor, of the last one's `position`; none if this is the last page.
    pub fn cut<T, P: Serialize>(
        &self,
        found: &mut Vec<T>,
        position: impl FnOnce(&T) -> P,
    ) -> Option<String> {
        let more = found.len() as u64 > self.limit;
        found.truncate(usize::try_from(self.limit).unwrap_or(usize::MAX));
        found.last().filter(|_| more).map(|last| cursor(&position(last)))
    }
}

/// A position in a list, as an opaque cursor.
#[must_use]
pub fn cursor(position: &impl Serialize) -> String {
    // Positions are numbers and strings; if one could not be written, the list starts anew.
    BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(position).unwrap_or_default())
}

/// A page as an array, with the `Link` to the next one if there is one.
pub fn paged<T: Serialize>(items: Vec<T>, next: Option<String>, uri: &Uri) -> Response {
    let mut response = Json(items).into_response();
    if let Some(link) = next.and_then(|next| link(uri, &next)) {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

/// The `Link` header that leads from `uri` to the page after `next`.
#[must_use]
pub fn link(uri: &Uri, next: &str) -> Option<HeaderValue> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        if name != "cursor" {
            query.append_pair(&name, &value);
        }
    }
    query.append_pair("cursor", next);
    let link = format!("<{}?{}>; rel=\"next\"", uri.path(), query.finish());
    HeaderValue::from_str(&link).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_outside_of_1_to_100_are_refused() {
        assert_eq!(Page::read("").expect("default").limit, 20);
        assert_eq!(Page::read("limit=100").expect("most").limit, 100);
        for bad in ["limit=0", "limit=101", "limit=-1", "limit=a", "limit=", "limit=1e1"] {
            assert_eq!(Page::read(bad).expect_err(bad).status(), 422);
        }
    }

    #[test]
    fn a_cursor_leads_on_and_a_forged_one_does_not() {
        let page = Page { limit: 1, cursor: Some(cursor(&(7, "x"))) };
        assert_eq!(page.after::<(i64, String)>().expect("ours"), Some((7, "x".into())));
        for forged in ["!", "", "bm8", "eyJhIjoxfQ"] {
            let page = Page { limit: 1, cursor: Some(forged.into()) };
            assert_eq!(page.after::<(i64, String)>().expect_err(forged).status(), 422);
        }
    }

    #[test]
    fn what_is_more_than_a_page_leads_to_the_next() {
        let page = Page { limit: 2, cursor: None };
        let (mut more, mut all) = (vec![9, 8, 7], vec![9, 8]);
        assert_eq!(page.cut(&mut more, |last| *last), Some(cursor(&8)));
        assert_eq!((more, page.cut(&mut all, |last| *last)), (vec![9, 8], None));
        assert_eq!((all, page.cut(&mut Vec::<i64>::new(), |last| *last)), (vec![9, 8], None));
    }

    #[test]
    fn the_link_keeps_the_other_parameters() {
        let uri: Uri = "/palettes?q=a%26b&cursor=old&limit=2".parse().expect("uri");
        let link = link(&uri, "new").expect("link");
        assert_eq!(link, "</palettes?q=a%26b&limit=2&cursor=new>; rel=\"next\"");
    }
}
