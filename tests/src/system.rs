//! A running system: started like a user starts it, on free ports and in a folder of its own;
//! its processes can be killed one by one; nothing is left behind.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use testkit::free_address;

use crate::{Engines, Person};

/// How the system is laid out.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Every service in one process.
    OneProcess,
    /// Every service a process of its own.
    Split,
    /// Split, with more than one process for some services: `palettes=2`.
    Replicated(&'static [&'static str]),
}

/// What a system stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// What is built in: files in its folder.
    Embedded,
    /// The servers of [`Engines`].
    Engines,
}

/// How long a system may take until it can serve, on a busy machine.
const START: Duration = Duration::from_secs(60);
/// How long a system may take to end after SIGTERM.
const END: Duration = Duration::from_secs(40);

/// How a system is started.
struct Launch {
    program: String,
    shape: Shape,
    listen: SocketAddr,
    discovery: SocketAddr,
    folder: TempDir,
    settings: Option<PathBuf>,
}

/// A running system.
pub struct System {
    /// Where clients connect: `http://127.0.0.1:4711`.
    pub url: String,
    launch: Launch,
    root: Child,
}

/// Starts a system, runs `scenario` against it, and sees that it ends well. Skipped, loudly, where
/// it is to stand on engines that are not there.
///
/// # Panics
/// If the scenario does, or the system does not drain with exit code 0.
pub async fn run(
    program: &str,
    shape: Shape,
    stand: Stand,
    scenario: impl AsyncFnOnce(&mut System),
) {
    let settings = match stand {
        Stand::Embedded => None,
        Stand::Engines => match Engines::shared().await {
            Some(engines) => Some(engines.settings(&new_name()).await),
            None => return,
        },
    };
    let mut system = System::start(program, shape, settings.as_deref());
    scenario(&mut system).await;
    let status = system.stop();
    assert!(status.success(), "the system ended with {status}");
}

impl System {
    /// Starts a system with these settings, as TOML, and waits until it says that it can serve.
    ///
    /// # Panics
    /// If it does not.
    #[must_use]
    pub fn start(program: &str, shape: Shape, settings: Option<&str>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = settings.map(|settings| {
            let file = folder.path().join("atelier.toml");
            std::fs::write(&file, settings).expect("written");
            file
        });
        let (program, listen, discovery) = (program.to_owned(), two_addresses(), two_addresses());
        let launch = Launch { program, shape, listen, discovery, folder, settings };
        let (root, url) = launch.run();
        Self { url, launch, root }
    }

    /// The program beside the running system, on the same settings and folder.
    #[must_use]
    pub fn command(&self) -> Command {
        self.launch.command()
    }

    /// Somebody new at this system, not signed in.
    #[must_use]
    pub fn visitor(&self) -> Person {
        Person::visitor(&self.url)
    }

    /// Somebody new with an account.
    pub async fn member(&self, name: &str) -> Person {
        Person::register(&self.url, name).await
    }

    /// Kills every process at once, as a power cut would, and starts the system again on the same
    /// folder and addresses.
    ///
    /// # Panics
    /// If it does not start again.
    pub fn power_cut(&mut self) {
        let mut pids = self.pids("");
        pids.push(Pid::from_child(&self.root));
        for pid in pids {
            let _ = kill_process(pid, Signal::KILL);
        }
        self.root.wait().expect("waited");
        // A killed process lets go of its address a moment later.
        let since = Instant::now();
        while [self.launch.listen, self.launch.discovery]
            .iter()
            .any(|at| TcpListener::bind(at).is_err())
        {
            assert!(since.elapsed() < END, "a killed process holds its address");
            std::thread::yield_now();
        }
        (self.root, self.url) = self.launch.run();
    }

    /// Sends a signal to every process that runs `service`; to the one process if it runs all.
    /// Tells how many there were.
    pub fn signal(&self, service: &str, signal: Signal) -> usize {
        let pids = self.pids(service);
        for pid in &pids {
            let _ = kill_process(*pid, signal);
        }
        pids.len()
    }

    /// Kills one process that runs `service`, if need be once one is started again: after several
    /// deaths that takes some seconds.
    ///
    /// # Panics
    /// If none is started in time.
    #[allow(clippy::disallowed_methods, reason = "the scenario waits; who works runs elsewhere")]
    pub fn kill_one(&self, service: &str) {
        let asked = Instant::now();
        loop {
            let pids = self.pids(service);
            if pids.first().is_some_and(|pid| kill_process(*pid, Signal::KILL).is_ok()) {
                return;
            }
            assert!(asked.elapsed() < START, "no process runs {service}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Where the clients of a gateway connect, counted from 1; there are as many as the shape says.
    #[must_use]
    pub fn gateway(&self, number: u16) -> String {
        format!("http://{}", self.launch.listen_of(number))
    }

    /// Kills one gateway, counted from 1.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill_gateway(&self, number: u16) {
        let listens = format!("\0--listen\0{}\0", self.launch.listen_of(number));
        let pid = self.find(&listens).pop().expect("a process that listens there");
        kill_process(pid, Signal::KILL).expect("killed");
    }

    /// The processes that run `service`: children of the supervisor, by their command line.
    #[must_use]
    pub fn pids(&self, service: &str) -> Vec<Pid> {
        if matches!(self.launch.shape, Shape::OneProcess) {
            return vec![Pid::from_child(&self.root)];
        }
        self.find(&format!("\0serve\0{service}"))
    }

    /// The children of the supervisor whose command line has this in it.
    fn find(&self, part: &str) -> Vec<Pid> {
        let parent = format!("\0--parent\0{}\0", self.root.id());
        let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
        processes
            .filter_map(|entry| {
                let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
                let line = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
                (line.contains(&parent) && line.contains(part)).then_some(Pid::from_raw(pid)?)
            })
            .collect()
    }

    /// One more process of the system, which runs these services, to be started by whoever asks.
    /// Gateways listen at `listen`.
    #[must_use]
    pub fn instance(&self, services: &[&str], listen: SocketAddr) -> Command {
        let discovery = self.launch.discovery;
        let second = SocketAddr::new(discovery.ip(), discovery.port() + 1);
        let mut command = self.command();
        command
            .arg("serve")
            .args(services)
            .args(["--listen", &listen.to_string(), "--log-format", "json"])
            .env("ATELIER__DISCOVERY__AT", format!("[\"{discovery}\", \"{second}\"]"))
            .env("ATELIER__MESH__LISTEN", "127.0.0.1:0");
        command
    }

    /// Asks the system to end, and waits for it.
    ///
    /// # Panics
    /// If it does not end in time.
    #[allow(clippy::disallowed_methods, reason = "a scenario that has ended blocks nobody")]
    pub fn stop(&mut self) -> ExitStatus {
        let _ = kill_process(Pid::from_child(&self.root), Signal::TERM);
        let asked = Instant::now();
        loop {
            if let Some(status) = self.root.try_wait().expect("waited") {
                return status;
            }
            assert!(asked.elapsed() < END, "the system does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for System {
    fn drop(&mut self) {
        for pid in self.pids("") {
            let _ = kill_process(pid, Signal::KILL);
        }
        drop(self.root.kill());
        drop(self.root.wait());
    }
}

/// The arguments of a system in this shape.
fn arguments(shape: Shape) -> Vec<&'static str> {
    match shape {
        Shape::OneProcess => vec!["up"],
        Shape::Split => vec!["up", "--split"],
        Shape::Replicated(replicas) => ["up", "--split"]
            .into_iter()
            .chain(replicas.iter().flat_map(|one| ["--replicas", one]))
            .collect(),
    }
}

impl Launch {
    fn listen_of(&self, gateway: u16) -> SocketAddr {
        SocketAddr::new(self.listen.ip(), self.listen.port() + gateway - 1)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("--data")
            .arg(self.folder.path().join("data"))
            .env("ATELIER__DISCOVERY__LISTEN", self.discovery.to_string());
        if let Some(settings) = &self.settings {
            command.arg("--config").arg(settings);
        }
        command
    }

    fn run(&self) -> (Child, String) {
        let mut root = self
            .command()
            .args(["--listen", &self.listen.to_string(), "--log-format", "json"])
            .args(arguments(self.shape))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the system starts");
        let out = BufReader::new(root.stdout.take().expect("its output"));
        let (told, line) = mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                drop(told.send(line));
            }
        });
        let line = line.recv_timeout(START).expect("the system says that it is ready");
        let (_, url) = line.rsplit_once(" at ").expect("its address");
        (root, url.to_owned())
    }
}

/// The first of two free addresses side by side: a second instance takes the port after the first's.
fn two_addresses() -> SocketAddr {
    let mut first = free_address();
    loop {
        let second = free_address();
        if first.port().checked_add(1) == Some(second.port()) {
            return first;
        }
        first = second;
    }
}

/// A name that no other system of this machine has at the moment.
fn new_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("s{}n{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
