//! Starting the server, and the supervisor that ends it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Where `initdb` and `postgres` are.
pub(super) struct Programs(PathBuf);

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

impl Programs {
    /// Looks on PATH, then where Debian puts them (the newest version).
    pub(super) fn find() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))
            })
            .collect();
        versions.sort();
        folders.extend(versions.into_iter().rev().map(|(_, bin)| bin));
        folders
            .into_iter()
            .find(|bin| bin.join("initdb").is_file() && bin.join("postgres").is_file())
            .map(Self)
    }

    fn command(&self, name: &str, user: Option<(u32, u32)>) -> Command {
        let mut command = Command::new(self.0.join(name));
        // Away from a terminal's Ctrl-C, which the supervisor handles in its way.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).current_dir("/");
        command
            .env_clear()
            .env("LC_ALL", "C")
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        if let Some((user, group)) = user {
            command.uid(user).gid(group);
        }
        command
    }
}

/// Makes a private folder for this user, which `other` may pass through.
pub(super) fn folder(path: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o755).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// The user that PostgreSQL runs as when this process is root, which it refuses.
fn other_user(base: &Path) -> io::Result<Option<(u32, u32)>> {
    if fs::metadata(base)?.uid() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    ["postgres", "nobody"]
        .iter()
        .find_map(|wanted| {
            users.lines().find_map(|line| {
                let mut fields = line.split(':');
                (fields.next()? == *wanted).then_some(())?;
                Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
            })
        })
        .map(Some)
        .ok_or_else(|| io::Error::other("root needs a user `postgres` or `nobody` to run it as"))
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
    let user = other_user(base)?;
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
    if let Some((user, group)) = user {
        chown(&run, Some(user), Some(group))?;
    }
    let log = File::create(run.join("log"))?;
    let made = programs
        .command("initdb", user)
        .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"])
        .args(["--no-sync", "--wal-segsize=4", "--pgdata"])
        .arg(&data)
        .stderr(log.try_clone()?)
        .status()?;
    if !made.success() {
        return Err(io::Error::other(tail(&run)));
    }
    let child = programs
        .command("postgres", user)
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
