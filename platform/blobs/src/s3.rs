//! Blobs in a bucket.

mod parts;

use std::ops::Range;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::HttpError;
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, Error, GetOptions, GetRange, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutPayload, RetryConfig,
};

use crate::error::one_line;
use crate::{BlobError, ByteRange, Info, Key, Listed, S3Settings};
pub(crate) use parts::Parts;

/// How often a request is repeated; also how often a download is taken up again.
const RETRIES: usize = 3;

/// A bucket. Cheap to clone.
#[derive(Clone)]
pub(crate) struct S3 {
    store: AmazonS3,
}

impl S3 {
    /// Does not speak to the store yet: one that is down stops nobody from starting.
    pub(crate) fn open(settings: &S3Settings, longest: Duration) -> Result<Self, BlobError> {
        let plain = settings.endpoint.starts_with("http://");
        let client = ClientOptions::new()
            .with_allow_http(plain)
            // Without TLS there is no need that this machine has certificates.
            .with_no_system_certificates(plain)
            .with_connect_timeout(longest.min(Duration::from_secs(5)) / 2)
            // A request may be slow as a whole, if only it goes on; one that hangs is repeated.
            .with_timeout_disabled()
            .with_read_timeout(longest / 2)
            .with_pool_idle_timeout(Duration::from_secs(30));
        let retry = RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(50),
                max_backoff: Duration::from_secs(1),
                base: 3.0,
            },
            max_retries: RETRIES,
            // Counted from the beginning of a download, which may last; each wait has its own bound.
            retry_timeout: Duration::from_secs(24 * 3600),
        };
        let mut builder = AmazonS3Builder::new()
            .with_region(&settings.region)
            .with_bucket_name(&settings.bucket)
            .with_access_key_id(&settings.access_key)
            .with_secret_access_key(&settings.secret_key)
            .with_virtual_hosted_style_request(settings.virtual_hosted)
            // Not every store can delete many at a time.
            .with_disable_bulk_delete(true)
            .with_client_options(client)
            .with_retry(retry);
        if !settings.endpoint.is_empty() {
            builder = builder.with_endpoint(settings.endpoint.trim_end_matches('/'));
        }
        let store = builder.build().map_err(|error| {
            BlobError::Startup(format!("the bucket cannot be used: {}", one_line(error)))
        })?;
        Ok(Self { store })
    }

    pub(crate) async fn put(&self, key: &Key, bytes: Bytes) -> Result<String, BlobError> {
        let put = self.store.put(&path(key), PutPayload::from(bytes)).await.map_err(written)?;
        Ok(put.e_tag.unwrap_or_default())
    }

    pub(crate) async fn get(
        &self,
        key: &Key,
        range: Option<ByteRange>,
    ) -> Result<(Info, Range<u64>, BoxStream<'static, Result<Bytes, BlobError>>), BlobError> {
        let wanted = match range {
            None => None,
            Some(ByteRange::From(first)) => Some(GetRange::Offset(first)),
            Some(ByteRange::Between(first, last)) if last < 1 << 50 => {
                Some(GetRange::Bounded(first..last + 1))
            }
            // Some read such a number into a smaller one.
            Some(ByteRange::Between(first, _)) => Some(GetRange::Offset(first)),
            // Not every store can count from the end, and Garage falls over one that is longer than
            // an empty blob.
            Some(ByteRange::Last(_)) => {
                let size = self.head(key).await?.size;
                let within = range.and_then(|range| range.within(size));
                Some(GetRange::Bounded(within.ok_or(BlobError::BadRange { size })?))
            }
        };
        let options = GetOptions { range: wanted, ..GetOptions::default() };
        match (self.store.get_opts(&path(key), options).await, range) {
            (Ok(found), _) => {
                let (info, range) = (info(&found.meta), found.range.clone());
                Ok((info, range, found.into_stream().map_err(broken_off).boxed()))
            }
            (Err(error), Some(range)) => match read(error) {
                // Refused, perhaps because of the range.
                BlobError::Other(reason) => {
                    let size = self.head(key).await?.size;
                    Err(match range.within(size) {
                        None => BlobError::BadRange { size },
                        Some(_) => BlobError::Other(reason),
                    })
                }
                error => Err(error),
            },
            (Err(error), None) => Err(read(error)),
        }
    }

    pub(crate) async fn head(&self, key: &Key) -> Result<Info, BlobError> {
        self.store.head(&path(key)).await.map(|meta| info(&meta)).map_err(read)
    }

    pub(crate) async fn delete(&self, key: &Key) -> Result<(), BlobError> {
        match self.store.delete(&path(key)).await.map_err(read) {
            Err(BlobError::NotFound) => Ok(()),
            other => other,
        }
    }

    pub(crate) async fn list(
        &self,
        prefix: Option<&Key>,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Listed>, BlobError> {
        let prefix = prefix.map(path);
        let all = match after {
            Some(after) => self.store.list_with_offset(prefix.as_ref(), &path(after)),
            None => self.store.list(prefix.as_ref()),
        };
        // What others put into the bucket under names that are no keys is not ours.
        let ours = |meta: ObjectMeta| {
            let key = Key::new(meta.location.as_ref()).ok();
            std::future::ready(Ok(key.map(|key| Listed { key, info: info(&meta) })))
        };
        all.try_filter_map(ours).take(limit).try_collect().await.map_err(read)
    }
}

fn path(key: &Key) -> Path {
    // Every key is a path as it stands: nothing in it has to be escaped.
    Path::from(key.as_str())
}

fn info(meta: &ObjectMeta) -> Info {
    Info {
        size: meta.size,
        etag: meta.e_tag.clone().unwrap_or_default(),
        modified: SystemTime::from(meta.last_modified),
    }
}

/// For requests that write: what is not found there is the bucket.
fn written(error: Error) -> BlobError {
    match error {
        Error::NotFound { .. } => BlobError::Other(one_line(error)),
        error => read(error),
    }
}

fn read(error: Error) -> BlobError {
    let transport = {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        std::iter::from_fn(|| {
            let this = cause?;
            cause = this.source();
            Some(this.is::<HttpError>())
        })
        .any(|is| is)
    };
    let text = one_line(&error);
    match (error, status(&text)) {
        (Error::NotFound { .. }, _) => BlobError::NotFound,
        // Timed out at the server, too many, and its own errors.
        (_, Some(408 | 429 | 500..)) => BlobError::Unavailable(text),
        _ if transport => BlobError::Unavailable(text),
        _ => BlobError::Other(text),
    }
}

/// For a stream: what cannot be taken up again was replaced by something shorter meanwhile.
fn broken_off(error: Error) -> BlobError {
    match read(error) {
        BlobError::Other(text) if status(&text) == Some(416) => BlobError::Unavailable(text),
        error => error,
    }
}

/// The status that the store answered with. `object_store` tells it in the text alone.
fn status(error: &str) -> Option<u16> {
    let (_, rest) = error.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_that_cannot_be_taken_up_again_may_go_better_anew() {
        let answer = |status: &str| Error::Generic {
            store: "S3",
            source: format!("Server returned non-2xx status code: {status}").into(),
        };
        assert!(broken_off(answer("416 Range Not Satisfiable")).is_transient());
        assert!(broken_off(answer("503 Slow Down")).is_transient());
        assert!(!broken_off(answer("403 Forbidden")).is_transient());
    }
}
