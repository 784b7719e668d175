//! The two cookies that every sign-up and log-in sets.
//!
//! Invariant: scripts cannot read them, other sites' forms and fetches do not send them.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, header};

use crate::grant::Grant;
use crate::settings::Settings;

const ACCESS: &str = "accessToken";
const REFRESH: &str = "refreshToken";

/// An answer that signs its reader in. It is not to be cached anywhere.
pub(super) fn signed_in(answer: impl IntoResponse, grant: &Grant, settings: &Settings) -> Response {
    let mut response = answer.into_response();
    set(response.headers_mut(), grant, settings);
    response
}

/// Adds the cookies of a grant.
pub(super) fn set(headers: &mut HeaderMap, grant: &Grant, settings: &Settings) {
    let session = settings.session_millis() / 1000;
    let access = i64::try_from(settings.access_lifetime().as_secs()).unwrap_or(i64::MAX);
    append(headers, ACCESS, &grant.access, access, settings);
    append(headers, REFRESH, grant.refresh.expose(), session, settings);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// An answer that signs its reader out.
pub(super) fn signed_out(answer: impl IntoResponse, settings: &Settings) -> Response {
    let mut response = answer.into_response();
    for name in [ACCESS, REFRESH] {
        append(response.headers_mut(), name, "", 0, settings);
    }
    response
}

/// The refresh token that came as a cookie.
pub(super) fn refresh_token(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, value)| *name == REFRESH && !value.is_empty())
        .map(|(_, value)| value)
}

fn append(headers: &mut HeaderMap, name: &str, value: &str, seconds: i64, settings: &Settings) {
    let secure = if settings.secure_cookies { "; Secure" } else { "" };
    let cookie =
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    // Tokens are base64 and dots, all legal in a header.
    if let Ok(mut cookie) = HeaderValue::try_from(cookie) {
        cookie.set_sensitive(true);
        headers.append(header::SET_COOKIE, cookie);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn cookies(settings: &Settings) -> Vec<String> {
        let response = signed_out((), settings);
        let all = response.headers().get_all(header::SET_COOKIE);
        all.iter().map(|cookie| cookie.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn they_are_out_of_reach_and_secure_under_tls() {
        let plain = cookies(&Settings::default());
        assert_eq!(plain[0], "accessToken=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
        let secure = cookies(&Settings { secure_cookies: true, ..Settings::default() });
        assert!(secure.iter().all(|cookie| cookie.ends_with("; Secure")), "{secure:?}");
    }

    #[test]
    fn the_token_is_found_among_others() {
        let mut headers = HeaderMap::new();
        assert_eq!(refresh_token(&headers), None);
        headers.append(
            header::COOKIE,
            HeaderValue::from_static("a=b; xrefreshToken=no; refreshToken="),
        );
        headers.append(header::COOKIE, HeaderValue::from_static("theme=dark;refreshToken=yes"));
        assert_eq!(refresh_token(&headers), Some("yes"));
    }
}
