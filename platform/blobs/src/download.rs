//! What is read from a blob.

use std::fmt;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use futures::stream::{BoxStream, Stream, StreamExt, unfold};
use tokio::time::timeout;

use crate::BlobError;
use crate::bounds::late;

/// What is known of a blob without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Its size in bytes.
    pub size: u64,
    /// An entity tag as the header `ETag` has it, with quotes; another one after every write.
    pub etag: String,
    /// When it was written.
    pub modified: SystemTime,
}

/// A blob or a part of it, as a stream of chunks. It ends with an error, and never early without
/// one.
pub struct Download {
    /// What is known of the whole.
    pub info: Info,
    /// The bytes that come.
    pub range: Range<u64>,
    chunks: BoxStream<'static, Result<Bytes, BlobError>>,
}

impl Download {
    pub(crate) fn new(
        info: Info,
        range: Range<u64>,
        chunks: BoxStream<'static, Result<Bytes, BlobError>>,
        longest: Duration,
    ) -> Self {
        let left = range.end - range.start;
        let chunks = unfold(Some((chunks, left)), move |state| next(state, longest)).boxed();
        Self { info, range, chunks }
    }

    /// All of it, in memory.
    ///
    /// # Errors
    /// [`BlobError::TooLarge`] before anything is read if it is more than `at_most` bytes.
    pub async fn bytes(mut self, at_most: u64) -> Result<Bytes, BlobError> {
        let length = self.range.end - self.range.start;
        if length > at_most {
            return Err(BlobError::TooLarge { limit: at_most });
        }
        let mut all = BytesMut::with_capacity(usize::try_from(length).unwrap_or_default());
        while let Some(chunk) = self.next().await {
            all.extend_from_slice(&chunk?);
        }
        Ok(all.freeze())
    }
}

impl Stream for Download {
    type Item = Result<Bytes, BlobError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.chunks.poll_next_unpin(context)
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { info, range, .. } = self;
        f.debug_struct("Download").field("info", info).field("range", range).finish()
    }
}

/// The chunks that are still to come, and how many bytes they have to be.
type Rest = (BoxStream<'static, Result<Bytes, BlobError>>, u64);

async fn next(
    rest: Option<Rest>,
    longest: Duration,
) -> Option<(Result<Bytes, BlobError>, Option<Rest>)> {
    let (mut chunks, left) = rest?;
    let broken = || BlobError::Unavailable(format!("it broke off {left} bytes before its end"));
    let error = match timeout(longest, chunks.next()).await {
        Ok(Some(Ok(chunk))) => match left.checked_sub(chunk.len() as u64) {
            Some(left) => return Some((Ok(chunk), Some((chunks, left)))),
            None => BlobError::Other("the store sent more than was asked for".into()),
        },
        Ok(None) if left == 0 => return None,
        Ok(None) => broken(),
        Ok(Some(Err(error))) => error,
        Err(_) => late(longest),
    };
    Some((Err(error), None))
}
