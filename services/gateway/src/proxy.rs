//! The way of a request: looked at, admitted, identified, answered from the cache or by its
//! service, and signed on its way out.
//!
//! This is the hot path: what is not asked for costs nothing here, and a plain request allocates
//! only its ids.

mod cached;
mod forward;

use std::sync::Arc;

use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode, Version};
use hyper::body::Incoming;
use mesh::Channel;
use rest::Problem;
use telemetry::Context;
use tokio::time::Instant;

use crate::answer;
use crate::body::Outbound;
use crate::compress::{self, Encoding};
use crate::connection::{Connection, Known};
use crate::edge::{self, Cookies};
use crate::fresh::Writer;
use crate::head::Head;
use crate::limits::{self, SignUp};
use crate::measure;
use crate::pages;
use crate::routes::{Compiled, Methods, Target};
use crate::sockets;
use crate::trace::Ids;

const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
const MISS: HeaderValue = HeaderValue::from_static("miss");

/// Answers one request; `body` is left out when there is none.
pub(crate) async fn serve(
    connection: &Arc<Connection>,
    parts: Parts,
    body: Option<Incoming>,
) -> Response<Outbound> {
    let began = Instant::now();
    let head = Head::of(&parts);
    let ids = Ids::of(&head, &parts.headers);
    let shared = &connection.shared;
    let row = shared.table.find(parts.uri.path()).map(|(row, _)| row);
    let origin = if head.origin { parts.headers.get(header::ORIGIN).cloned() } else { None };
    let (version, has_body) = (parts.version, body.is_some());
    let visit = Visit { connection, head: &head, ids: &ids, began };
    let answered = match row {
        Some(row) => visit.of(row, parts, body).await,
        None => visit.of_nothing(&parts),
    };
    let mut response = match answered {
        Ok(response) => response,
        Err(problem) => {
            if has_body {
                connection.wire.leave_unread();
            }
            let mut response = answer::problem(problem, &ids).await;
            sockets::name_the_protocol(&mut response);
            if response.status() == StatusCode::PAYLOAD_TOO_LARGE && version < Version::HTTP_2 {
                response
                    .headers_mut()
                    .insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            response
        }
    };
    let status = response.status();
    let took = began.elapsed();
    tracing::debug!(target: "gateway::access", request_id = &*ids.request, status = status.as_u16(), micros = took.as_micros());
    row.map_or(&shared.table.unmatched, |row| &row.meters).answered(status, took);
    answer::sign(response.headers_mut(), ids);
    shared.cors.allow(response.headers_mut(), origin.as_ref());
    if connection.secure {
        answer::secure_cookies(response.headers_mut());
    }
    response
}

/// One request on its way.
struct Visit<'a> {
    connection: &'a Arc<Connection>,
    head: &'a Head,
    ids: &'a Ids,
    began: Instant,
}

impl Visit<'_> {
    /// A path that no row has.
    fn of_nothing(&self, parts: &Parts) -> Result<Response<Outbound>, Problem> {
        self.head.check(parts, self.connection.shared.settings.max_header_bytes)?;
        Err(Problem::not_found("there is nothing here"))
    }

    async fn of(
        &self,
        row: &Compiled,
        parts: Parts,
        body: Option<Incoming>,
    ) -> Result<Response<Outbound>, Problem> {
        let shared = &self.connection.shared;
        self.admit(row, &parts, body.is_some())?;
        if parts.method == Method::OPTIONS && !row.external {
            return Ok(shared.cors.options(row.methods.allow_header(), &parts.headers));
        }
        let (service, channel) = match &row.target {
            Target::Service { name, channel } => (name, channel),
            Target::Page(page) => return Ok(pages::answer(shared, *page, self.head, &parts).await),
        };
        // Before the token is looked at: guesses count.
        let (address, limiter) = self.connection.client(&parts.headers);
        if let Some(limiter) = &limiter {
            limits::check(limiter)?;
        }
        let (caller, fresh_cookie) = self.identify(row, &parts).await?;
        let writer = caller
            .as_ref()
            .map_or(Writer::Address(address), |c| Writer::Account(c.pass.principal.user));
        let context = Context {
            request_id: self.ids.request.clone(),
            trace: self.ids.trace,
            deadline: (!row.timeout.is_zero()).then(|| self.began + row.timeout),
            caller: caller.as_ref().map(|c| c.pass.header.clone()),
            client: Some(address),
            fresh: fresh_cookie || shared.freshness.is_fresh(writer, self.began),
        };
        if row.socket {
            return self.socket(row, service, channel, context, caller.as_deref(), parts).await;
        }
        if let Some((cache, rule)) = self.cacheable(row, &parts, &context) {
            return self.cached(cache, rule, row, (service, channel), context, parts).await;
        }
        let signing_up =
            if row.signs_up { shared.limits.sign_up(address)? } else { SignUp::default() };
        let writes = !Methods::is_safe(&parts.method);
        let accepted = self.accepted(&parts);
        let response = self.forward(row, channel, context, parts, body).await?;
        let response = answer::inspect(response, service, row.external, self.ids)?;
        if response.status() == StatusCode::CREATED {
            signing_up.keep();
        }
        let mut response = compress::perhaps(response, accepted).await;
        if writes
            && response.status().is_success()
            && let Some(cookie) = shared.freshness.wrote(writer)
        {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        if row.cache.is_some() {
            response.headers_mut().insert(X_CACHE, MISS);
        }
        Ok(response.map(Outbound::stream))
    }

    /// What can be said without knowing who asks.
    fn admit(&self, row: &Compiled, parts: &Parts, has_body: bool) -> Result<(), Problem> {
        self.head.check(parts, self.connection.shared.settings.max_header_bytes)?;
        if !row.methods.has(&parts.method) && (parts.method != Method::OPTIONS || row.external) {
            measure::refused("method");
            return Err(Problem::method_not_allowed(row.methods.allow()));
        }
        if !has_body {
            return Ok(());
        }
        if self.head.declared_length().is_some_and(|length| length > row.max_body_bytes) {
            measure::refused("length");
            return Err(forward::too_long(row));
        }
        let kind = parts
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !row.types.is_empty() && !row.types.iter().any(|known| known.eq_ignore_ascii_case(kind))
        {
            measure::refused("type");
            return Err(Problem::unsupported_type(format!(
                "the body must be {}",
                row.types.join(" or ")
            )));
        }
        Ok(())
    }

    /// Who asks, and whether their cookie says that they wrote a moment ago.
    async fn identify(
        &self,
        row: &Compiled,
        parts: &Parts,
    ) -> Result<(Option<Arc<Known>>, bool), Problem> {
        let shared = &self.connection.shared;
        if !self.head.authorization && !self.head.cookie {
            return Ok((None, false));
        }
        let cookies = Cookies::of(self.head, &parts.headers);
        edge::check_origin(self.head, parts, &cookies, row.socket, |origin| {
            shared.cors.trusts_with_cookies(origin)
        })?;
        let Some(token) = edge::token(self.head, &parts.headers, &cookies) else {
            return Ok((None, cookies.fresh));
        };
        let caller = edge::caller(self.connection, token, &parts.method, row.stale_tokens).await?;
        if let Some(limiter) = caller.as_ref().and_then(|caller| caller.limiter.as_ref()) {
            limits::check(limiter)?;
        }
        Ok((caller, cookies.fresh))
    }

    async fn socket(
        &self,
        row: &Compiled,
        service: &str,
        channel: &Channel,
        context: Context,
        caller: Option<&Known>,
        parts: Parts,
    ) -> Result<Response<Outbound>, Problem> {
        if !self.head.wants_socket(&parts) {
            return Err(sockets::needs_upgrade());
        }
        let caller = caller.map(|caller| &caller.pass);
        let ask = sockets::Ask { channel, context, caller };
        let response = sockets::open(self.connection, self.head, parts, ask).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response.map(Outbound::stream));
        }
        Ok(answer::inspect(response, service, row.external, self.ids)?.map(Outbound::stream))
    }

    fn accepted(&self, parts: &Parts) -> Option<Encoding> {
        if self.head.accept_encoding && parts.method != Method::HEAD {
            Encoding::accepted(&parts.headers)
        } else {
            None
        }
    }
}
