//! Starting the shared server, and the supervisor that ends it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::programs::Programs;

/// `$1` the folder of the run, `$2` its name, `$3` the base folder.
const SUPERVISOR: &str = r#"
exec 3<"$1/lease"
hold() { cat <&3 >/dev/null; }
trap : HUP INT TERM
hold; sleep 1; hold; sleep 1; hold; sleep 1; hold
[ "$(readlink "$3/current")" = "$2" ] && rm -f "$3/current"
hold
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
if [ -n "$pid" ]; then
    kill -QUIT "$pid"
    n=0; while kill -0 "$pid" 2>/dev/null && [ $n -lt 50 ]; do sleep 0.1; n=$((n+1)); done
fi
rm -rf "$1"
"#;

/// Makes a private folder for this user, which `other` may pass through.
pub(super) fn folder(path: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o755).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// A server that has been started and may not answer yet.
pub(super) struct Started {
    pub(super) lease: File,
    pub(super) child: Child,
}

/// Holds the pipe of a run open, so that its server stays. Both ends are opened, which never
/// waits.
pub(super) fn hold_lease(run: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(run.join("lease"))
}

/// Starts a server in `base/name`. It listens on a socket in that folder only.
pub(super) fn start(programs: &Programs, base: &Path, name: &str) -> io::Result<Started> {
    let run = base.join(name);
    let data = run.join("data");
    folder(&run)?;
    let made = Command::new("mkfifo").arg("-m").arg("600").arg(run.join("lease")).status()?;
    if !made.success() {
        return Err(io::Error::other("mkfifo failed"));
    }
    let lease = hold_lease(&run)?;
    Command::new("sh")
        .args(["-c", SUPERVISOR, "atelier-test-supervisor"])
        .args([run.as_os_str(), name.as_ref(), base.as_os_str()])
        .process_group(0)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some((user, group)) = programs.user {
        chown(&run, Some(user), Some(group))?;
    }
    let log = File::create(run.join("log"))?;
    programs
        .initdb(&data, log.try_clone()?)
        .map_err(|error| io::Error::other(format!("{error}: {}", tail(&run))))?;
    let child = programs
        .command("postgres")
        .arg("-D")
        .arg(&data)
        .arg("-k")
        .arg(&run)
        .args(["-h", "", "-N", "400", "-F"])
        .args(["-c", "shared_buffers=32MB", "-c", "full_page_writes=off"])
        .args(["-c", "autovacuum=off", "-c", "max_prepared_transactions=0"])
        .args(["-c", "wal_level=minimal", "-c", "max_wal_senders=0", "-c", "jit=off"])
        .stderr(log)
        .spawn()?;
    Ok(Started { lease, child })
}

/// The last lines of the log, for messages.
pub(super) fn tail(run: &Path) -> String {
    let log = fs::read_to_string(run.join("log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}
