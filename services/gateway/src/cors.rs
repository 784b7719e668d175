//! Cross-origin resource sharing by configuration: <https://fetch.spec.whatwg.org/#http-cors-protocol>.
//! Without configuration no other origin may read anything, which is what browsers assume.

use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};

use crate::body::Outbound;
use crate::settings;

const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, idempotency-key, if-match, if-none-match, range, traceparent, x-request-id",
);
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static(
    "age, etag, link, location, retry-after, traceparent, x-cache, x-request-id",
);

/// Which origins may do what.
pub(crate) struct Cors {
    any: bool,
    origins: Vec<HeaderValue>,
    credentials: bool,
    max_age: HeaderValue,
}

impl Cors {
    pub(crate) fn new(settings: &settings::Cors) -> Self {
        let any = settings.origins.iter().any(|origin| origin == "*");
        let origins = settings
            .origins
            .iter()
            .filter_map(|o| HeaderValue::from_str(o.trim_end_matches('/')).ok());
        Self {
            any,
            origins: origins.collect(),
            // A wildcard with cookies would hand every visitor's session to every page.
            credentials: settings.credentials && !any,
            max_age: settings.max_age_seconds.into(),
        }
    }

    /// Whether pages of this origin may act with the cookies of their visitor.
    pub(crate) fn trusts_with_cookies(&self, origin: &HeaderValue) -> bool {
        self.credentials && self.origins.contains(origin)
    }

    /// Adds to an answer what lets pages of `origin` read it, if they may.
    pub(crate) fn allow(&self, headers: &mut HeaderMap, origin: Option<&HeaderValue>) {
        if self.origins.is_empty() {
            return;
        }
        if !self.any {
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
        let Some(origin) = origin.filter(|origin| self.any || self.origins.contains(origin)) else {
            return;
        };
        let origin = if self.any { HeaderValue::from_static("*") } else { origin.clone() };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
        if self.credentials {
            headers
                .insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }

    /// The answer to `OPTIONS`: the methods there are, and for a preflight what it may send.
    pub(crate) fn options(&self, allow: HeaderValue, asked: &HeaderMap) -> Response<Outbound> {
        let mut response = Response::new(Outbound::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        if !self.origins.is_empty() && asked.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, allow.clone());
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        }
        headers.insert(header::ALLOW, allow);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &[&str], credentials: bool) -> Cors {
        let origins = origins.iter().map(ToString::to_string).collect();
        Cors::new(&settings::Cors { origins, credentials, max_age_seconds: 60 })
    }

    fn allowed(cors: &Cors, origin: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        cors.allow(&mut headers, Some(&HeaderValue::from_static(origin)));
        headers
    }

    #[test]
    fn only_the_listed_may_read() {
        let cors = cors(&["https://friend.example/"], true);
        let headers = allowed(&cors, "https://friend.example");
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "https://friend.example");
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        let headers = allowed(&cors, "https://evil.example");
        assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
        assert_eq!(headers[header::VARY], "origin");
    }

    #[test]
    fn anybody_means_without_cookies() {
        let cors = cors(&["*"], true);
        let headers = allowed(&cors, "https://any.example");
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
        assert!(!cors.trusts_with_cookies(&HeaderValue::from_static("https://any.example")));
    }

    #[test]
    fn without_configuration_nothing_is_added() {
        let cors = cors(&[], true);
        assert!(allowed(&cors, "https://friend.example").is_empty());
        let mut asked = HeaderMap::new();
        asked.insert(header::ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("PUT"));
        let answer = cors.options(HeaderValue::from_static("GET"), &asked);
        assert_eq!(answer.headers().len(), 1);
    }
}
