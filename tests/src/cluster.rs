//! The whole cluster on this machine, to be looked at and played with: PostgreSQL with a replica and a
//! shard, three Redis nodes, NATS and S3 from PATH, and on them every service twice, each instance a
//! process of its own. Ctrl-C ends it and leaves nothing.
//!
//! Given arguments, it is `atelier` itself: so the processes of the system are this program.

use std::process::{Command, ExitCode};

use system_tests::Engines;

/// Every service twice.
const TWICE: [&str; 6] =
    ["discovery=2", "accounts=2", "palettes=2", "popularity=2", "chat=2", "gateway=2"];

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<ExitCode, Failure> {
    if std::env::args_os().len() > 1 {
        return Ok(atelier::cli::main());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("cluster.toml");
    let Some(engines) = runtime.block_on(Engines::start()) else { return Ok(ExitCode::FAILURE) };
    std::fs::write(&file, runtime.block_on(engines.settings("atelier")))?;
    let mut system = Command::new(std::env::current_exe()?);
    system.args(["up", "--split"]).args(TWICE.iter().flat_map(|one| ["--replicas", one]));
    system.arg("--config").arg(&file).arg("--data").arg(folder.path().join("data"));
    // Ctrl-C reaches the system as well, which drains; this waits for it.
    runtime.spawn(async { while tokio::signal::ctrl_c().await.is_ok() {} });
    let ended = system.status()?;
    Ok(if ended.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
