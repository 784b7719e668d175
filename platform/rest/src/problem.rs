//! The one error shape of the contract: RFC 9457 problem details with the project's extra members.
//! It is also how an error crosses gRPC: whole, in the status' details.

use axum::response::{IntoResponse, Response};
use blobs::BlobError;
use data::DataError;
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use telemetry::Context;
use tonic::{Code, Status};

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FieldError {
    /// The field, as a path: `color_codes[2]`.
    pub field: String,
    /// Why it is not accepted.
    pub reason: String,
}

/// An error as the client sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    status: u16,
    detail: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    extra: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    allow: Option<String>,
}

impl Problem {
    /// A problem of any status; `detail` is shown to the client.
    #[must_use]
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
            extra: Map::new(),
            retry_after: None,
            allow: None,
        }
    }

    /// 400: the request cannot be read.
    #[must_use]
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 401: the caller is not signed in.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "you are not signed in")
    }

    /// 403: the thing is not the caller's.
    #[must_use]
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    /// 404: there is no such thing, or it is somebody's private one.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 405, with the methods the path has, as `Allow` lists them.
    #[must_use]
    pub fn method_not_allowed(allow: impl Into<String>) -> Self {
        let mut problem =
            Self::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not have that method");
        problem.allow = Some(allow.into());
        problem
    }

    /// 409: it collides with what is there.
    #[must_use]
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// 413: more than is accepted.
    #[must_use]
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// 415: not a type that is understood.
    #[must_use]
    pub fn unsupported_type(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
    }

    /// 416: of all `size` bytes, which the body and `Content-Range` tell, none is in that range.
    #[must_use]
    pub fn range_not_satisfiable(size: u64) -> Self {
        let detail = format!("there are {size} bytes, and none of them in that range");
        Self::new(StatusCode::RANGE_NOT_SATISFIABLE, detail).with_extra("size", size.into())
    }

    /// 422: well-formed, but not acceptable.
    #[must_use]
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// 422 because of one field.
    #[must_use]
    pub fn invalid_field(field: impl Into<String>, reason: impl Into<String>) -> Self {
        let (field, reason) = (field.into(), reason.into());
        Self::invalid(format!("{field}: {reason}")).with_field(field, reason)
    }

    /// 429: come back in `seconds`.
    #[must_use]
    pub fn too_many(seconds: u64, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, detail).with_retry_after(seconds)
    }

    /// 503: a service is down or its circuit is open; come back in `seconds`.
    #[must_use]
    pub fn unavailable(seconds: u64, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).with_retry_after(seconds)
    }

    /// 504: no answer before the deadline.
    #[must_use]
    pub fn timed_out(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, detail)
    }

    /// 500: our fault; the cause is in the log under the request id and nowhere else.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "something went wrong on our side")
    }

    /// Names a field and what is wrong with it.
    #[must_use]
    pub fn with_field(mut self, field: impl Into<String>, reason: impl Into<String>) -> Self {
        self.errors.push(FieldError { field: field.into(), reason: reason.into() });
        self
    }

    /// Adds a member that one dialect of the contract promises, or replaces a standard one.
    #[must_use]
    pub fn with_extra(mut self, member: &str, value: Value) -> Self {
        self.extra.insert(member.to_owned(), value);
        self
    }

    /// Says when to come back, in seconds.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// What the client is told.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The body as the contract writes it.
    #[must_use]
    pub fn body(&self, request_id: &str) -> Value {
        let status = self.status();
        let mut body = json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or("Error"),
            "status": self.status,
            "detail": self.detail,
            "message": "failure",
            "error": self.detail,
            "request_id": request_id,
        });
        if let Value::Object(members) = &mut body {
            if !self.errors.is_empty() {
                members.insert("errors".into(), json!(self.errors));
            }
            members.extend(self.extra.clone());
        }
        body
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.status, self.detail)
    }
}

impl std::error::Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let request_id = Context::with_current(|c| c.request_id.clone());
        let body = self.body(request_id.as_deref().unwrap_or_default()).to_string();
        let json = HeaderValue::from_static("application/problem+json");
        let mut response = (self.status(), [(header::CONTENT_TYPE, json)], body).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(allow) = self.allow.as_deref().and_then(|a| HeaderValue::from_str(a).ok()) {
            headers.insert(header::ALLOW, allow);
        }
        if self.status() == StatusCode::RANGE_NOT_SATISFIABLE
            && let Some(size) = self.extra.get("size").and_then(Value::as_u64)
            && let Ok(range) = HeaderValue::from_str(&format!("bytes */{size}"))
        {
            headers.insert(header::CONTENT_RANGE, range);
        }
        if self.status() == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<DataError> for Problem {
    fn from(error: DataError) -> Self {
        match error {
            DataError::Unavailable(_) | DataError::Busy => {
                tracing::warn!(%error, "database unavailable");
                Self::unavailable(1, "the database cannot be reached right now")
            }
            error => {
                tracing::error!(%error, "database error");
                Self::internal()
            }
        }
    }
}

impl From<BlobError> for Problem {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::NotFound => Self::not_found("there is no such file"),
            BlobError::TooLarge { limit } => Self::too_large(format!("more than {limit} bytes")),
            BlobError::BadRange { size } => Self::range_not_satisfiable(size),
            BlobError::Source(_) => Self::bad_request("the body broke off"),
            BlobError::Superseded => Self::conflict("it was written by somebody else meanwhile"),
            BlobError::Unavailable(_) => {
                tracing::warn!(%error, "store of files unavailable");
                Self::unavailable(1, "the files cannot be reached right now")
            }
            BlobError::Startup(_) | BlobError::Other(_) => {
                tracing::error!(%error, "store of files failed");
                Self::internal()
            }
        }
    }
}

impl From<Problem> for Status {
    fn from(problem: Problem) -> Self {
        let code = match problem.status {
            400 | 413 | 415 | 416 | 422 => Code::InvalidArgument,
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            404 => Code::NotFound,
            409 => Code::FailedPrecondition,
            429 => Code::ResourceExhausted,
            503 => Code::Unavailable,
            504 => Code::DeadlineExceeded,
            _ => Code::Internal,
        };
        let details = serde_json::to_vec(&problem).unwrap_or_default();
        Self::with_details(code, problem.detail, details.into())
    }
}

impl From<Status> for Problem {
    fn from(status: Status) -> Self {
        if let Ok(problem) = serde_json::from_slice(status.details()) {
            return problem;
        }
        match status.code() {
            Code::InvalidArgument | Code::OutOfRange => Self::invalid(status.message()),
            Code::Unauthenticated => Self::unauthorized(),
            Code::PermissionDenied => Self::forbidden(status.message()),
            Code::NotFound => Self::not_found(status.message()),
            Code::AlreadyExists | Code::Aborted | Code::FailedPrecondition => {
                Self::conflict(status.message())
            }
            Code::ResourceExhausted => Self::too_many(1, "too many requests"),
            Code::Unavailable => Self::unavailable(1, "a service cannot be reached right now"),
            Code::DeadlineExceeded | Code::Cancelled => Self::timed_out("no answer in time"),
            code => {
                tracing::error!(?code, message = status.message(), "a sibling failed");
                Self::internal()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_has_every_member_of_the_contract() {
        let problem = Problem::invalid_field("name", "too long").with_extra("imageID", json!(""));
        let body = problem.body("r1");
        assert_eq!(
            body,
            json!({
                "type": "about:blank", "title": "Unprocessable Entity", "status": 422,
                "detail": "name: too long", "message": "failure", "error": "name: too long",
                "request_id": "r1", "errors": [{"field": "name", "reason": "too long"}],
                "imageID": "",
            })
        );
    }

    #[test]
    fn a_problem_crosses_grpc_whole() {
        for problem in [
            Problem::unavailable(7, "down"),
            Problem::conflict("taken").with_field("name", "taken"),
            Problem::method_not_allowed("GET, HEAD"),
            Problem::range_not_satisfiable(7),
        ] {
            assert_eq!(Problem::from(Status::from(problem.clone())), problem);
        }
    }

    #[test]
    fn errors_of_the_store_of_files_tell_what_to_do() {
        let answer = |error: BlobError| Problem::from(error).into_response();
        let range = answer(BlobError::BadRange { size: 7 });
        assert_eq!(range.status(), StatusCode::RANGE_NOT_SATISFIABLE);
        assert_eq!(range.headers()[header::CONTENT_RANGE], "bytes */7");
        let down = answer(BlobError::Unavailable("http://10.0.0.7 refused".into()));
        assert_eq!(down.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(down.headers()[header::RETRY_AFTER], "1");
        let inside = Problem::from(BlobError::Other("key GK123".into()));
        assert_eq!(inside, Problem::internal());
    }

    #[test]
    fn a_foreign_status_says_nothing_of_the_inside() {
        let problem = Problem::from(Status::internal("SELECT * FROM users at 10.0.0.7"));
        assert_eq!(problem, Problem::internal());
    }
}
