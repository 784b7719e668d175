//! Answers on their way out: what each gets, and what none may show.

use axum::body::Body;
use axum::response::IntoResponse;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use rest::Problem;
use telemetry::{Context, headers};

use crate::body::Outbound;
use crate::head::clean_response;
use crate::trace::Ids;

const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const X_REQUEST_ID: HeaderName = headers::REQUEST_ID;

/// A problem as the client sees it, under the request's own id.
pub(crate) async fn problem(problem: Problem, ids: &Ids) -> Response<Outbound> {
    let context = Context { request_id: ids.request.clone(), ..Context::background() };
    context.scope(async { problem.into_response() }).await.map(Outbound::stream)
}

/// The answer of a service that broke off.
pub(crate) fn bad_gateway() -> Response<Body> {
    Problem::unavailable(1, "the answer of a service broke off").into_response()
}

/// What the mesh could not deliver, as a problem: 503 with `Retry-After`, 504.
pub(crate) fn undelivered(error: &mesh::Error) -> Problem {
    match error.kind() {
        mesh::Kind::Deadline => Problem::timed_out(error.to_string()),
        mesh::Kind::Unavailable | mesh::Kind::Busy | mesh::Kind::Broken => {
            Problem::unavailable(error.retry_after(), error.to_string())
        }
    }
}

/// What of a service's answer may go out. A failure goes out only in the contract's own form: the
/// body of any other could hold a stack or an address.
///
/// # Errors
/// The problem to be shown in its place.
pub(crate) fn inspect(
    mut response: Response<Body>,
    service: &str,
    external: bool,
    ids: &Ids,
) -> Result<Response<Body>, Problem> {
    let status = response.status();
    if status.is_server_error() && (external || !is_problem(response.headers())) {
        tracing::warn!(
            service,
            status = status.as_u16(),
            request_id = &*ids.request,
            "a service failed"
        );
        return Err(match status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY => Problem::unavailable(
                retry_after(response.headers()),
                format!("{service} cannot answer at the moment"),
            ),
            StatusCode::GATEWAY_TIMEOUT => {
                Problem::timed_out(format!("{service} did not answer in time"))
            }
            _ => Problem::internal(),
        });
    }
    if status.is_informational() {
        tracing::warn!(
            service,
            status = status.as_u16(),
            request_id = &*ids.request,
            "an answer that was not asked for"
        );
        return Err(Problem::internal());
    }
    clean_response(response.headers_mut());
    Ok(response)
}

fn is_problem(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/problem+json"))
}

fn retry_after(headers: &HeaderMap) -> u64 {
    headers.get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok()).unwrap_or(1)
}

/// What every answer carries.
pub(crate) fn sign(headers: &mut HeaderMap, ids: Ids) {
    headers.insert(X_REQUEST_ID, ids.request_header);
    headers.insert(headers::TRACEPARENT, ids.trace.to_header());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
}

/// Under TLS no cookie goes out that a plain connection would send back.
pub(crate) fn secure_cookies(headers: &mut HeaderMap) {
    if !headers.contains_key(header::SET_COOKIE) {
        return;
    }
    let cookies: Vec<HeaderValue> =
        headers.get_all(header::SET_COOKIE).iter().map(secured).collect();
    headers.remove(header::SET_COOKIE);
    for cookie in cookies {
        headers.append(header::SET_COOKIE, cookie);
    }
}

fn secured(cookie: &HeaderValue) -> HeaderValue {
    let Ok(text) = cookie.to_str() else { return cookie.clone() };
    if text.split(';').any(|part| part.trim().eq_ignore_ascii_case("secure")) {
        return cookie.clone();
    }
    HeaderValue::try_from(format!("{text}; Secure")).unwrap_or_else(|_| cookie.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> Ids {
        let request = http::Request::new(()).into_parts().0;
        Ids::of(&crate::head::Head::of(&request), &request.headers)
    }

    fn failed(status: u16, kind: &'static str) -> Response<Body> {
        let mut response =
            Response::new(Body::from("panicked at src/store.rs, SELECT * FROM users"));
        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    }

    #[test]
    fn failures_say_nothing_of_the_inside() {
        for (status, kind, external, shown) in [
            (500, "text/plain", false, Some(500)),
            (500, "application/problem+json", false, None),
            (500, "application/problem+json", true, Some(500)),
            (501, "text/html", true, Some(500)),
            (502, "text/html", true, Some(503)),
            (504, "text/html", true, Some(504)),
            (404, "text/html", true, None),
        ] {
            let got = inspect(failed(status, kind), "palettes", external, &ids());
            assert_eq!(
                got.as_ref().err().map(|p| p.status().as_u16()),
                shown,
                "{status} {kind} {external}"
            );
            if let Err(problem) = got {
                assert!(!problem.detail().contains("SELECT"));
            }
        }
    }

    #[test]
    fn cookies_become_secure_once() {
        let mut headers = HeaderMap::new();
        for cookie in ["a=b; Path=/", "c=d; secure"] {
            headers.append(header::SET_COOKIE, HeaderValue::from_static(cookie));
        }
        secure_cookies(&mut headers);
        let cookies: Vec<_> = headers.get_all(header::SET_COOKIE).iter().collect();
        assert_eq!(cookies, ["a=b; Path=/; Secure", "c=d; secure"]);
    }
}
