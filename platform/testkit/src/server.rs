//! A real server that a test starts, kills and starts again.
//!
//! It listens on a free port of this machine and keeps everything in a folder of its own.
//!
//! **Invariant.** It goes when it is dropped, and also when the test process ends in any other way:
//! see [`guard`].

pub(crate) mod guard;
mod port;
pub(crate) mod process;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use guard::Guard;
pub use port::free_address;
use process::{Launch, Process};

/// How long a server may take to start or to end, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// A port may be lost to another process between looking and starting.
const TRIES: usize = 5;

/// A server process. Cheap to clone; it goes with the last clone.
#[derive(Clone)]
pub struct Server {
    name: &'static str,
    address: SocketAddr,
    process: Arc<Process>,
    answers: fn(SocketAddr) -> io::Result<bool>,
}

impl Server {
    /// Starts one and waits until it answers. `prepare` fills its folder and tells how to start it
    /// at an address.
    ///
    /// # Panics
    /// When it does not start: it is here and does not work, which is no reason to skip.
    pub(crate) async fn start(
        name: &'static str,
        answers: fn(SocketAddr) -> io::Result<bool>,
        prepare: impl Fn(&Path, SocketAddr) -> io::Result<Launch> + Send + 'static,
    ) -> Self {
        blocking(move || {
            let mut said = String::new();
            for _ in 0..TRIES {
                let (guard, address) = (Guard::new().unwrap(), free_address());
                let launch = prepare(guard.folder(), address)
                    .unwrap_or_else(|error| panic!("{name} for tests cannot be prepared: {error}"));
                let process = Arc::new(Process::new(guard, launch));
                let server = Self { name, address, process, answers };
                match server.launch() {
                    Ok(()) => return server,
                    Err(error) => said = error.to_string(),
                }
                // It may have lost its port; one that lives and is silent is broken.
                if server.lives() {
                    break;
                }
            }
            panic!("{name} for tests does not start: {said}")
        })
        .await
    }

    fn launch(&self) -> io::Result<()> {
        self.process.start()?;
        wait_until(|| self.answers() || !self.process.lives());
        if self.process.lives() && self.answers() {
            return Ok(());
        }
        Err(io::Error::other(self.process.tail()))
    }

    fn answers(&self) -> bool {
        (self.answers)(self.address).unwrap_or(false)
    }

    /// Where it listens, whether it runs or not.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The folder with all it keeps, for tests that look into it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.process.folder()
    }

    /// Whether its process lives.
    #[must_use]
    pub fn lives(&self) -> bool {
        self.process.lives()
    }

    /// Kills it as a power cut would (SIGKILL), with its children, and waits until it is gone.
    pub async fn kill(&self) {
        let process = Arc::clone(&self.process);
        blocking(move || process.kill()).await;
    }

    /// Starts it again at the same address on the same folder, and waits until it answers. What
    /// still runs is killed first.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&self) {
        let server = self.clone();
        blocking(move || {
            if let Err(error) = server.launch() {
                panic!("{} for tests does not start again: {error}", server.name);
            }
        })
        .await;
    }

    /// Stops it in mid-motion (SIGSTOP): connections stay, new ones are accepted by the kernel, and
    /// nobody answers.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// Lets it go on after [`Server::pause`].
    pub fn resume(&self) {
        self.process.resume();
    }
}

/// Where a program is: named by the variable, on PATH, or where system programs are.
pub(crate) fn program(name: &str, variable: Option<&str>) -> Option<PathBuf> {
    let named = variable.and_then(std::env::var_os).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/bin".into()]);
    named.into_iter().chain(folders.map(|folder| folder.join(name))).find(|path| path.is_file())
}

/// Asks a server something and tells whether its answer is the one that it gives when it is ready.
pub(crate) fn ask(
    address: SocketAddr,
    question: &[u8],
    ready: impl Fn(&[u8]) -> bool,
) -> io::Result<bool> {
    let bound = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&address, bound)?;
    stream.set_read_timeout(Some(bound))?;
    stream.write_all(question)?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let length = stream.read(&mut piece)?;
        answer.extend_from_slice(&piece[..length]);
        if ready(&answer) {
            return Ok(true);
        }
        if length == 0 || answer.len() > 64 * 1024 {
            return Ok(false);
        }
    }
}

/// Looks every few milliseconds whether `condition` holds, for as long as a server may take.
#[allow(clippy::disallowed_methods, reason = "on a thread for blocking work")]
pub(crate) fn wait_until(condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() && began.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Work that blocks, off the executor, so that a paused clock stands still meanwhile.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
