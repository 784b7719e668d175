//! Who asks: tokens are checked here and nowhere further in.
//!
//! `Authorization: Bearer` counts, else the `accessToken` cookie. Invariant: a request goes on in
//! somebody's name only with a token that verifies now; one with a bad token is refused, except
//! that a bad *cookie* on a read is passed over (a browser cannot drop it, and what is public stays
//! public), and that routes on which one signs in or leaves pass over all bad tokens.

use std::net::IpAddr;
use std::sync::Arc;

use auth::AuthError;
use http::Method;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use rest::Problem;

use crate::connection::{Connection, Known};
use crate::head::Head;
use crate::measure;
use crate::routes::{Methods, StaleTokens};

/// The cookie that carries the access token.
const ACCESS: &str = "accessToken";
/// The cookie that carries the refresh token.
const REFRESH: &str = "refreshToken";
/// Set after a write, read here and at other gateways: answer this caller without caches.
pub(crate) const FRESH: &str = "fresh";

/// What the cookies of a request say.
#[derive(Debug, Default)]
pub(crate) struct Cookies<'a> {
    access: Option<&'a str>,
    refresh: bool,
    pub(crate) fresh: bool,
}

impl<'a> Cookies<'a> {
    /// Reads the cookies of ours; of two with one name the first counts, as browsers order them.
    pub(crate) fn of(head: &Head, headers: &'a HeaderMap) -> Self {
        let mut cookies = Self::default();
        if !head.cookie {
            return cookies;
        }
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        for (name, value) in
            lines.flat_map(|line| line.split(';')).filter_map(|one| one.split_once('='))
        {
            let value = value.trim().trim_matches('"');
            match name.trim() {
                _ if value.is_empty() => {}
                ACCESS if cookies.access.is_none() => cookies.access = Some(value),
                REFRESH => cookies.refresh = true,
                FRESH => cookies.fresh = true,
                _ => {}
            }
        }
        cookies
    }

    /// Whether the cookies could speak for somebody.
    fn identify(&self) -> bool {
        self.access.is_some() || self.refresh
    }
}

/// A token that a request carries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token<'a> {
    text: &'a str,
    from_cookie: bool,
}

/// The token that counts. `Authorization` with another scheme, or with none, is a token that no
/// key verifies.
pub(crate) fn token<'a>(
    head: &Head,
    headers: &'a HeaderMap,
    cookies: &Cookies<'a>,
) -> Option<Token<'a>> {
    if head.authorization {
        return Some(Token { text: bearer(headers).unwrap_or_default(), from_cookie: false });
    }
    cookies.access.map(|text| Token { text, from_cookie: true })
}

/// Who a request speaks for.
///
/// # Errors
/// 401 for a token that does not verify, 503 while none can be verified.
pub(crate) async fn caller(
    connection: &Connection,
    token: Token<'_>,
    method: &Method,
    stale: StaleTokens,
) -> Result<Option<Arc<Known>>, Problem> {
    match connection.recognise(token.text).await {
        Ok(known) => Ok(Some(known)),
        Err(_) if stale == StaleTokens::Ignore => Ok(None),
        Err(_) if token.from_cookie && is_read(method) => Ok(None),
        Err(AuthError::UnknownKey) if !connection.shared.keys.are_known() => {
            Err(Problem::unavailable(1, "tokens cannot be checked at the moment"))
        }
        Err(error) => Err(refuse(error)),
    }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn refuse(error: AuthError) -> Problem {
    measure::refused("token");
    tracing::debug!(%error, "token refused");
    Problem::new(http::StatusCode::UNAUTHORIZED, error.to_string())
}

/// The token of `Authorization: Bearer TOKEN` (RFC 6750, 2.1), the scheme in any case.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Refuses what a foreign page makes a browser send with the cookies of its user: writes, and
/// sockets, which browsers open across origins without asking (CSRF).
///
/// # Errors
/// 403.
pub(crate) fn check_origin(
    head: &Head,
    request: &Parts,
    cookies: &Cookies<'_>,
    socket: bool,
    allowed: impl Fn(&HeaderValue) -> bool,
) -> Result<(), Problem> {
    let risky = socket || !Methods::is_safe(&request.method);
    if !risky || head.authorization || !cookies.identify() {
        return Ok(());
    }
    let headers = &request.headers;
    let foreign = match headers.get(header::ORIGIN) {
        Some(origin) => !is_own(origin, request) && !allowed(origin),
        // Old browsers send no Origin with forms; this header they do not know either.
        None => headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site"),
    };
    if foreign {
        measure::refused("origin");
        return Err(Problem::forbidden("this origin may not act with the cookies of another"));
    }
    Ok(())
}

/// Takes the cookies of Atelier out of what a stranger gets to see.
pub(crate) fn drop_own_cookies(headers: &mut HeaderMap) {
    if !headers.contains_key(header::COOKIE) {
        return;
    }
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let is_own = |one: &&str| {
        matches!(one.split('=').next().unwrap_or_default().trim(), ACCESS | REFRESH | FRESH)
    };
    let left: Vec<&str> =
        lines.flat_map(|line| line.split(';')).filter(|one| !is_own(one)).map(str::trim).collect();
    let left = HeaderValue::try_from(left.join("; "));
    headers.remove(header::COOKIE);
    if let Ok(left) = left
        && !left.is_empty()
    {
        headers.insert(header::COOKIE, left);
    }
}

/// Whether an origin is the one that the request was sent to. The scheme is left aside: a proxy in
/// front may have taken the TLS off.
fn is_own(origin: &HeaderValue, request: &Parts) -> bool {
    let host = match request.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => request.headers.get(header::HOST).and_then(|host| host.to_str().ok()),
    };
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    match (origin, host) {
        (Some((scheme, origin)), Some(host)) => {
            let port = if scheme == "https" { ":443" } else { ":80" };
            let bare = |authority: &str| {
                authority.strip_suffix(port).unwrap_or(authority).to_ascii_lowercase()
            };
            bare(origin) == bare(host)
        }
        _ => false,
    }
}

/// The client's address: the peer's, or what a trusted proxy says of it. Of a list the last entry
/// that no trusted proxy wrote counts; those before it are the client's own claim.
pub(crate) fn client_address(
    peer: IpAddr,
    headers: &HeaderMap,
    trusted: impl Fn(IpAddr) -> bool,
) -> IpAddr {
    if !trusted(peer) {
        return peer;
    }
    let mut address = peer;
    let lines = headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok());
    let entries: Vec<&str> = lines.flat_map(|line| line.split(',')).collect();
    for entry in entries.into_iter().rev() {
        let Ok(hop) = entry.trim().parse::<IpAddr>() else { break };
        address = hop.to_canonical();
        if !trusted(hop) {
            break;
        }
    }
    address
}

#[cfg(test)]
mod tests;
