//! Everybody joins, then a while of speaking is measured, then whatever is under way arrives.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::connect::{Connector, Wanted};
use super::dialect::Dialect;
use super::latency::Latencies;
use super::progress::{Phase, Progress};
use super::seat::Hall;
use super::worker::{Faults, Worker};
use crate::processes::{cpu_seconds, resident_kib};

/// Connections on their way to a reader.
pub(super) const UNDER_WAY: usize = 256;
/// Deliveries that have stopped coming for so long will not come.
const SILENCE: Duration = Duration::from_secs(5);
const GLANCE: Duration = Duration::from_millis(20);

/// How often something is said.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// By all speakers together, in turn
    PerSecond(f64),
    /// Whenever a speaker has fewer than `size` messages that it has not heard itself; `until`
    /// it has said so many
    Window {
        /// Messages under way
        size: u32,
        /// Messages of a speaker in all
        until: u32,
    },
}

/// One measurement.
pub struct Run {
    /// What is spoken
    pub dialect: Arc<dyn Dialect>,
    /// How members come in
    pub connector: Connector,
    /// Who is there
    pub hall: Hall,
    /// Bytes of a message's text
    pub size: usize,
    /// The server's processes; their children count too
    pub pids: Vec<u32>,
}

/// Speaks at `pace` and reports what was heard in `measured`, after as much as `settling`.
pub fn run(run: &Run, pace: Pace, settling: Duration, measured: Duration) -> io::Result<Value> {
    let (progress, workers, (before, after)) = with_readers(run, Some(pace), |progress| {
        progress.enter(Phase::Speak);
        wait(settling);
        let before = Counts::now(progress, &run.pids);
        progress.enter(Phase::Measure);
        wait(measured);
        progress.enter(Phase::Speak);
        let after = Counts::now(progress, &run.pids);
        progress.enter(Phase::Listen);
        silence(progress, run.hall.members as u64);
        Ok((before, after))
    })?;
    let (mut latencies, mut faults, mut lost) = (Latencies::default(), Faults::default(), 0);
    for worker in &workers {
        latencies.merge(&worker.latencies);
        faults.again += worker.faults.again;
        faults.disordered += worker.faults.disordered;
        faults.gaps += worker.faults.gaps;
    }
    let mut agree = true;
    for room in 0..run.hall.rooms {
        let said: u64 = workers.iter().map(|worker| worker.said_in(room)).sum();
        let seats = workers.iter().flat_map(|worker| &worker.seats);
        let missed = |heard: u32| said.saturating_sub(u64::from(heard));
        lost += seats.filter(|seat| seat.room == room).map(|seat| missed(seat.heard)).sum::<u64>();
        agree &= workers.iter().all(|worker| worker.orders[room].agrees(&workers[0].orders[room]));
    }
    let seconds = after.at.duration_since(before.at).as_secs_f64();
    let (deliveries, cpu) = (after.heard - before.heard, after.cpu - before.cpu);
    Ok(json!({
        "open": progress.joined.load(Relaxed) - progress.left.load(Relaxed),
        "seconds": seconds,
        "said": after.said - before.said,
        "said_per_second": (after.said - before.said) as f64 / seconds,
        "deliveries": deliveries,
        "per_second": deliveries as f64 / seconds,
        "cpu_seconds": cpu,
        "per_cpu_second": if cpu > 0.0 { deliveries as f64 / cpu } else { 0.0 },
        "cores_used": cpu / seconds,
        "cores_used_by_generator": (after.own_cpu - before.own_cpu) / seconds,
        "latency_ms": latencies.report(),
        "lost": lost,
        "again": faults.again,
        "disordered": faults.disordered,
        "gaps": faults.gaps,
        "same_order_in_all_threads": agree,
    }))
}

/// Resident memory of sockets at rest, after as much as `settling`.
pub fn idle(run: &Run, settling: Duration) -> io::Result<Value> {
    let before = steady_kib(run, settling);
    let (progress, _, after) = with_readers(run, None, |_| Ok(steady_kib(run, settling)))?;
    let open = progress.joined.load(Relaxed) - progress.left.load(Relaxed);
    Ok(json!({
        "open": open,
        "kib_before": before,
        "kib_after": after,
        "kib_per_socket": (after as f64 - before as f64) / open.max(1) as f64,
    }))
}

/// Resident memory once it has stopped falling: what signing up took is given back only later.
fn steady_kib(run: &Run, settling: Duration) -> u64 {
    let mut lowest = u64::MAX;
    loop {
        wait(settling);
        let now = resident_kib(&run.pids);
        if now.saturating_add(now / 100) >= lowest {
            return now;
        }
        lowest = now;
    }
}

/// Runs `work` once all have joined, with a reader for each thread.
fn with_readers<T>(
    run: &Run,
    pace: Option<Pace>,
    work: impl FnOnce(&Progress) -> io::Result<T>,
) -> io::Result<(Arc<Progress>, Vec<Worker>, T)> {
    let progress = Arc::new(Progress::new());
    let (mut senders, mut readers) = (Vec::new(), Vec::new());
    for number in 0..run.hall.threads {
        let (sender, joined) = sync_channel(UNDER_WAY);
        senders.push(sender);
        let (dialect, ours) = (Arc::clone(&run.dialect), Arc::clone(&progress));
        let mut worker = Worker::new(dialect, ours, run.hall, number, run.size, joined)?;
        let progress = Arc::clone(&progress);
        readers.push(thread::spawn(move || {
            loop {
                let (pace, measure) = match progress.phase() {
                    Phase::Listen => (None, false),
                    Phase::Speak => (pace, false),
                    Phase::Measure => (pace, true),
                    Phase::Stop => return Ok(worker),
                };
                worker.turn(pace, measure)?;
            }
        }));
    }
    let wanted: Vec<_> = (0..run.hall.seats()).map(|seat| Wanted { seat, after: None }).collect();
    let done = run.connector.join(&*run.dialect, run.hall, &wanted, &senders).and_then(|()| {
        while progress.joined.load(Relaxed) < wanted.len() as u64 {
            wait(GLANCE);
        }
        work(&progress)
    });
    progress.enter(Phase::Stop);
    let died = |_| io::Error::other("a reader panicked");
    let workers: io::Result<Vec<_>> =
        readers.into_iter().map(|reader| reader.join().map_err(died)?).collect();
    Ok((progress, workers?, done?))
}

/// What was counted at one moment.
struct Counts {
    at: Instant,
    said: u64,
    heard: u64,
    cpu: f64,
    own_cpu: f64,
}

impl Counts {
    fn now(progress: &Progress, pids: &[u32]) -> Self {
        Self {
            at: Instant::now(),
            said: progress.said.load(Relaxed),
            heard: progress.heard.load(Relaxed),
            cpu: cpu_seconds(pids),
            own_cpu: cpu_seconds(&[std::process::id()]),
        }
    }
}

/// Waits until everything said has been heard by `members` each, or nothing more comes.
fn silence(progress: &Progress, members: u64) {
    let (mut heard, mut since) = (progress.heard.load(Relaxed), Instant::now());
    while since.elapsed() < SILENCE && heard < progress.said.load(Relaxed) * members {
        wait(GLANCE);
        let now = progress.heard.load(Relaxed);
        if now != heard {
            (heard, since) = (now, Instant::now());
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "there is no executor here to block")]
fn wait(time: Duration) {
    thread::sleep(time);
}
