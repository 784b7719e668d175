//! Blobs in a folder.
//!
//! A key's folders are marked with `+`, which no key has, so that `a` and `a/b` can both be there:
//! `a` is the file `a`, `a/b` is `a+/b`. What is being written is in `.uploads`, locked by whoever
//! writes it; what nobody has locked was left by a process that was killed.

mod list;
mod temporary;

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use crate::{BlobError, ByteRange, Info, Key, Listed};
pub(crate) use temporary::Temporary;

/// What is read at a time, in bytes.
const CHUNK: usize = 128 * 1024;
/// A file that is younger may not be locked yet by who has just made it.
const YOUNG: Duration = Duration::from_secs(60);

/// A folder with blobs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Folder(Arc<Root>);

struct Root {
    path: PathBuf,
    /// Held while folders are made, so that whoever finds one there finds it synced.
    making: Mutex<()>,
}

impl Folder {
    /// Opens a folder, making it if it is not there, and removes what killed processes left.
    pub(crate) async fn open(path: PathBuf) -> Result<Self, BlobError> {
        let shown = path.display().to_string();
        let opened = blocking(move || {
            let folder = Self(Arc::new(Root { path, making: Mutex::new(()) }));
            fs::create_dir_all(folder.uploads())?;
            sync(&folder.0.path)?;
            folder.sweep()?;
            Ok(folder)
        });
        opened.await.map_err(|error| {
            BlobError::Startup(format!("the folder `{shown}` for blobs cannot be used: {error}"))
        })
    }

    fn uploads(&self) -> PathBuf {
        self.0.path.join(".uploads")
    }

    fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.uploads())?.flatten() {
            let age = entry.metadata().and_then(|meta| meta.modified()).map(|at| at.elapsed());
            let old = matches!(age, Ok(Ok(age)) if age > YOUNG);
            if old && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
                fs::remove_file(entry.path()).ok();
            }
        }
        Ok(())
    }

    /// Where a blob is, and the folders it is in, from the outermost.
    fn place(&self, key: &Key) -> (PathBuf, Vec<PathBuf>) {
        let (mut at, mut folders) = (self.0.path.clone(), Vec::new());
        let mut parts = key.parts().peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                at.push(part);
            } else {
                at.push(format!("{part}+"));
                folders.push(at.clone());
            }
        }
        (at, folders)
    }

    /// Makes the folders that are missing, and their names durable.
    fn make(&self, folders: &[PathBuf]) -> io::Result<()> {
        if folders.last().is_none_or(|innermost| innermost.is_dir()) {
            return Ok(());
        }
        let _one_at_a_time = self.0.making.lock().unwrap_or_else(PoisonError::into_inner);
        let mut parent = &self.0.path;
        for folder in folders {
            match fs::create_dir(folder) {
                Ok(()) => sync(parent)?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
            parent = folder;
        }
        Ok(())
    }

    pub(crate) async fn get(
        &self,
        key: &Key,
        range: Option<ByteRange>,
    ) -> Result<(Info, Range<u64>, BoxStream<'static, Result<Bytes, BlobError>>), BlobError> {
        let (at, _) = self.place(key);
        let (file, info) = blocking(move || {
            let file = File::open(at)?;
            let info = info(&file.metadata()?)?;
            Ok((file, info))
        })
        .await?;
        let range = match range {
            None => 0..info.size,
            Some(range) => {
                range.within(info.size).ok_or(BlobError::BadRange { size: info.size })?
            }
        };
        let (start, length) = (range.start, range.end - range.start);
        let file = blocking(move || {
            let mut file = file;
            file.seek(SeekFrom::Start(start))?;
            Ok(file)
        })
        .await?;
        let chunks =
            ReaderStream::with_capacity(tokio::fs::File::from_std(file).take(length), CHUNK);
        Ok((info, range, chunks.map_err(BlobError::from).boxed()))
    }

    pub(crate) async fn head(&self, key: &Key) -> Result<Info, BlobError> {
        let (at, _) = self.place(key);
        blocking(move || info(&fs::metadata(at)?)).await
    }

    pub(crate) async fn delete(&self, key: &Key) -> Result<(), BlobError> {
        let (at, folders) = self.place(key);
        let parent = folders.last().unwrap_or(&self.0.path).clone();
        blocking(move || match fs::remove_file(at) {
            Ok(()) => sync(&parent),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        })
        .await
    }

    pub(crate) async fn list(
        &self,
        prefix: Option<&Key>,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Listed>, BlobError> {
        let (folder, prefix, after) = (self.clone(), prefix.cloned(), after.cloned());
        blocking(move || list::list(&folder.0.path, prefix.as_ref(), after.as_ref(), limit)).await
    }
}

fn info(meta: &fs::Metadata) -> io::Result<Info> {
    let modified = meta.modified()?;
    let nanos = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    // Every write makes a new file.
    let etag = format!("\"{:x}-{nanos:x}-{:x}\"", meta.ino(), meta.len());
    Ok(Info { size: meta.len(), etag, modified })
}

/// Makes the names in a folder durable.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Work on files, off the executor. It is carried out even if its caller goes away.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, BlobError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(error) => Err(BlobError::Other(error.to_string())),
    }
}
