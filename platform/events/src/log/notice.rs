//! How a process notices what another one appended.
//!
//! SQLite writes every commit to the write-ahead file first, so its time of change is looked at:
//! a microsecond, where a query costs thirty. A file system's clock ticks in milliseconds; a
//! change in the tick of the last look would not be seen, so a file changed within
//! [`TICK`] always counts as changed. And a commit is seen only once its file is on disk, which on
//! a busy one takes longer than any tick: so nobody relies on the last change for long.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use data::DataSettings;
use tokio::time::Instant;

const EVERY: Duration = Duration::from_millis(20);
const TICK: Duration = Duration::from_millis(50);
/// A file that does not change is looked into all the same.
const AT_LEAST: Duration = Duration::from_millis(250);
/// For a database server: ask it.
const POLL: Duration = Duration::from_millis(25);

/// Tells when the log may have grown.
#[derive(Debug)]
pub(super) enum Notice {
    File { wal: PathBuf, last: Option<SystemTime> },
    Poll,
}

impl Notice {
    pub(super) fn of(settings: &DataSettings) -> Self {
        let Some(path) = settings.primary.strip_prefix("sqlite:") else {
            return Self::Poll;
        };
        let path = path.strip_prefix("//").unwrap_or(path);
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        Self::File { wal: format!("{path}-wal").into(), last: None }
    }

    /// Returns when something may have been appended since the last time.
    pub(super) async fn changed(&mut self) {
        match self {
            Self::Poll => tokio::time::sleep(POLL).await,
            Self::File { wal, last } => {
                let since = Instant::now();
                loop {
                    tokio::time::sleep(EVERY).await;
                    // Does not block: the file is open in this process, its inode in memory.
                    let changed = std::fs::metadata(&*wal).and_then(|file| file.modified()).ok();
                    let recent = changed.is_some_and(|at| {
                        SystemTime::now().duration_since(at).is_ok_and(|age| age < TICK)
                    });
                    let is_new = std::mem::replace(last, changed) != changed;
                    if is_new || recent || since.elapsed() >= AT_LEAST {
                        return;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn what_is_seen_later_than_its_file_changed_is_seen() {
        let (_, folder) = testkit::temp_sqlite();
        let wal = folder.path().join("log.db-wal");
        let long_ago = SystemTime::now() - Duration::from_secs(60);
        std::fs::File::create(&wal).unwrap().set_modified(long_ago).unwrap();
        let mut notice = Notice::File { wal, last: None };
        for _ in 0..3 {
            let noticed = tokio::time::timeout(Duration::from_secs(1), notice.changed()).await;
            assert!(noticed.is_ok(), "a commit that took its time is never noticed");
        }
    }
}
