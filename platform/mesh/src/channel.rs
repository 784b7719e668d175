//! A channel to a service: one type, whether the service is in this process or not.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::{self, Poll};

use axum::BoxError;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use telemetry::{Context, headers, parse_timeout};
use tokio::time::{Instant, timeout_at};
use tonic::metadata::MetadataValue;

use crate::Policy;
use crate::door::is_grpc;
use crate::error::{Error, Kind};
use crate::outcome::{Call, Outcome};
use crate::remote::pick::{Choice, hash};
use crate::remote::{self, is_idempotent};
use crate::serve::{SECRET, SERVICE};
use crate::service::Service;
use crate::settings::MeshSettings;
use crate::transport::Way;
use crate::transport::outgoing::Outgoing;

/// Says that a request may be repeated although its method does not (see [`idempotent`]). Never
/// taken over from a client: only who knows the service can say so.
pub const IDEMPOTENT: HeaderName = HeaderName::from_static(MARK);
const MARK: &str = "x-atelier-idempotent";
/// What the name of every header between services begins with.
const INTERNAL: &str = "x-atelier-";

/// A channel to a service. Cheap to clone; a [`tower::Service`] that is always ready, so generated
/// tonic clients stand on it.
///
/// The call runs in a child of the [`Context`] in the request's extensions, or else of the present
/// one. Its deadline is the nearest of the
/// context's, the request's `grpc-timeout`, and `mesh.call_timeout_ms` when there is neither.
#[derive(Clone)]
pub struct Channel {
    pub(crate) route: Arc<Route>,
}

/// What a channel adds to the service it leads to.
pub(crate) struct Route {
    pub(crate) service: Arc<Service>,
    settings: Arc<MeshSettings>,
    policy: Policy,
    pub(crate) external: bool,
    /// The count of [`Policy::RoundRobin`].
    turn: AtomicUsize,
}

impl Channel {
    pub(crate) fn new(service: Arc<Service>, settings: Arc<MeshSettings>) -> Self {
        let policy = Policy::default();
        Self {
            route: Arc::new(Route {
                service,
                settings,
                policy,
                external: false,
                turn: AtomicUsize::new(0),
            }),
        }
    }

    /// The same channel with another way to choose an instance.
    #[must_use]
    pub fn with_policy(self, policy: Policy) -> Self {
        self.with(|route| route.policy = policy)
    }

    /// The same channel to a service that is not one of Atelier's: it is sent the request as it
    /// is, with its request id and trace, and neither the secret nor who the caller is.
    #[must_use]
    pub fn external(self) -> Self {
        self.with(|route| route.external = true)
    }

    /// The name of the service.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.route.service.name
    }

    /// Calls the service. Dropping the future cancels the call. Extensions of the request and the
    /// response, such as those of an upgrade, pass untouched.
    ///
    /// # Errors
    /// [`Error`] if the service gave no answer; whatever it answered is `Ok`. A response of status
    /// 101 either is of a service of this process, which takes the caller's connection over itself,
    /// or carries the instance's `hyper::upgrade::OnUpgrade`, to be joined to the caller's.
    pub async fn send(&self, request: Request<Body>) -> Result<Response, Error> {
        self.route.send(request).await
    }

    fn with(self, change: impl FnOnce(&mut Route)) -> Self {
        let Route { service, settings, policy, external, .. } = &*self.route;
        let mut route = Route {
            service: service.clone(),
            settings: settings.clone(),
            policy: policy.clone(),
            external: *external,
            turn: AtomicUsize::new(0),
        };
        change(&mut route);
        Self { route: Arc::new(route) }
    }
}

impl Route {
    async fn send(&self, mut request: Request<Body>) -> Result<Response, Error> {
        let now = Instant::now();
        let call = Call::begin(&self.service.name, &self.service.meters, now);
        let given = request.extensions_mut().remove::<Context>();
        let timeout = request.headers().get(&headers::TIMEOUT);
        let context = self.context(given, timeout.and_then(|t| t.to_str().ok()), now);
        let answer = match self.service.door.get() {
            Some(door) => door.enter(context, request).await,
            None => self.send_away(context, request, now).await,
        };
        call.finish(Outcome::of(&answer));
        answer
    }

    /// Sends a request to an instance elsewhere.
    async fn send_away(
        &self,
        context: Context,
        request: Request<Body>,
        now: Instant,
    ) -> Result<Response, Error> {
        let deadline = context.deadline;
        let late = || Error::new(Kind::Deadline, &self.service.name, 1);
        if deadline.is_some_and(|d| d <= now) {
            return Err(late());
        }
        let grpc = is_grpc(&request);
        let (mut parts, body) = request.into_parts();
        let marked = parts.headers.remove(IDEMPOTENT).is_some();
        let idempotent = marked || is_idempotent(&parts.method);
        let way = Way::of(&parts, grpc);
        let key = match &self.policy {
            Policy::ConsistentHash(name) => parts.headers.get(name).map(|v| hash(v.as_bytes())),
            _ => None,
        };
        if self.external {
            outside(&context, &mut parts.headers, grpc);
        } else {
            self.inside(&context, &mut parts.headers);
        }
        let sent = async {
            let broken = |_| Error::new(Kind::Broken, &self.service.name, 1);
            let body = Outgoing::new(body, idempotent).await.map_err(broken)?;
            let choice = Choice { policy: &self.policy, turn: &self.turn, key, idempotent };
            let external = self.external;
            let request = remote::Request { parts, body, way, idempotent, deadline, external };
            self.service.remote.send(request, &choice).await
        };
        match deadline {
            Some(deadline) => timeout_at(deadline, sent).await.unwrap_or_else(|_| Err(late())),
            None => sent.await,
        }
    }

    /// What a sibling's door reads.
    fn inside(&self, context: &Context, headers: &mut HeaderMap) {
        context.write_to(headers);
        headers.insert(SERVICE, self.service.label.clone());
        match HeaderValue::from_str(&self.settings.secret) {
            Ok(secret) if !secret.is_empty() => headers.insert(SECRET, secret),
            _ => headers.remove(SECRET),
        };
    }

    /// The context in which the service works; `timeout` is what `grpc-timeout` says.
    pub(crate) fn context(
        &self,
        given: Option<Context>,
        timeout: Option<&str>,
        now: Instant,
    ) -> Context {
        let mut context = given.or_else(Context::current).unwrap_or_else(Context::background);
        context.trace = context.trace.child();
        let asked = timeout.and_then(parse_timeout).and_then(|left| now.checked_add(left));
        context.deadline = match (context.deadline, asked) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (None, None) => self.settings.call_timeout().and_then(|t| now.checked_add(t)),
            (one, other) => one.or(other),
        };
        context
    }
}

/// What a service of somebody else's may know: the request's id, its trace, and in gRPC its time.
fn outside(context: &Context, to: &mut HeaderMap, grpc: bool) {
    // Hardly ever there, and looked for one by one they would cost more than a glance at all.
    if to.keys().any(|name| name.as_str().starts_with(INTERNAL)) {
        for name in [headers::CALLER, headers::CLIENT, headers::FRESH, SERVICE, SECRET] {
            to.remove(name);
        }
    }
    if let Ok(id) = HeaderValue::from_str(&context.request_id) {
        to.insert(headers::REQUEST_ID, id);
    }
    to.insert(headers::TRACEPARENT, context.trace.to_header());
    let left = context.time_left().filter(|_| grpc);
    match left
        .and_then(|l| HeaderValue::from_str(&format!("{}m", l.as_millis().min(99_999_999))).ok())
    {
        Some(left) => to.insert(headers::TIMEOUT, left),
        None => to.remove(headers::TIMEOUT),
    };
}

/// Marks a gRPC request as one that may be repeated, because it only reads or carries an
/// idempotency key that the service honours. Without the mark a call that broke is not retried.
pub fn idempotent<T>(mut request: tonic::Request<T>) -> tonic::Request<T> {
    request.metadata_mut().insert(MARK, MetadataValue::from_static("1"));
    request
}

impl<B> tower::Service<Request<B>> for Channel
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Response, Error>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let route = self.route.clone();
        Box::pin(async move { route.send(request.map(Body::new)).await })
    }
}
