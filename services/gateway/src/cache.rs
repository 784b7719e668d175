//! The response cache: one answer for many who ask the same.
//!
//! Routes opt in ([`crate::routes::CacheRule`]). Invariants: what is stored was fetched in
//! nobody's name and says nothing of being private; simultaneous misses make one call; an entry
//! that was fetched before an invalidation is never served after it; memory is bounded by bytes.

mod entry;
mod flight;
mod tags;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::header::{self, HeaderMap};
use http::{Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use moka::sync::Cache;
use tokio::time::Instant;

use crate::compress::names;
use crate::head::clean_response;
use crate::routes::{CacheRule, Invalidation};

pub(crate) use entry::Entry;
pub(crate) use flight::{Flight, Landing, Lead, wait};
pub(crate) use tags::{Stamp, Tags};

use flight::Flights;

/// Larger answers are not cached.
const LARGEST: u64 = 1024 * 1024;
/// What an entry costs beside its bytes, roughly.
const OVERHEAD: u32 = 1024;
/// For how long callers go each their own way after an answer proved to be uncacheable.
const PASS_FOR: Duration = Duration::from_secs(1);

type Key = Box<str>;

/// Cached answers by path, query and, where a route says so, `Accept`.
pub(crate) struct ResponseCache {
    entries: Cache<Key, Held>,
    flights: Flights,
    tags: Tags,
}

/// What is known under a key.
#[derive(Clone)]
enum Held {
    Entry(Arc<Entry>),
    /// The answer cannot be cached; until then nobody waits for another's call.
    Pass(Instant),
}

/// What the cache says to a request.
pub(crate) enum Found {
    Hit(Arc<Entry>),
    /// Nothing; ask together with others who do.
    Miss(Flight),
    /// Nothing; ask for yourself.
    Pass,
}

impl ResponseCache {
    pub(crate) fn new(bytes: u64) -> Self {
        let entries = Cache::builder().max_capacity(bytes).weigher(|key: &Key, held: &Held| {
            let size = match held {
                Held::Entry(entry) => entry.weight(),
                Held::Pass(_) => 0,
            };
            u32::try_from(key.len() + size).unwrap_or(u32::MAX).saturating_add(OVERHEAD)
        });
        Self { entries: entries.build(), flights: Flights::default(), tags: Tags::new() }
    }

    /// The entry of a key, or the flight that brings it.
    pub(crate) fn find(&self, key: &str) -> Found {
        match self.look_up(key) {
            Some(Held::Entry(entry)) => Found::Hit(entry),
            Some(Held::Pass(_)) => Found::Pass,
            None => match self.flights.board(key) {
                // It may have landed between the two looks.
                Flight::Lead(lead) => match self.look_up(key) {
                    Some(Held::Entry(entry)) => {
                        lead.land(Landing::Shared(entry.clone()));
                        Found::Hit(entry)
                    }
                    _ => Found::Miss(Flight::Lead(lead)),
                },
                follow @ Flight::Follow(_) => Found::Miss(follow),
            },
        }
    }

    fn look_up(&self, key: &str) -> Option<Held> {
        let now = Instant::now();
        self.entries.get(key).filter(|held| match held {
            Held::Entry(entry) => entry.expires_at() > now && self.tags.is_current(entry.stamp()),
            Held::Pass(until) => *until > now,
        })
    }

    /// The state of some tags, to be taken before the call whose answer is to be stored.
    pub(crate) fn stamp<'a>(&self, tags: impl IntoIterator<Item = &'a str>) -> Stamp {
        self.tags.stamp(tags)
    }

    /// Stores an answer if it may be; otherwise gives it back.
    pub(crate) async fn store(
        &self,
        key: &str,
        rule: &CacheRule,
        stamp: Stamp,
        response: Response<Body>,
    ) -> Result<Arc<Entry>, Response<Body>> {
        let Some(keep) = lifetime(rule, &response) else {
            if response.status() == StatusCode::OK {
                self.entries.insert(key.into(), Held::Pass(Instant::now() + PASS_FOR));
            }
            return Err(response);
        };
        let (mut parts, body) = response.into_parts();
        // Its length is known and small; should it break off, the caller asks again.
        let Ok(bytes) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
            return Err(crate::answer::bad_gateway());
        };
        clean_response(&mut parts.headers);
        let entry = Arc::new(Entry::new(parts.headers, bytes, keep, stamp));
        self.entries.insert(key.into(), Held::Entry(entry.clone()));
        Ok(entry)
    }

    /// Drops what a tag names.
    pub(crate) fn invalidate(&self, rules: &[Invalidation], event: &str, key: &str) {
        for rule in rules.iter().filter(|rule| is_named(&rule.event, event)) {
            for tag in &rule.tags {
                self.tags.advance(&tag.replace("{key}", key));
            }
        }
    }
}

/// Whether a pattern names an event: exactly, or up to a `*` at its end.
fn is_named(pattern: &str, event: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => event.starts_with(beginning),
        None => pattern == event,
    }
}

/// How long an answer may be kept; `None`: not at all.
fn lifetime(rule: &CacheRule, response: &Response<Body>) -> Option<Duration> {
    let headers = response.headers();
    let has = |word| names(headers, header::CACHE_CONTROL, word);
    let public = response.status() == StatusCode::OK
        && !headers.contains_key(header::SET_COOKIE)
        && !headers.contains_key(header::CONTENT_ENCODING)
        && !has("private")
        && !has("no-store")
        && !has("no-cache")
        && varies_only_as_known(headers, rule.by_accept)
        && response.body().size_hint().exact().is_some_and(|length| length <= LARGEST);
    let keep = Duration::from_millis(rule.ms);
    let keep = max_age(headers).map_or(keep, |age| keep.min(age));
    (public && !keep.is_zero()).then_some(keep)
}

fn varies_only_as_known(headers: &HeaderMap, by_accept: bool) -> bool {
    let lines = headers.get_all(header::VARY).iter().map(|line| line.to_str().unwrap_or("*"));
    lines.flat_map(|line| line.split(',')).all(|name| {
        let name = name.trim().to_ascii_lowercase();
        matches!(&*name, "" | "accept-encoding" | "origin") || (name == "accept" && by_accept)
    })
}

/// `s-maxage`, else `max-age`.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let lines =
        || headers.get_all(header::CACHE_CONTROL).iter().filter_map(|line| line.to_str().ok());
    let seconds = |name: &str| {
        lines()
            .flat_map(|line| line.split(','))
            .find_map(|one| one.trim().strip_prefix(name)?.strip_prefix('=')?.parse().ok())
    };
    seconds("s-maxage").or_else(|| seconds("max-age")).map(Duration::from_secs)
}

#[cfg(test)]
mod tests;
