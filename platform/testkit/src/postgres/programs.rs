//! PostgreSQL's programs, and the user they run as.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::server::process::command;
use crate::server::program;

/// Where `initdb` and `postgres` are, and as whom they run.
#[derive(Clone)]
pub(super) struct Programs {
    folder: PathBuf,
    /// Another user than this one, who is root: PostgreSQL refuses to be.
    pub(super) user: Option<(u32, u32)>,
}

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
        let initdb = folders
            .into_iter()
            .find(|bin| bin.join("initdb").is_file() && bin.join("postgres").is_file())?
            .join("initdb");
        // A link leads to where the others are.
        let folder = fs::canonicalize(initdb).ok()?.parent()?.to_owned();
        let user = other_user().expect("root has a user to run PostgreSQL as");
        Some(Self { folder, user })
    }

    /// Where a program is: beside the others, or on PATH.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        let beside = self.folder.join(name);
        if beside.is_file() { beside } else { program(name, None).unwrap_or(beside) }
    }

    /// A program, run as that user.
    pub(super) fn command(&self, name: &str) -> Command {
        command(self.path(name), self.user)
    }

    /// Makes the files of an empty server in `data`.
    pub(super) fn initdb(&self, data: &Path, log: File) -> io::Result<()> {
        let mut initdb = self.command("initdb");
        initdb
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"])
            .args(["--no-sync", "--wal-segsize=4", "--pgdata"])
            .arg(data);
        run(initdb, log)
    }
}

/// Runs a program to its end; what it complains of goes to `log`.
pub(super) fn run(mut program: Command, log: File) -> io::Result<()> {
    let status = program.stderr(log).status()?;
    let name = program.get_program().display();
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("{name}: {status}"))) }
}

/// The user that PostgreSQL runs as when this process is root.
fn other_user() -> io::Result<Option<(u32, u32)>> {
    if fs::metadata("/proc/self")?.uid() != 0 {
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
