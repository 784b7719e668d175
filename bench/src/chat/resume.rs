//! The process that holds everybody's sockets is killed; all come back at once and want what they
//! missed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::connect::Wanted;
use super::progress::Progress;
use super::run::{Pace, Run, UNDER_WAY};
use super::worker::Worker;

/// How long anything may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(120);

/// What happens.
pub struct Resume {
    /// The process to kill; somebody else starts it again at the same address
    pub kill: u32,
    /// How long all speak before that
    pub before: Duration,
    /// Messages a second until then
    pub rate: f64,
    /// Messages that each speaker says while the others are away
    pub missed: u32,
    /// How many of these a speaker has under way
    pub window: u32,
}

/// Reports how long it takes until all have everything, and what was lost or doubled.
pub fn resume(run: &Run, what: &Resume) -> io::Result<Value> {
    let progress = Arc::new(Progress::new());
    let (sender, joined) = sync_channel(UNDER_WAY);
    let (dialect, ours) = (Arc::clone(&run.dialect), Arc::clone(&progress));
    let mut worker = Worker::new(dialect, ours, run.hall, 0, run.size, joined)?;
    worker.insists = true;
    let all: Vec<_> = (0..run.hall.seats()).collect();
    join(run, &mut worker, &sender, &all, None, |_| true)?;

    // Killed in the middle of speaking.
    let speaking = Instant::now() + what.before;
    while Instant::now() < speaking {
        worker.turn(Some(Pace::PerSecond(what.rate)), false)?;
    }
    let pid = i32::try_from(what.kill).ok().and_then(Pid::from_raw);
    kill_process(pid.ok_or_else(|| io::Error::other("no such process"))?, Signal::KILL)?;
    let killed = Instant::now();
    until(&mut worker, None, |_| progress.left.load(Relaxed) == all.len() as u64)?;
    let unacknowledged = progress.said.load(Relaxed) - acknowledged(&worker);

    // The speakers are back first, say again what they have not heard, and then what others miss.
    let (speakers, others): (Vec<_>, Vec<_>) = all.iter().partition(|seat| worker.speaks(**seat));
    join(run, &mut worker, &sender, &speakers, None, Worker::all_acknowledged)?;
    let served_again = killed.elapsed();
    let said = worker.speakers.iter().map(|speaker| speaker.said).max().unwrap_or(0);
    let pace = Pace::Window { size: what.window, until: said + what.missed };
    let target = said + what.missed;
    until(&mut worker, Some(pace), |worker| {
        worker.all_acknowledged() && worker.speakers.iter().all(|speaker| speaker.said == target)
    })?;

    let wanted: Vec<_> = (0..run.hall.rooms).map(|room| worker.said_in(room)).collect();
    let missing = missing(&worker, &wanted);
    let began = Instant::now();
    let complete = |worker: &Worker| {
        worker.seats.iter().all(|seat| u64::from(seat.position) >= wanted[seat.room])
    };
    let came = join(run, &mut worker, &sender, &others, None, complete);
    let took = began.elapsed();
    // Whatever comes after everything has come is too much.
    let listen = Instant::now() + Duration::from_secs(1);
    while Instant::now() < listen {
        worker.turn(None, false)?;
    }
    Ok(json!({
        "clients": all.len(),
        "unacknowledged_when_killed": unacknowledged,
        "served_again_seconds": served_again.as_secs_f64(),
        "missing_when_back": missing,
        "back_seconds": came.as_ref().ok().map(Duration::as_secs_f64),
        "complete_seconds": took.as_secs_f64(),
        "failure": came.err().map(|error| error.to_string()),
        "lost": self::missing(&worker, &wanted),
        "doubled": worker.faults.again,
        "disordered": worker.faults.disordered,
        "gaps": worker.faults.gaps,
        "messages": wanted.iter().sum::<u64>(),
        "orders": worker.orders.iter().map(|order| order.len() as u64).sum::<u64>(),
    }))
}

/// Brings seats in at once and takes turns until they are and `done`; tells when the last was in.
fn join(
    run: &Run,
    worker: &mut Worker,
    sender: &SyncSender<super::connect::Joined>,
    seats: &[usize],
    pace: Option<Pace>,
    done: impl Fn(&Worker) -> bool,
) -> io::Result<Duration> {
    let wanted: Vec<_> = seats
        .iter()
        .map(|seat| {
            let last = worker.seats[*seat].last;
            Wanted { seat: *seat, after: (worker.seats[*seat].heard > 0).then_some(last) }
        })
        .collect();
    let (senders, began) = ([sender.clone()], Instant::now());
    thread::scope(|scope| {
        let joining =
            scope.spawn(|| run.connector.join(&*run.dialect, run.hall, &wanted, &senders));
        while !joining.is_finished() {
            worker.turn(pace, false)?;
        }
        joining.join().map_err(|_| io::Error::other("joining panicked"))??;
        let came = began.elapsed();
        until(worker, pace, |worker| {
            seats.iter().all(|seat| worker.seats[*seat].stream.is_some()) && done(worker)
        })?;
        Ok(came)
    })
}

fn until(
    worker: &mut Worker,
    pace: Option<Pace>,
    done: impl Fn(&Worker) -> bool,
) -> io::Result<()> {
    let began = Instant::now();
    while !done(worker) {
        if began.elapsed() > PATIENCE {
            return Err(io::Error::other("given up"));
        }
        worker.turn(pace, false)?;
    }
    Ok(())
}

/// Deliveries that are still to come, or never came.
fn missing(worker: &Worker, wanted: &[u64]) -> u64 {
    let of = |seat: &super::seat::Seat| wanted[seat.room].saturating_sub(u64::from(seat.heard));
    worker.seats.iter().map(of).sum()
}

fn acknowledged(worker: &Worker) -> u64 {
    worker.speakers.iter().map(|speaker| u64::from(speaker.heard())).sum()
}
