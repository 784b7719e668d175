//! JSON in and out. In: 415 for another type, 413 for too much, 400 for what is no JSON, 422 for
//! JSON of the wrong shape, with the field that is wrong.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

use crate::Problem;

/// A JSON body, read or written.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::unsupported_type("send JSON, as Content-Type: application/json"));
        }
        let body = read(request, state).await?;
        parse(&body).map(Self)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => {
                let json = HeaderValue::from_static("application/json");
                ([(header::CONTENT_TYPE, json)], body).into_response()
            }
            Err(error) => {
                tracing::error!(%error, "an answer cannot be written as JSON");
                Problem::internal().into_response()
            }
        }
    }
}

/// The whole body, up to the route's limit.
///
/// # Errors
/// 413 past the limit, 400 if the client stops in the middle.
pub async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large("the body is larger than is accepted"),
        _ => Problem::bad_request("the body could not be read to its end"),
    })
}

/// Reads a JSON object.
///
/// # Errors
/// 400 for what is no JSON, 422 for another value than an object, the wrong shape, or a NUL.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // serde_json does not look into the texts of members that nobody asks for.
    if std::str::from_utf8(body).is_err() {
        return Err(Problem::bad_request("the body is not UTF-8"));
    }
    let malformed = |e| Problem::bad_request(format!("the body is not JSON: {}", reason(&e)));
    // First whether it is JSON at all: else an early wrong type would hide a later malformation.
    let _: IgnoredAny = serde_json::from_slice(body).map_err(malformed)?;
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::invalid("send a JSON object"));
    }
    if escapes_nul(body) {
        return Err(Problem::invalid("a text must not contain NUL"));
    }
    let mut from = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut from).map_err(|error| {
        let field = error.path().to_string();
        let reason = reason(error.inner());
        match error.inner().classify() {
            Category::Data if field == "." => Problem::invalid(reason),
            Category::Data => Problem::invalid_field(field, reason),
            // Nested too deeply.
            _ => Problem::bad_request(reason),
        }
    })
}

fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((reason, _)) => reason.to_owned(),
        None => text,
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(kind)) = headers.get(header::CONTENT_TYPE).map(HeaderValue::to_str) else {
        return false;
    };
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// Whether a JSON text spells U+0000 in one of its strings: PostgreSQL cannot keep it.
fn escapes_nul(body: &[u8]) -> bool {
    let mut at = 0;
    while let Some(found) = body[at..].iter().position(|b| *b == b'\\') {
        let escape = &body[at + found + 1..];
        if escape.starts_with(b"u0000") {
            return true;
        }
        at = (at + found + 2).min(body.len());
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Palette {
        name: String,
        #[serde(default)]
        colors: Vec<u8>,
    }

    fn status(body: &str) -> u16 {
        parse::<Palette>(body.as_bytes()).expect_err(body).status().as_u16()
    }

    #[test]
    fn malformed_is_400_and_wrong_is_422() {
        assert_eq!(status(""), 400);
        assert_eq!(status("{"), 400);
        assert_eq!(status(r#"{"name":"a"} x"#), 400);
        assert_eq!(status(&"[".repeat(100_000)), 400);
        let unread = parse::<Palette>(b"{\"name\":\"a\",\"other\":\"\xff\"}");
        assert_eq!(unread.expect_err("utf-8").status(), 400);
        assert_eq!(status("[]"), 422);
        assert_eq!(status(r#"["a",[1]]"#), 422);
        assert_eq!(status(&format!("{{\"name\":{}1{}}}", "[".repeat(9999), "]".repeat(9999))), 422);
        assert_eq!(status(r#"{"name":7}"#), 422);
        assert_eq!(status(r#"{"name":"a\u0000b"}"#), 422);
        assert_eq!(parse::<Palette>(b"{\"name\":\"\xff\"}").expect_err("utf-8").status(), 400);
    }

    #[test]
    fn the_wrong_field_is_named() {
        let problem = parse::<Palette>(br#"{"name":"a","colors":[1,900]}"#).expect_err("past u8");
        assert_eq!(problem.body("")["errors"][0]["field"], "colors[1]");
    }

    #[test]
    fn an_escaped_backslash_before_u0000_is_no_nul() {
        let read: Palette = parse(br#"{"name":"a\\u0000"}"#).expect("a backslash and letters");
        assert_eq!(read.name, "a\\u0000");
    }
}
