//! One process of an engine, with its children: started, killed, paused, by their own ids.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use rustix::process::{Pid, Signal, kill_process};

use super::guard::Guard;
use super::wait_until;

/// How a process is started.
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: Vec<(&'static str, String)>,
    /// Another user and group than this process has.
    pub(crate) user: Option<(u32, u32)>,
}

impl Launch {
    pub(crate) fn new<A: Into<OsString>>(
        program: PathBuf,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self { program, arguments, environment: Vec::new(), user: None }
    }
}

/// A program as tests run it: nothing of this process's environment, away from a terminal's Ctrl-C.
pub(crate) fn command(program: impl Into<OsString>, user: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program.into());
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

/// A process in a folder of its own. At most one runs there at a time; dropping it kills that one
/// and removes the folder.
pub(crate) struct Process {
    launch: Launch,
    running: Mutex<Option<Child>>,
    guard: Guard,
}

impl Process {
    /// Where to start `launch`; it does not run yet.
    pub(crate) fn new(guard: Guard, launch: Launch) -> Self {
        Self { launch, running: Mutex::new(None), guard }
    }

    pub(crate) fn folder(&self) -> &std::path::Path {
        self.guard.folder()
    }

    /// Starts it, after killing what still runs.
    pub(crate) fn start(&self) -> io::Result<()> {
        self.kill();
        let log = File::options().create(true).append(true).open(self.folder().join("log"))?;
        // It writes down its own id before it becomes the engine, so that there is no moment in
        // which it runs and the guard does not know it.
        let child = command("sh", self.launch.user)
            .args(["-c", r#"echo $$ >"$0"; exec "$@""#])
            .arg(self.folder().join("pid"))
            .arg(&self.launch.program)
            .args(&self.launch.arguments)
            .envs(self.launch.environment.iter().map(|(name, value)| (name, value)))
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        *self.running() = Some(child);
        Ok(())
    }

    /// Whether it has been started and has not ended since.
    pub(crate) fn lives(&self) -> bool {
        self.running().as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Kills it and its children, and waits until all are gone.
    pub(crate) fn kill(&self) {
        let Some(mut child) = self.running().take() else { return };
        let all = stopped(&child);
        for pid in &all {
            kill_process(*pid, Signal::KILL).ok();
        }
        child.wait().ok();
        wait_until(|| all.iter().all(|pid| is_gone(*pid)));
        fs::remove_file(self.folder().join("pid")).ok();
    }

    /// Stops it and its children where they are: connections stay and nobody answers.
    pub(crate) fn pause(&self) {
        if let Some(child) = &*self.running() {
            stopped(child);
        }
    }

    /// Lets them go on.
    pub(crate) fn resume(&self) {
        if let Some(child) = &*self.running() {
            for pid in family(child) {
                kill_process(pid, Signal::CONT).ok();
            }
        }
    }

    /// The last lines of its log, for messages.
    pub(crate) fn tail(&self) -> String {
        let log = fs::read_to_string(self.folder().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.running.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Stops a process, then the children it has; it makes no others meanwhile. Tells who they are.
fn stopped(child: &Child) -> Vec<Pid> {
    let parent = Pid::from_child(child);
    kill_process(parent, Signal::STOP).ok();
    wait_until(|| stands_still(parent));
    let all = family(child);
    for pid in &all {
        kill_process(*pid, Signal::STOP).ok();
    }
    wait_until(|| all.iter().all(|pid| stands_still(*pid)));
    all
}

/// Whether no thread of a process runs any more: a signal takes a moment to reach all, and on a
/// busy machine one of them may answer meanwhile.
fn stands_still(pid: Pid) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{}/task", pid.as_raw_pid())) else { return true };
    threads.flatten().all(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        state(&stat).is_none_or(|state| matches!(state, 'T' | 't' | 'Z' | 'X'))
    })
}

fn family(child: &Child) -> Vec<Pid> {
    let id = child.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    let children = children.unwrap_or_default();
    let mut all = vec![Pid::from_child(child)];
    all.extend(children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)));
    all
}

/// Whether a process has ended; who its parent is now may take its time to notice.
fn is_gone(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).unwrap_or_default();
    state(&stat).is_none_or(|state| state == 'Z')
}

/// Of `123 (name) S …`, where the name may hold anything.
fn state(stat: &str) -> Option<char> {
    stat.rsplit_once(") ")?.1.chars().next()
}
