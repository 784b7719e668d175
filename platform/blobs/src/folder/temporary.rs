//! A blob that is being written and has no name yet.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use bytes::Bytes;

use super::{Folder, blocking, info, sync};
use crate::{BlobError, Key};

/// A file in `.uploads`. Dropping it removes it.
pub(crate) struct Temporary {
    folder: Folder,
    /// [`None`] while it is written to, and after that failed.
    file: Option<File>,
    /// [`None`] once it has its name.
    path: Option<PathBuf>,
}

impl Temporary {
    pub(crate) async fn create(folder: &Folder) -> Result<Self, BlobError> {
        let folder = folder.clone();
        blocking(move || {
            let path = folder.uploads().join(hex::encode(rand::random::<[u8; 16]>()));
            let file = File::create_new(&path)?;
            file.lock()?;
            Ok(Self { folder, file: Some(file), path: Some(path) })
        })
        .await
    }

    pub(crate) async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        let mut file = self.file.take().ok_or_else(broken)?;
        let written = blocking(move || {
            file.write_all(&bytes)?;
            Ok(file)
        });
        self.file = Some(written.await?);
        Ok(())
    }

    /// Gives it its name, durably. Tells its entity tag.
    pub(crate) async fn complete(mut self, key: &Key) -> Result<String, BlobError> {
        let (at, folders) = self.folder.place(key);
        blocking(move || {
            let (Some(file), Some(path)) = (&self.file, self.path.clone()) else {
                return Err(io::Error::other("an earlier write failed"));
            };
            file.sync_all()?;
            self.folder.make(&folders)?;
            fs::rename(path, at)?;
            self.path = None;
            sync(folders.last().unwrap_or(&self.folder.0.path))?;
            Ok(info(&file.metadata()?)?.etag)
        })
        .await
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let Some(path) = self.path.take() else { return };
        match tokio::runtime::Handle::try_current() {
            // A large file takes a while to remove.
            Ok(runtime) => drop(runtime.spawn_blocking(move || fs::remove_file(path))),
            Err(_) => drop(fs::remove_file(path)),
        }
    }
}

fn broken() -> BlobError {
    BlobError::Unavailable("an earlier write failed".into())
}
