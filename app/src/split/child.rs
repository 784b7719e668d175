//! A child process: its command line, its lines, its life.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tasks::Tasks;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::Instant;

use super::plan::Process;
use crate::arguments::Common;
use crate::config::Config;
use crate::topology::{Service, StartError};

/// The pause before a child is started again, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A child that ran this long is forgiven its earlier ends.
const STABLE: Duration = Duration::from_secs(10);
/// How long a child may drain; a little more than it gives itself.
const DRAIN: Duration = Duration::from_secs(9);
/// The longest line of a child that is passed on whole.
const LONGEST_LINE: u64 = 64 * 1024;

/// How one child is started.
pub(super) struct Child {
    name: String,
    service: Service,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
    json: bool,
}

impl Child {
    pub(super) fn new(
        process: Process,
        config: &Config,
        common: &Common,
    ) -> Result<Self, StartError> {
        let program = std::env::current_exe().map_err(StartError::Folder)?;
        let mut arguments = vec!["serve".to_owned(), process.service.name().to_owned()];
        let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        option("--parent", std::process::id().to_string());
        option("--data", config.data.display().to_string());
        if let Some(file) = &common.config {
            option("--config", file.display().to_string());
        }
        if let Some(format) = common.log_format {
            option("--log-format", format.name().to_owned());
        }
        if let Some(level) = &common.log_level {
            option("--log-level", level.clone());
        }
        if let Some(listen) = process.listen {
            option("--listen", listen.to_string());
        }
        let mut environment = Vec::new();
        if let Some(registry) = process.registry {
            environment.push(("ATELIER__DISCOVERY__LISTEN", registry.to_string()));
        }
        let at: Vec<_> = process.registries.iter().map(ToString::to_string).collect();
        environment.push(("ATELIER__DISCOVERY__AT", format!("{at:?}")));
        // Each process has a private address of its own.
        let ip = config.mesh.listen.rsplit_once(':').map_or("127.0.0.1", |(ip, _)| ip);
        environment.push(("ATELIER__MESH__LISTEN", format!("{ip}:0")));
        Ok(Self {
            name: process.name(),
            service: process.service,
            program,
            arguments,
            environment,
            json: config.log.format == telemetry::LogFormat::Json,
        })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: Ctrl-C reaches the supervisor alone, which ends its children in order.
            .process_group(0)
            .kill_on_drop(true);
        command
    }
}

/// Starts the child, passes its lines on, and starts it again when it ends.
pub(super) fn supervise(child: Child, public: watch::Sender<Option<String>>, tasks: &Tasks) {
    let (child, readers, stopping) = (Arc::new(child), tasks.clone(), tasks.stopping());
    tasks.spawn("supervisor", async move {
        let mut pause = FIRST_PAUSE;
        while !stopping.is_cancelled() {
            let started = Instant::now();
            let end = match child.command().spawn() {
                Err(error) => error.to_string(),
                Ok(mut running) => {
                    if let Some(out) = running.stdout.take() {
                        readers.spawn("child output", listen(child.clone(), out, public.clone()));
                    }
                    if let Some(err) = running.stderr.take() {
                        readers.spawn("child log", pass_on(child.clone(), err));
                    }
                    tokio::select! {
                        ended = running.wait() => ended.map_or_else(|e| e.to_string(), |s| s.to_string()),
                        () = stopping.cancelled() => return end(running).await,
                    }
                }
            };
            if started.elapsed() > STABLE {
                pause = FIRST_PAUSE;
            }
            tracing::warn!(process = child.name, %end, ?pause, "a process ended; it is started again");
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                () = stopping.cancelled() => {}
            }
        }
    });
}

/// Lets a child drain; one that takes too long is killed.
async fn end(mut running: tokio::process::Child) {
    terminate(running.id());
    if tokio::time::timeout(DRAIN, running.wait()).await.is_err() {
        // It may have ended at the last moment.
        drop(running.kill().await);
    }
}

fn terminate(pid: Option<u32>) {
    let pid = pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended by itself.
        let _ = kill_process(pid, Signal::TERM);
    }
}

/// Reads the one line that a gateway prints when it can serve: its address.
async fn listen(
    child: Arc<Child>,
    out: impl AsyncRead + Unpin,
    public: watch::Sender<Option<String>>,
) {
    let mut lines = BufReader::new(out).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let (Service::Gateway, Some((_, url))) = (child.service, line.rsplit_once(" at ")) {
            public.send_if_modified(|known| {
                known.is_none() && known.replace(url.to_owned()).is_none()
            });
        }
    }
}

/// Puts the child's log lines into the one stream, each with the name of its process.
#[allow(clippy::print_stderr)]
async fn pass_on(child: Arc<Child>, err: impl AsyncRead + Unpin) {
    let mut reader = BufReader::new(err);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = tokio::io::AsyncReadExt::take(&mut reader, LONGEST_LINE);
        match bounded.read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => eprintln!(
                "{}",
                labelled(&child.name, String::from_utf8_lossy(&line).trim_end(), child.json)
            ),
        }
    }
}

fn labelled(name: &str, line: &str, json: bool) -> String {
    match line.strip_prefix('{') {
        Some(rest) if json => format!("{{\"process\":\"{name}\",{rest}"),
        _ if json => {
            serde_json::json!({"process": name, "level": "ERROR", "message": line}).to_string()
        }
        _ => format!("{name:13} {line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_tells_its_process() {
        assert_eq!(labelled("palettes-1", "hello", false), "palettes-1    hello");
        assert_eq!(labelled("a-1", "{\"x\":1}", true), "{\"process\":\"a-1\",\"x\":1}");
        let panic: serde_json::Value =
            serde_json::from_str(&labelled("a-1", "thread 'main' panicked", true)).expect("JSON");
        assert_eq!(panic["process"], "a-1");
    }
}
