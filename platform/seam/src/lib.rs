//! The seam between a generated client and whatever carries its calls: a sibling in the same process
//! is called with the message as it is, one elsewhere through gRPC.
//!
//! Invariant: the caller cannot tell which way was taken, except by how long it took. So thin that
//! the contracts may know it: it holds one trait, which the mesh fulfils.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use tonic::Status;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::metadata::AsciiMetadataValue;

type StdError = Box<dyn std::error::Error + Send + Sync>;

/// A way to one service.
pub trait Seam:
    GrpcService<
        Body,
        Error: Into<StdError>,
        ResponseBody: http_body::Body<Data = Bytes, Error: Into<StdError> + Send> + Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static
{
    /// The service itself as `S`, a trait that a contract generates, if it is in this process.
    fn here<S: ?Sized + Send + Sync + 'static>(&self) -> Option<Arc<S>>;

    /// Runs a call of what [`Seam::here`] gave as if it had come through the service's door: in a
    /// child of the caller's context, until its deadline or `timeout` (what `grpc-timeout` says),
    /// within the service's limits, measured, and a panic as an error. Dropping it cancels it.
    ///
    /// # Errors
    /// Those of `call`, and those of the door, as gRPC would tell them.
    fn enter<T: Send>(
        &self,
        timeout: Option<AsciiMetadataValue>,
        call: impl Future<Output = Result<T, Status>> + Send,
    ) -> impl Future<Output = Result<T, Status>> + Send;
}
