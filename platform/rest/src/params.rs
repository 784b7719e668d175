//! Parameters of the path and the query. A path that cannot be an id is a thing that is not there
//! (404); a query of the wrong shape is invalid (422).

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path as AxumPath};
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::Problem;

/// Parameters of the path.
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match AxumPath::<T>::from_request_parts(parts, state).await {
            Ok(AxumPath(value)) => Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(_)) => {
                Err(Problem::not_found("there is nothing here"))
            }
            Err(error) => {
                tracing::error!(%error, "a route lacks its path parameters");
                Err(Problem::internal())
            }
        }
    }
}

/// Parameters of the query; unknown ones are left alone.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        query(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

/// Reads a query string.
///
/// # Errors
/// 422, with the parameter that is wrong.
pub fn query<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    if text.contains("%00") {
        return Err(Problem::invalid("a parameter must not contain NUL"));
    }
    let from = serde_urlencoded::Deserializer::new(form_urlencoded::parse(text.as_bytes()));
    serde_path_to_error::deserialize(from).map_err(|error| {
        let reason = error.inner().to_string();
        match error.path().to_string() {
            field if field == "." || field == "?" => Problem::invalid(reason),
            field => Problem::invalid_field(field, reason),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    struct Search {
        limit: Option<u8>,
    }

    #[test]
    fn the_wrong_parameter_is_named() {
        let problem = query::<Search>("q=x&limit=900").expect_err("past u8");
        assert_eq!(problem.status(), 422);
        assert_eq!(problem.body("")["errors"][0]["field"], "limit");
        assert!(query::<Search>("limit=%00").is_err());
        assert_eq!(query::<Search>("a=1&limit=9").expect("fine").limit, Some(9));
    }
}
