//! A blob that is sent in parts: seen when all are there, removed when it is given up.

use std::mem;

use bytes::Bytes;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{Error, MultipartId, PutPayload};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::{S3, path, read, written};
use crate::bounds::{Bounds, detached};
use crate::error::one_line;
use crate::{BlobError, Key};

/// Parts that are under way at a time.
const AT_A_TIME: usize = 2;

/// An upload in parts. Dropping it aborts it.
pub(crate) struct Parts {
    s3: S3,
    bounds: Bounds,
    path: Path,
    /// [`None`] once it is completed.
    id: Option<MultipartId>,
    sending: JoinSet<Result<(usize, PartId), BlobError>>,
    sent: Vec<(usize, PartId)>,
    next: usize,
}

impl Parts {
    pub(crate) async fn begin(s3: &S3, bounds: &Bounds, key: &Key) -> Result<Self, BlobError> {
        let (s3, bounds, path) = (s3.clone(), bounds.clone(), path(key));
        // On a task of its own: if the caller goes away meanwhile, what has begun is dropped here
        // and aborted, instead of being known to nobody.
        detached(async move {
            let begin = async { s3.store.create_multipart(&path).await.map_err(written) };
            let id = bounds.request("begin", begin).await?;
            let (sending, sent) = (JoinSet::new(), Vec::new());
            Ok(Self { s3, bounds, path, id: Some(id), sending, sent, next: 0 })
        })
        .await
    }

    /// Sends the next part, once there are few enough under way. All but the last have the same
    /// size, of at least 5 MiB.
    pub(crate) async fn send(&mut self, part: Bytes) -> Result<(), BlobError> {
        while self.sending.len() >= AT_A_TIME {
            self.arrival().await?;
        }
        let (s3, bounds, path) = (self.s3.clone(), self.bounds.clone(), self.path.clone());
        let (id, index) = (self.id.clone().unwrap_or_default(), self.next);
        self.next += 1;
        self.sending.spawn(async move {
            let part = PutPayload::from(part);
            // Some stores drop an upload when a later one of the same key is there first.
            let send = async {
                s3.store.put_part(&path, &id, index, part).await.map_err(|error| match error {
                    Error::NotFound { .. } => BlobError::Superseded,
                    error => read(error),
                })
            };
            Ok((index, bounds.request("part", send).await?))
        });
        Ok(())
    }

    /// Waits for one of the parts under way.
    async fn arrival(&mut self) -> Result<(), BlobError> {
        match self.sending.join_next().await {
            Some(Ok(part)) => self.sent.push(part?),
            Some(Err(error)) => return Err(BlobError::Other(error.to_string())),
            None => {}
        }
        Ok(())
    }

    /// Makes the blob of all parts. Tells its entity tag.
    pub(crate) async fn complete(mut self) -> Result<String, BlobError> {
        while !self.sending.is_empty() {
            self.arrival().await?;
        }
        self.sent.sort_by_key(|(index, _)| *index);
        let parts = mem::take(&mut self.sent).into_iter().map(|(_, part)| part).collect();
        let id = self.id.clone().unwrap_or_default();
        let complete = async {
            // Gone: dropped as above, or completed by a request whose answer was lost.
            self.s3.store.complete_multipart(&self.path, &id, parts).await.map_err(|error| {
                match error {
                    Error::NotFound { .. } => BlobError::Unavailable(one_line(error)),
                    error => read(error),
                }
            })
        };
        let put = self.bounds.request("complete", complete).await?;
        self.id = None;
        Ok(put.e_tag.unwrap_or_default())
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        let (Some(id), Ok(runtime)) = (self.id.take(), Handle::try_current()) else { return };
        let (s3, bounds, path) = (self.s3.clone(), self.bounds.clone(), self.path.clone());
        let mut sending = mem::take(&mut self.sending);
        runtime.spawn(async move {
            // A part that arrives after the abort would stay.
            while sending.join_next().await.is_some() {}
            let abort = async { s3.store.abort_multipart(&path, &id).await.map_err(read) };
            match bounds.request("abort", abort).await {
                Ok(()) | Err(BlobError::NotFound) => {}
                Err(error) => tracing::warn!(%error, %path, "parts of an upload stay behind"),
            }
        });
    }
}
