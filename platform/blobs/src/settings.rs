//! Where blobs are kept and how much is taken at a time.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Where blobs are kept: on S3 if that is set, else in the folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BlobSettings {
    /// A folder of this machine, made if it is not there. Processes of this machine may share it.
    pub folder: PathBuf,
    /// A bucket on S3 or what speaks like it (Garage, MinIO).
    pub s3: Option<S3Settings>,
    /// The largest blob in bytes.
    pub max_bytes: u64,
    /// How long one request to the store may take, its repeats included, and how long a stream may
    /// pause. A part of 8 MiB has to be sent in half of it.
    pub timeout_seconds: u64,
    /// Uploads at a time; each holds up to 24 MiB with S3, 2 MiB with a folder.
    pub uploads: usize,
    /// Requests to the store at a time.
    pub requests: usize,
}

impl Default for BlobSettings {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("blobs"),
            s3: None,
            max_bytes: 1 << 30,
            timeout_seconds: 20,
            uploads: 32,
            requests: 64,
        }
    }
}

impl BlobSettings {
    /// Blobs in the folder at `path`.
    #[must_use]
    pub fn folder(path: impl AsRef<Path>) -> Self {
        Self { folder: path.as_ref().to_owned(), ..Self::default() }
    }

    /// Blobs in a bucket.
    #[must_use]
    pub fn s3(s3: S3Settings) -> Self {
        Self { s3: Some(s3), ..Self::default() }
    }
}

/// A bucket and the key to it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Settings {
    /// `http://HOST:PORT` or `https://HOST`; Amazon's own for the region if empty.
    pub endpoint: String,
    /// The region; Garage's is `garage` unless it is told otherwise.
    pub region: String,
    /// The bucket, which has to be there.
    pub bucket: String,
    /// The id of the key.
    pub access_key: String,
    /// The key's secret.
    pub secret_key: String,
    /// Whether the bucket is part of the host's name instead of the path.
    pub virtual_hosted: bool,
}

impl Default for S3Settings {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            region: "us-east-1".into(),
            bucket: String::new(),
            access_key: String::new(),
            secret_key: String::new(),
            virtual_hosted: false,
        }
    }
}

impl fmt::Debug for S3Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Settings")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("bucket", &self.bucket)
            .field("access_key", &"***")
            .field("secret_key", &"***")
            .field("virtual_hosted", &self.virtual_hosted)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        let (access_key, secret_key) = ("GKid".into(), "hush".into());
        let s3 = S3Settings { access_key, secret_key, ..S3Settings::default() };
        let shown = format!("{:?}", BlobSettings::s3(s3));
        assert!(shown.contains("us-east-1"), "{shown}");
        assert!(!shown.contains("hush") && !shown.contains("GKid"), "{shown}");
    }
}
