//! A blob that is written piece by piece.

use aws_lc_rs::digest::{self, SHA256};
use bytes::{Buf, Bytes, BytesMut};
use tokio::sync::OwnedSemaphorePermit;

use crate::blobs::Store;
use crate::bounds::{Bounds, detached};
use crate::folder::Temporary;
use crate::s3::Parts;
use crate::{BlobError, Key};

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its size in bytes.
    pub size: u64,
    /// The SHA-256 of its content.
    pub sha256: [u8; 32],
    /// Its entity tag; see [`crate::Info::etag`].
    pub etag: String,
}

impl Written {
    /// The SHA-256 in lower-case hexadecimal digits.
    #[must_use]
    pub fn sha256_hex(&self) -> String {
        hex::encode(self.sha256)
    }
}

/// A blob that is written piece by piece and seen by nobody before [`Upload::finish`]. Dropping it
/// gives it up.
pub struct Upload {
    store: Store,
    bounds: Bounds,
    key: Key,
    limit: u64,
    size: u64,
    hash: digest::Context,
    /// Less than a part, in bytes.
    buffer: BytesMut,
    sink: Sink,
    seat: OwnedSemaphorePermit,
}

/// Where it goes; nowhere yet before there is a part.
enum Sink {
    Nowhere,
    File(Temporary),
    Parts(Parts),
    /// An earlier write failed.
    Broken,
}

impl Upload {
    pub(crate) fn new(
        store: Store,
        bounds: Bounds,
        key: Key,
        limit: u64,
        seat: OwnedSemaphorePermit,
    ) -> Self {
        let hash = digest::Context::new(&SHA256);
        let (buffer, sink) = (BytesMut::new(), Sink::Nowhere);
        Self { store, bounds, key, limit, size: 0, hash, buffer, sink, seat }
    }

    /// Writes the next bytes. Waits while enough is under way.
    ///
    /// # Errors
    /// After one, nothing can be written any more and the upload cannot be finished.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), BlobError> {
        self.size += bytes.len() as u64;
        if self.size > self.limit {
            self.sink = Sink::Broken;
            return Err(BlobError::TooLarge { limit: self.limit });
        }
        self.hash.update(&bytes);
        let part = self.store.part();
        while self.buffer.len() + bytes.len() >= part {
            let missing = part - self.buffer.len();
            self.buffer.extend_from_slice(&bytes[..missing]);
            bytes.advance(missing);
            self.flush().await?;
        }
        self.buffer.extend_from_slice(&bytes);
        Ok(())
    }

    /// Sends what is in the buffer.
    async fn flush(&mut self) -> Result<(), BlobError> {
        let bytes = self.buffer.split().freeze();
        // Broken, unless it comes to its end.
        let sink = std::mem::replace(&mut self.sink, Sink::Broken);
        self.sink = match (sink, &self.store) {
            (Sink::Broken, _) => return Err(broken()),
            (Sink::Nowhere, Store::Folder(folder)) => {
                let mut file = self.bounds.request("begin", Temporary::create(folder)).await?;
                self.bounds.request("part", file.write(bytes)).await?;
                Sink::File(file)
            }
            (Sink::Nowhere, Store::S3(s3)) => {
                let mut parts = Parts::begin(s3, &self.bounds, &self.key).await?;
                parts.send(bytes).await?;
                Sink::Parts(parts)
            }
            (Sink::File(mut file), _) => {
                self.bounds.request("part", file.write(bytes)).await?;
                Sink::File(file)
            }
            (Sink::Parts(mut parts), _) => {
                self.bounds.within(parts.send(bytes)).await?;
                Sink::Parts(parts)
            }
        };
        Ok(())
    }

    /// Makes it a blob, durably, in place of any that the key had. It is carried out even if the
    /// caller goes away.
    ///
    /// # Errors
    /// After [`BlobError::Unavailable`] it may have been carried out all the same, or be so a little
    /// later. [`BlobError::Superseded`] where the store drops an upload when a later one of the same
    /// key is completed first.
    pub async fn finish(self) -> Result<Written, BlobError> {
        detached(self.complete()).await
    }

    async fn complete(mut self) -> Result<Written, BlobError> {
        let small = matches!(self.sink, Sink::Nowhere);
        if let (true, Store::S3(s3)) = (small, &self.store) {
            let bytes = self.buffer.split().freeze();
            let etag = self.bounds.request("put", s3.put(&self.key, bytes)).await?;
            return Ok(self.written(etag));
        }
        if small || !self.buffer.is_empty() {
            self.flush().await?;
        }
        let etag = match std::mem::replace(&mut self.sink, Sink::Broken) {
            Sink::File(file) => self.bounds.request("complete", file.complete(&self.key)).await?,
            Sink::Parts(parts) => parts.complete().await?,
            Sink::Nowhere | Sink::Broken => return Err(broken()),
        };
        Ok(self.written(etag))
    }

    fn written(self, etag: String) -> Written {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(self.hash.finish().as_ref());
        drop(self.seat);
        Written { size: self.size, sha256, etag }
    }
}

fn broken() -> BlobError {
    BlobError::Unavailable("an earlier write failed".into())
}
