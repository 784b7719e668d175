//! A store for each test, in a folder or on S3.

use std::convert::Infallible;

use blobs::{BlobSettings, Blobs, Key, S3Settings};
use bytes::Bytes;
use futures::stream::{self, Stream};
use tempfile::TempDir;
use testkit::{S3, engine_or_skip};

/// More than any test writes.
pub(crate) const ENOUGH: u64 = 1 << 30;

/// A store and a place in it for one test.
pub(crate) struct World {
    pub(crate) blobs: Blobs,
    place: String,
    folder: Option<TempDir>,
    s3: Option<S3>,
}

pub(crate) async fn folder(test: impl AsyncFnOnce(World)) {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(&BlobSettings::folder(folder.path())).await.unwrap();
    test(World { blobs, place: "test".into(), folder: Some(folder), s3: None }).await;
}

/// On a server that tests share.
pub(crate) async fn s3(test: impl AsyncFnOnce(World)) {
    let server = engine_or_skip!(S3::shared().await);
    let blobs = Blobs::open(&settings(server, &server.url())).await.unwrap();
    let place = format!("test-{:08x}", rand::random::<u32>());
    test(World { blobs, place, folder: None, s3: None }).await;
}

/// On a server of its own, whose leftovers it may count.
pub(crate) async fn own_s3(test: impl AsyncFnOnce(World)) {
    let server = engine_or_skip!(S3::start().await);
    let blobs = Blobs::open(&settings(&server, &server.url())).await.unwrap();
    test(World { blobs, place: "test".into(), folder: None, s3: Some(server) }).await;
}

/// The bucket of a server that is reached at `endpoint`.
pub(crate) fn settings(server: &S3, endpoint: &str) -> BlobSettings {
    BlobSettings::s3(S3Settings {
        endpoint: endpoint.to_owned(),
        region: server.region().into(),
        bucket: server.bucket().into(),
        access_key: server.access_key().into(),
        secret_key: server.secret_key().into(),
        ..S3Settings::default()
    })
}

impl World {
    /// A key of this test.
    pub(crate) fn key(&self, name: &str) -> Key {
        Key::new(format!("{}/{name}", self.place)).unwrap()
    }

    /// How often whoever reads what is being replaced may have to ask. Garage looks for a version's
    /// blocks after it has begun to answer, and breaks off if the version is gone by then.
    pub(crate) fn tries(&self) -> usize {
        if self.folder.is_some() { 1 } else { 5 }
    }

    /// What all its keys begin with.
    pub(crate) fn prefix(&self) -> Key {
        Key::new(&*self.place).unwrap()
    }

    /// What uploads have left that were given up.
    pub(crate) async fn leftovers(&self) -> u64 {
        let Some(folder) = &self.folder else {
            return self.s3.as_ref().unwrap().unfinished_uploads().await;
        };
        std::fs::read_dir(folder.path().join(".uploads")).unwrap().count() as u64
    }
}

/// Bytes that tell which of them are missing or twice there.
pub(crate) fn content(seed: u64, length: usize) -> Bytes {
    let word = |n: u64| (n ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    let mut bytes: Vec<u8> = (0..=length as u64 / 8).flat_map(word).collect();
    bytes.truncate(length);
    bytes.into()
}

/// The same in chunks of odd sizes, as they come from a network.
pub(crate) fn chunks(
    bytes: &Bytes,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + use<> {
    let mut left = bytes.clone();
    let mut size = 1;
    stream::iter(std::iter::from_fn(move || {
        size = (size * 7 + 13) % 100_000;
        (!left.is_empty()).then(|| Ok(left.split_to(size.min(left.len()))))
    }))
}

/// The whole blob.
pub(crate) async fn whole(blobs: &Blobs, key: &Key) -> Result<Bytes, blobs::BlobError> {
    blobs.get(key, None).await?.bytes(ENOUGH).await
}
