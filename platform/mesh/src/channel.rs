//! A channel to a service: one type, whether the service is in this process or not.

use std::sync::Arc;
use std::task::{self, Poll};

use axum::BoxError;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::Request;
use telemetry::{Context, headers, parse_timeout};
use tokio::time::Instant;

use crate::Policy;
use crate::error::{Error, Kind};
use crate::outcome::{Call, Outcome};
use crate::service::Service;
use crate::settings::MeshSettings;

/// A channel to a service. Cheap to clone; a [`tower::Service`] that is always ready, so generated
/// tonic clients stand on it.
///
/// The call runs in a child of the present [`Context`]. Its deadline is the nearest of the
/// context's, the request's `grpc-timeout`, and `mesh.call_timeout_ms` when there is neither.
#[derive(Clone)]
pub struct Channel {
    route: Arc<Route>,
}

/// What a channel adds to the service it leads to.
struct Route {
    service: Arc<Service>,
    settings: Arc<MeshSettings>,
    policy: Policy,
    external: bool,
}

impl Channel {
    pub(crate) fn new(service: Arc<Service>, settings: Arc<MeshSettings>) -> Self {
        let route = Route { service, settings, policy: Policy::default(), external: false };
        Self { route: Arc::new(route) }
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
    /// [`Error`] if the service gave no answer; whatever it answered is `Ok`.
    pub async fn send(&self, request: Request<Body>) -> Result<Response, Error> {
        self.route.send(request).await
    }

    fn with(self, change: impl FnOnce(&mut Route)) -> Self {
        let Route { service, settings, policy, external } = &*self.route;
        let mut route = Route {
            service: service.clone(),
            settings: settings.clone(),
            policy: policy.clone(),
            external: *external,
        };
        change(&mut route);
        Self { route: Arc::new(route) }
    }
}

impl Route {
    async fn send(&self, request: Request<Body>) -> Result<Response, Error> {
        let now = Instant::now();
        let call = Call::begin(&self.service.name, &self.service.meters, now);
        let context = self.context(&request, now);
        let answer = match self.service.door.get() {
            Some(door) => door.enter(context, request).await,
            None => Err(Error::new(Kind::Unavailable, &self.service.name, 1)),
        };
        call.finish(Outcome::of(&answer));
        answer
    }

    /// The context in which the service works.
    fn context(&self, request: &Request<Body>, now: Instant) -> Context {
        let mut context = Context::current().unwrap_or_else(Context::background);
        context.trace = context.trace.child();
        let asked = request
            .headers()
            .get(&headers::TIMEOUT)
            .and_then(|v| parse_timeout(v.to_str().ok()?))
            .and_then(|left| now.checked_add(left));
        context.deadline = match (context.deadline, asked) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (None, None) => self.settings.call_timeout().and_then(|t| now.checked_add(t)),
            (one, other) => one.or(other),
        };
        context
    }
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
