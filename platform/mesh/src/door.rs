//! The door of a service: every request goes through it, whether a sibling in this process or a
//! connection brought it.
//!
//! Invariant: what happens to a request from here on does not depend on how it came. The context
//! is set, the concurrency limit holds, the deadline ends the handler, a panic becomes a 500.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use futures::FutureExt;
use http::Request;
use telemetry::Context;
use tokio::time::{Instant, timeout_at};
use tower::Service;

use crate::error::{self, Error, Kind};

/// A service of this process, and how many requests it works on.
pub(crate) struct Door {
    service: Arc<str>,
    router: Router,
    limit: usize,
    in_flight: AtomicUsize,
}

impl Door {
    pub(crate) fn new(service: Arc<str>, router: Router, limit: usize) -> Self {
        Self { service, router, limit, in_flight: AtomicUsize::new(0) }
    }

    /// Requests inside.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Lets a request in and brings back the answer. Dropping the future drops the handler.
    pub(crate) async fn enter(
        &self,
        context: Context,
        request: Request<Body>,
    ) -> Result<Response, Error> {
        let grpc = is_grpc(&request);
        // The call itself is inside, too: a router may panic before its first await.
        let answer = self.admit(context, async { self.router.clone().call(request).await }).await?;
        Ok(answer.map_or_else(|Panicked| error::panicked(grpc), |Ok(response)| response))
    }

    /// Runs what somebody at the door asks for: in the context, within its deadline, as one of
    /// those who may be inside at once.
    pub(crate) async fn admit<T>(
        &self,
        context: Context,
        work: impl Future<Output = T>,
    ) -> Result<Result<T, Panicked>, Error> {
        let _place = self.take_place()?;
        let deadline = context.deadline;
        if deadline.is_some_and(|d| d <= Instant::now()) {
            return Err(Error::new(Kind::Deadline, &self.service, 1));
        }
        let work = context.scope(async {
            AssertUnwindSafe(work).catch_unwind().await.map_err(|_| self.panicked())
        });
        match deadline {
            None => Ok(work.await),
            Some(deadline) => timeout_at(deadline, work)
                .await
                .map_err(|_| Error::new(Kind::Deadline, &self.service, 1)),
        }
    }

    fn panicked(&self) -> Panicked {
        // The panic hook has told where; this ties it to the request.
        let id = Context::with_current(|c| c.request_id.clone());
        tracing::error!(service = &*self.service, request_id = id.as_deref(), "handler panicked");
        metrics::counter!("mesh_panics_total", "service" => self.service.to_string()).increment(1);
        Panicked
    }

    fn take_place(&self) -> Result<Place<'_>, Error> {
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let place = Place(&self.in_flight);
        if before < self.limit { Ok(place) } else { Err(Error::new(Kind::Busy, &self.service, 1)) }
    }
}

/// The work panicked; what it said is in the log alone.
pub(crate) struct Panicked;

/// A request's place inside; left when dropped.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a request speaks gRPC, and so wants its errors as a status.
pub(crate) fn is_grpc<B>(request: &Request<B>) -> bool {
    request
        .headers()
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|v| v.as_bytes().starts_with(b"application/grpc"))
}
