//! A folder that goes with the process that made it, and with it whatever runs there.
//!
//! A shell waits for the end of its standard input, whose other end only this process holds. It
//! comes when the guard is dropped, and also when the process ends in any other way; then what
//! `pid` in the folder names is killed with its children, and the folder removed.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// `$1` the folder.
const WATCH: &str = r#"
trap '' HUP INT TERM
cat >/dev/null
pid=$(cat "$1/pid" 2>/dev/null)
if [ -n "$pid" ]; then
    kill -STOP "$pid"
    kill -KILL $(cat "/proc/$pid/task/$pid/children") "$pid"
    n=0; while kill -0 "$pid" && [ $n -lt 50 ]; do sleep 0.1; n=$((n+1)); done
fi
# What a killed PostgreSQL leaves: the segment by which it knows that it runs but once.
for left in "$1"/*/postmaster.pid; do
    segment=$(sed -n 's/^ *[0-9][0-9]* \{1,\}\([0-9][0-9]*\) *$/\1/p' "$left")
    [ -n "$segment" ] && ipcrm -m "$segment"
done
rm -rf "$1"
"#;

/// See [the module](self).
pub(crate) struct Guard {
    folder: PathBuf,
    watch: Child,
}

impl Guard {
    /// A new folder and its watch.
    pub(crate) fn new() -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("atelier-engine-").tempdir()?;
        let watch = Command::new("sh")
            .args(["-c", WATCH, "atelier-test-guard"])
            .arg(folder.path())
            // Away from a terminal's Ctrl-C, which would end it before its time.
            .process_group(0)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { folder: TempDir::keep(folder), watch })
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        self.watch.wait().ok();
    }
}
