//! `Idempotency-Key`: a `POST` that creates something, sent again, gets the first answer again.
//!
//! Invariants: of all requests with one key, caller and path, one at a time runs, and once one has
//! succeeded no other ever does. What failed leaves the key free. A process that dies in the
//! middle leaves a lease that runs out; the repeat then runs under the same [`OperationId`], by
//! which a saga finds what the first had begun.
//!
//! Source of the semantics: the IETF draft *The Idempotency-Key HTTP Header Field*.

mod fingerprint;
mod store;

use std::sync::Arc;
use std::time::Duration;

use auth::Principal;
use axum::body::Body;
use axum::extract::{FromRequestParts, Request};
use axum::middleware::{FromFnLayer, Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use data::Database;
use futures::future::BoxFuture;
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method};
use telemetry::Context;
use uuid::Uuid;

use crate::{Problem, json};
use fingerprint::{fingerprint, scope};
use store::{Claim, Store};

pub use store::MIGRATIONS;

/// The header with which a client names one attempt to create something.
pub const HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// Set on an answer that is given again.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// How long a key is kept.
pub const KEPT: Duration = Duration::from_secs(24 * 3600);

/// How long a second request waits for the first one's answer.
const WAIT: Duration = Duration::from_secs(30);

/// The keys that a service's clients have used, in the service's own database.
#[derive(Clone)]
pub struct Idempotency {
    store: Arc<Store>,
}

type Middleware =
    fn(axum::extract::State<Idempotency>, Request, Next) -> BoxFuture<'static, Response>;

impl Idempotency {
    /// Keys kept in `db`, which must have [`MIGRATIONS`].
    #[must_use]
    pub fn new(db: Database) -> Self {
        Self { store: Arc::new(Store::new(db)) }
    }

    /// The layer for routes whose `POST` creates something.
    pub fn layer(&self) -> FromFnLayer<Middleware, Self, (axum::extract::State<Self>, Request)> {
        let middleware: Middleware = |axum::extract::State(keys), request, next| {
            Box::pin(async move {
                match keys.handle(request, next).await {
                    Ok(response) => response,
                    Err(problem) => problem.into_response(),
                }
            })
        };
        from_fn_with_state(self.clone(), middleware)
    }

    async fn handle(&self, mut request: Request, next: Next) -> Result<Response, Problem> {
        if request.method() != Method::POST {
            return Ok(next.run(request).await);
        }
        let Some(key) = key(request.headers())? else {
            return Ok(next.run(request).await);
        };
        let caller = Principal::current().map(|principal| principal.user);
        let (parts, body) = request.into_parts();
        let whole = Request::from_parts(parts.clone(), body);
        let body = json::read(whole, &()).await?;
        let fingerprint = fingerprint(&key, &parts.headers, &body);
        let scope = scope(caller, parts.uri.path(), &key, &fingerprint);
        request = Request::from_parts(parts, Body::from(body));
        request.extensions_mut().insert(OperationId(Some(scope)));

        let give_up = tokio::time::Instant::now() + WAIT;
        let owner = loop {
            match self.store.claim(scope, &fingerprint).await? {
                Claim::Ours(owner) => break owner,
                Claim::Done(answer) => return Ok(answer),
                Claim::Other => {
                    return Err(Problem::invalid(
                        "this Idempotency-Key was used with another body",
                    ));
                }
                Claim::Running if tokio::time::Instant::now() > give_up => {
                    return Err(Problem::unavailable(
                        1,
                        "the first request with this Idempotency-Key has not ended yet",
                    ));
                }
                Claim::Running => self.store.wait().await,
            }
        };
        // On a task of its own: a client that goes away leaves a kept answer, not a held key.
        let store = self.store.clone();
        let context = Context::current().unwrap_or_else(Context::background);
        let run = context.scope(async move {
            let response = next.run(request).await;
            store.settle(scope, owner, response).await
        });
        tokio::spawn(run).await.unwrap_or_else(|error| {
            tracing::error!(%error, "a handler panicked");
            Err(Problem::internal())
        })
    }
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(HEADER) else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if (1..=255).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(Problem::bad_request("Idempotency-Key must be 1 to 255 ASCII characters")),
    }
}

/// What a keyed request is known by, the same for each repeat: the id for the saga it starts.
/// `None` without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationId(pub Option<Uuid>);

impl<S: Send + Sync> FromRequestParts<S> for OperationId {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get().copied().unwrap_or(Self(None)))
    }
}

impl OperationId {
    /// The id, or a new one for a request without a key.
    #[must_use]
    pub fn or_new(self) -> Uuid {
        self.0.unwrap_or_else(Uuid::new_v4)
    }
}
