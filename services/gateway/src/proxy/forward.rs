//! Requests on their way to a service.

use std::sync::Arc;

use axum::body::Body;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::{PathAndQuery, Uri};
use http::{Method, Request, Response, Version};
use hyper::body::Incoming;
use mesh::Channel;
use rest::Problem;
use telemetry::Context;
use tokio::sync::oneshot;

use super::Visit;
use crate::answer;
use crate::body::Inbound;
use crate::cache::{Landing, Lead};
use crate::connection::Connection;
use crate::edge;
use crate::routes::Compiled;

impl Visit<'_> {
    /// Sends the request to its service.
    ///
    /// # Errors
    /// 413 when the body proves too long, 503 or 504 when there is no answer.
    pub(super) async fn forward(
        &self,
        row: &Compiled,
        channel: &Channel,
        context: Context,
        mut parts: Parts,
        body: Option<Incoming>,
    ) -> Result<Response<Body>, Problem> {
        self.head.clean(&mut parts.headers, false, self.connection.behind_proxy);
        to_origin_form(&mut parts);
        if row.external {
            for_strangers(&mut parts.headers, self.connection, &context);
        }
        let Some(body) = body else {
            let sent = context.scope(channel.send(Request::from_parts(parts, Body::empty()))).await;
            return sent.map_err(|error| answer::undelivered(&error));
        };
        let (body, overrun) = Inbound::new(body, row.max_body_bytes, self.connection.wire.clone());
        let sent = context.scope(channel.send(Request::from_parts(parts, Body::new(body)))).await;
        if overrun.happened() {
            return Err(too_long(row));
        }
        sent.map_err(|error| answer::undelivered(&error))
    }
}

/// 413 of a route.
pub(super) fn too_long(row: &Compiled) -> Problem {
    Problem::too_large(format!("the body is larger than {} bytes", row.max_body_bytes))
}

/// HTTP/2 and proxies' clients name the host in the target; services find it in `Host`.
fn to_origin_form(parts: &mut Parts) {
    parts.version = Version::HTTP_11;
    let Some(authority) = parts.uri.authority() else { return };
    if let Ok(host) = HeaderValue::from_str(authority.as_str()) {
        parts.headers.insert(header::HOST, host);
    }
    let target =
        parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    parts.uri = Uri::from(target);
}

/// What a service that is not Atelier's is told: who is in front of it, and no tokens.
fn for_strangers(headers: &mut HeaderMap, connection: &Connection, context: &Context) {
    const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
    const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
    const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
    if let Some(client) = connection.address_header(context.client) {
        headers.insert(FOR, client);
    }
    if !connection.behind_proxy || !headers.contains_key(PROTO) {
        headers.insert(
            PROTO,
            HeaderValue::from_static(if connection.secure { "https" } else { "http" }),
        );
    }
    if let Some(host) = headers.get(header::HOST).cloned() {
        headers.insert(HOST, host);
    }
    if context.caller.is_some() {
        headers.remove(header::AUTHORIZATION);
    }
    edge::drop_own_cookies(headers);
}

/// The request that fetches an answer for everybody: nothing in it says who asks.
pub(super) fn anonymous(asked: &Parts) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    *request.method_mut() = Method::GET;
    if let Some(target) = asked.uri.path_and_query() {
        *request.uri_mut() = Uri::from(target.clone());
    }
    for name in [header::HOST, header::ACCEPT] {
        if let Some(value) = asked.headers.get(&name) {
            request.headers_mut().insert(name, value.clone());
        }
    }
    request
}

/// How leading a flight ended for the one who led.
pub(super) enum Led {
    Landed(Landing),
    /// With an answer that is theirs alone.
    Own(Response<Body>),
}

/// Makes the call that others wait for. It runs on a task of its own: whoever led may go away.
pub(super) async fn lead(
    connection: &Arc<Connection>,
    channel: &Channel,
    lead: Lead,
    mut context: Context,
    asked: &Parts,
) -> Led {
    let request = anonymous(asked);
    context.caller = None;
    let deadline = context
        .deadline
        .unwrap_or_else(|| tokio::time::Instant::now() + super::cached::FLIGHT_WITHIN);
    context.deadline = Some(deadline);
    let (channel, connection) = (channel.clone(), connection.clone());
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        let led =
            tokio::time::timeout_at(deadline, fly(&connection, &channel, lead, context, request))
                .await;
        // Whoever led may have gone away.
        drop(tell.send(led.unwrap_or(Led::Landed(Landing::Alone))));
    });
    told.await.unwrap_or(Led::Landed(Landing::Alone))
}

async fn fly(
    connection: &Connection,
    channel: &Channel,
    lead: Lead,
    context: Context,
    request: Request<Body>,
) -> Led {
    let shared = &connection.shared;
    let path = request.uri().path().to_owned();
    let row = shared.table.find(&path);
    let (Some(cache), Some((row, params))) = (&shared.cache, row) else {
        return Led::Landed(Landing::Alone);
    };
    let Some(rule) = &row.cache else { return Led::Landed(Landing::Alone) };
    let tags: Vec<String> = rule
        .tags
        .iter()
        .map(|tag| {
            params
                .iter()
                .fold(tag.clone(), |tag, (name, value)| tag.replace(&format!("{{{name}}}"), value))
        })
        .collect();
    let stamp = cache.stamp(tags.iter().map(String::as_str));
    match context.scope(channel.send(request)).await {
        Err(error) => {
            lead.land(Landing::Failed(error.clone()));
            Led::Landed(Landing::Failed(error))
        }
        Ok(response) => match cache.store(lead.key(), rule, stamp, response).await {
            Ok(entry) => {
                lead.land(Landing::Shared(entry.clone()));
                Led::Landed(Landing::Shared(entry))
            }
            Err(response) => {
                lead.land(Landing::Alone);
                Led::Own(response)
            }
        },
    }
}
