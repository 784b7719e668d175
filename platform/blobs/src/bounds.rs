//! How long a request to the store may take, how many there are at a time, and what became of them.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use telemetry::Context;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::{BlobError, BlobSettings};

/// The bounds of one store. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Bounds {
    engine: &'static str,
    longest: Duration,
    uploads: Arc<Semaphore>,
    requests: Arc<Semaphore>,
}

impl Bounds {
    pub(crate) fn new(engine: &'static str, settings: &BlobSettings) -> Self {
        Self {
            engine,
            longest: Duration::from_secs(settings.timeout_seconds.max(1)),
            uploads: Arc::new(Semaphore::new(settings.uploads.max(1))),
            requests: Arc::new(Semaphore::new(settings.requests.max(1))),
        }
    }

    /// The longest that a request or a pause may take.
    pub(crate) fn longest(&self) -> Duration {
        self.longest
    }

    /// A seat among the uploads.
    pub(crate) async fn seat(&self) -> Result<OwnedSemaphorePermit, BlobError> {
        let seat = Arc::clone(&self.uploads).acquire_owned();
        // Never closed.
        let seat = async { seat.await.map_err(|error| BlobError::Other(error.to_string())) };
        self.within(seat).await
    }

    /// One request to the store: takes its turn and its time.
    pub(crate) async fn request<T>(
        &self,
        operation: &'static str,
        request: impl Future<Output = Result<T, BlobError>>,
    ) -> Result<T, BlobError> {
        let outcome = self
            .within(async {
                let _turn = self.requests.acquire().await;
                request.await
            })
            .await;
        let kind = outcome.as_ref().err().map_or("ok", BlobError::kind);
        metrics::counter!("blob_requests_total",
            "engine" => self.engine, "operation" => operation, "outcome" => kind)
        .increment(1);
        outcome
    }

    /// No longer than allowed, nor than the caller has.
    pub(crate) async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, BlobError>>,
    ) -> Result<T, BlobError> {
        let left = Context::with_current(Context::time_left).flatten();
        let longest = left.map_or(self.longest, |left| left.min(self.longest));
        timeout(longest, work).await.unwrap_or_else(|_| Err(late(longest)))
    }
}

pub(crate) fn late(longest: Duration) -> BlobError {
    BlobError::Unavailable(format!("no answer within {:.1} s", longest.as_secs_f64()))
}

/// Runs `work` to its end even if the caller goes away.
pub(crate) async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, BlobError>> + Send + 'static,
) -> Result<T, BlobError> {
    tokio::spawn(work).await.unwrap_or_else(|error| Err(BlobError::Other(error.to_string())))
}
