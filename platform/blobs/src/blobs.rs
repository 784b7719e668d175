//! The store: everything that is done with blobs, in a folder or on S3.

use std::fmt::Display;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt};

use crate::bounds::Bounds;
use crate::folder::Folder;
use crate::s3::S3;
use crate::{BlobError, BlobSettings, ByteRange, Download, Info, Key, Upload, Written};

/// The most keys in a page.
const LONGEST_PAGE: usize = 1000;
/// What is written to a file at a time.
const WRITE: usize = 1024 * 1024;
/// A part of an upload to S3, which takes 10,000 of them, of at least 5 MiB.
const PART: usize = 8 * 1024 * 1024;

/// A store of blobs. Cheap to clone.
#[derive(Clone)]
pub struct Blobs {
    store: Store,
    bounds: Bounds,
    settings: Arc<BlobSettings>,
}

/// Where blobs are kept.
#[derive(Clone)]
pub(crate) enum Store {
    Folder(Folder),
    S3(S3),
}

impl Store {
    /// What is collected before it is sent on, in bytes.
    pub(crate) fn part(&self) -> usize {
        match self {
            Self::Folder(_) => WRITE,
            Self::S3(_) => PART,
        }
    }
}

/// A blob in a page of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: Key,
    /// What is known of it.
    pub info: Info,
}

impl Blobs {
    /// Opens a store. S3 is not spoken to yet: one that is down stops nobody from starting.
    ///
    /// # Errors
    /// [`BlobError::Startup`] with one line that says what to do.
    pub async fn open(settings: &BlobSettings) -> Result<Self, BlobError> {
        let engine = if settings.s3.is_some() { "s3" } else { "folder" };
        let bounds = Bounds::new(engine, settings);
        let store = match &settings.s3 {
            Some(s3) => Store::S3(S3::open(s3, bounds.longest())?),
            None => Store::Folder(Folder::open(settings.folder.clone()).await?),
        };
        Ok(Self { store, bounds, settings: Arc::new(settings.clone()) })
    }

    /// Begins to write a blob of at most so many bytes, and never more than the settings allow.
    ///
    /// # Errors
    /// [`BlobError::Unavailable`] when too many are being written.
    pub async fn upload(&self, key: &Key, at_most: u64) -> Result<Upload, BlobError> {
        let seat = self.bounds.seat().await?;
        let limit = at_most.min(self.settings.max_bytes);
        Ok(Upload::new(self.store.clone(), self.bounds.clone(), key.clone(), limit, seat))
    }

    /// Writes a blob from a stream of at most so many bytes, in place of any that the key has.
    ///
    /// # Errors
    /// [`BlobError::Source`] when the stream has one; [`BlobError::TooLarge`] as soon as it is.
    /// Nothing is written then.
    pub async fn put<E: Display>(
        &self,
        key: &Key,
        at_most: u64,
        bytes: impl Stream<Item = Result<Bytes, E>> + Send,
    ) -> Result<Written, BlobError> {
        let mut upload = self.upload(key, at_most).await?;
        let mut bytes = pin!(bytes);
        while let Some(chunk) = bytes.next().await {
            upload.write(chunk.map_err(|error| BlobError::Source(error.to_string()))?).await?;
        }
        upload.finish().await
    }

    /// Writes a blob that is in memory, in place of any that the key has.
    ///
    /// # Errors
    /// As [`Blobs::put`].
    pub async fn put_bytes(
        &self,
        key: &Key,
        bytes: impl Into<Bytes>,
    ) -> Result<Written, BlobError> {
        let mut upload = self.upload(key, u64::MAX).await?;
        upload.write(bytes.into()).await?;
        upload.finish().await
    }

    /// Reads a blob or a part of it.
    ///
    /// # Errors
    /// [`BlobError::NotFound`], [`BlobError::BadRange`] when it has none of those bytes.
    pub async fn get(&self, key: &Key, range: Option<ByteRange>) -> Result<Download, BlobError> {
        let (info, range, chunks) = match &self.store {
            Store::Folder(folder) => self.bounds.request("get", folder.get(key, range)).await?,
            Store::S3(s3) => self.bounds.request("get", s3.get(key, range)).await?,
        };
        Ok(Download::new(info, range, chunks, self.bounds.longest()))
    }

    /// What is known of a blob.
    ///
    /// # Errors
    /// [`BlobError::NotFound`].
    pub async fn head(&self, key: &Key) -> Result<Info, BlobError> {
        match &self.store {
            Store::Folder(folder) => self.bounds.request("head", folder.head(key)).await,
            Store::S3(s3) => self.bounds.request("head", s3.head(key)).await,
        }
    }

    /// Removes a blob, if it is there.
    ///
    /// # Errors
    /// [`BlobError::Unavailable`]; it may be repeated.
    pub async fn delete(&self, key: &Key) -> Result<(), BlobError> {
        match &self.store {
            Store::Folder(folder) => self.bounds.request("delete", folder.delete(key)).await,
            Store::S3(s3) => self.bounds.request("delete", s3.delete(key)).await,
        }
    }

    /// A page of the blobs beneath `prefix/`, or of all: those after the key `after`, at most `limit`
    /// and at most 1000, in the order of their keys' bytes. The last key of a page is the `after`
    /// of the next; an empty page is the end.
    ///
    /// # Errors
    /// [`BlobError::Unavailable`].
    pub async fn list(
        &self,
        prefix: Option<&Key>,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Listed>, BlobError> {
        let limit = limit.clamp(1, LONGEST_PAGE);
        match &self.store {
            Store::Folder(folder) => {
                self.bounds.request("list", folder.list(prefix, after, limit)).await
            }
            Store::S3(s3) => self.bounds.request("list", s3.list(prefix, after, limit)).await,
        }
    }
}
