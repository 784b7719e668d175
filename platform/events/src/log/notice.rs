//! How a process notices what another one appended.
//!
//! SQLite writes every commit to the write-ahead file first, so its time of change is looked at:
//! a microsecond, where a query costs thirty. A file system's clock ticks in milliseconds; a
//! change in the tick of the last look would not be seen, so a file changed within
//! [`TICK`] always counts as changed.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use data::DataSettings;

const EVERY: Duration = Duration::from_millis(20);
const TICK: Duration = Duration::from_millis(50);
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
            Self::File { wal, last } => loop {
                tokio::time::sleep(EVERY).await;
                // Does not block: the file is open in this process, its inode in memory.
                let changed = std::fs::metadata(&*wal).and_then(|file| file.modified()).ok();
                let recent = changed.is_some_and(|at| {
                    SystemTime::now().duration_since(at).is_ok_and(|age| age < TICK)
                });
                if std::mem::replace(last, changed) != changed || recent {
                    return;
                }
            },
        }
    }
}
