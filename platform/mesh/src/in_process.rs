//! Calls of a sibling in this process with the message as it is: no bytes, no HTTP.
//!
//! Invariant: they go through the same door as all others, are counted by the same metrics, and end
//! with the same status.

use std::sync::Arc;

use rest::Problem;
use seam::Seam;
use tokio::time::Instant;
use tonic::Status;
use tonic::metadata::AsciiMetadataValue;

use crate::Channel;
use crate::door::Panicked;
use crate::error::{Error, Kind};
use crate::outcome::{Call, Outcome};

impl Seam for Channel {
    fn here<S: ?Sized + Send + Sync + 'static>(&self) -> Option<Arc<S>> {
        if self.route.external { None } else { self.route.service.as_offered() }
    }

    async fn enter<T: Send>(
        &self,
        timeout: Option<AsciiMetadataValue>,
        call: impl Future<Output = Result<T, Status>> + Send,
    ) -> Result<T, Status> {
        let (route, now) = (&self.route, Instant::now());
        let service = &route.service;
        let measured = Call::begin(&service.name, &service.meters, now);
        let timeout = timeout.as_ref().and_then(|timeout| timeout.to_str().ok());
        let context = route.context(None, timeout, now);
        let admitted = match service.door.get() {
            Some(door) => door.admit(context, call).await,
            // It is not there: whoever asked was told so by `here`.
            None => Err(Error::new(Kind::Unavailable, &service.name, 1)),
        };
        let (outcome, result) = match admitted {
            Err(error) => (Outcome::of_error(&error), Err(Status::from_error(Box::new(error)))),
            Ok(Err(Panicked)) => (Outcome::ServerError, Err(Problem::internal().into())),
            Ok(Ok(Err(status))) => (Outcome::of_code(status.code()), Err(status)),
            Ok(Ok(Ok(reply))) => (Outcome::Ok, Ok(reply)),
        };
        measured.finish(outcome);
        result
    }
}
