//! Requests that may be answered by what others asked for.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use http::header;
use http::request::Parts;
use http::{Method, Response};
use mesh::Channel;
use rest::Problem;
use telemetry::Context;

use super::{MISS, Visit, X_CACHE, forward};
use crate::answer;
use crate::body::Outbound;
use crate::cache::{Flight, Found, Landing, ResponseCache, wait};
use crate::compress;
use crate::routes::{CacheRule, Compiled};

/// How long a call for the cache may take when its route has no limit of its own.
pub(super) const FLIGHT_WITHIN: Duration = Duration::from_secs(30);

impl Visit<'_> {
    /// The cache and the rule, if this request may be answered by what others asked for.
    pub(super) fn cacheable<'r>(
        &'r self,
        row: &'r Compiled,
        parts: &Parts,
        context: &Context,
    ) -> Option<(&'r ResponseCache, &'r CacheRule)> {
        let rule = row.cache.as_ref()?;
        let cache = self.connection.shared.cache.as_ref()?;
        let read = matches!(parts.method, Method::GET | Method::HEAD) && !self.head.range;
        let own = rule.anonymous_only && context.caller.is_some();
        (read && !own && !context.fresh).then_some((cache, rule))
    }

    pub(super) async fn cached(
        &self,
        cache: &ResponseCache,
        rule: &CacheRule,
        row: &Compiled,
        (service, channel): (&str, &Channel),
        context: Context,
        parts: Parts,
    ) -> Result<Response<Outbound>, Problem> {
        let key = key(rule, &parts);
        let found = cache.find(&key);
        row.meters.looked_up(matches!(found, Found::Hit(_)));
        let landing = match found {
            Found::Hit(entry) => {
                return Ok(entry.answer(&parts.method, self.head, &parts.headers, true).await);
            }
            Found::Pass => Landing::Alone,
            Found::Miss(Flight::Follow(follow)) => wait(follow).await,
            Found::Miss(Flight::Lead(lead)) => {
                match forward::lead(self.connection, channel, lead, context.clone(), &parts).await {
                    forward::Led::Landed(landing) => landing,
                    forward::Led::Own(response) => {
                        return self.uncached(response, service, row, &parts).await;
                    }
                }
            }
        };
        match landing {
            Landing::Shared(entry) => {
                Ok(entry.answer(&parts.method, self.head, &parts.headers, false).await)
            }
            Landing::Failed(error) => Err(answer::undelivered(&error)),
            Landing::Alone => {
                let request = forward::anonymous(&parts);
                let context = Context { caller: None, ..context };
                let sent = context.scope(channel.send(request)).await;
                let response = sent.map_err(|error| answer::undelivered(&error))?;
                self.uncached(response, service, row, &parts).await
            }
        }
    }

    /// An answer that was fetched for the cache and could not go there.
    async fn uncached(
        &self,
        response: Response<Body>,
        service: &str,
        row: &Compiled,
        parts: &Parts,
    ) -> Result<Response<Outbound>, Problem> {
        let response = answer::inspect(response, service, row.external, self.ids)?;
        let mut response = compress::perhaps(response, self.accepted(parts)).await;
        response.headers_mut().insert(X_CACHE, MISS);
        Ok(response.map(Outbound::stream))
    }
}

/// What answers are told apart by.
fn key<'a>(rule: &CacheRule, parts: &'a Parts) -> Cow<'a, str> {
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    if !rule.by_accept {
        return target.into();
    }
    let accept = parts
        .headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .unwrap_or_default();
    format!("{target}\n{accept}").into()
}
