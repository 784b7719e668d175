//! One thread's share of the members: reads them all, lets its speakers speak, checks what is heard.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Receiver;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use super::connect::Joined;
use super::dialect::{Dialect, Piece};
use super::latency::Latencies;
use super::order::{Heard, Order};
use super::progress::Progress;
use super::run::Pace;
use super::seat::{Hall, Seat};
use super::stamp::{Stamp, sequence};

/// Room for what one socket has at a time.
const BUFFER: usize = 256 << 10;
/// Sockets looked at before speakers have their turn again.
const EVENTS: usize = 256;
/// How long nothing needs to happen.
const REST: u64 = 2_000_000;
/// What a speaker may have said that the server has not taken.
const UNSENT: usize = 64 << 10;
const SECOND: u64 = 1_000_000_000;

/// What was wrong with what was heard.
#[derive(Clone, Copy, Default)]
pub(super) struct Faults {
    /// Heard twice
    pub(super) again: u64,
    /// Heard in another order than others did
    pub(super) disordered: u64,
    /// Numbers that did not follow their predecessors
    pub(super) gaps: u64,
}

/// One who speaks.
pub(super) struct Speaker {
    id: u16,
    seat: usize,
    pub(super) said: u32,
    /// What it heard itself say
    heard: u32,
    /// What it has not heard itself say, where that is to be said again
    unheard: VecDeque<(u32, String)>,
}

impl Speaker {
    /// How much it heard itself say.
    pub(super) fn heard(&self) -> u32 {
        self.heard
    }
}

/// The members of one thread.
pub(super) struct Worker {
    dialect: Arc<dyn Dialect>,
    progress: Arc<Progress>,
    threads: usize,
    size: usize,
    /// Whether what a speaker has not heard is said again when it comes back
    pub(super) insists: bool,
    joined: Receiver<Joined>,
    epoll: OwnedFd,
    buffer: Vec<u8>,
    pub(super) seats: Vec<Seat>,
    pub(super) speakers: Vec<Speaker>,
    /// Seats with something unsent
    blocked: Vec<usize>,
    next_speaker: usize,
    due: Option<u64>,
    pub(super) orders: Vec<Order>,
    pub(super) latencies: Latencies,
    pub(super) faults: Faults,
}

impl Worker {
    /// The members whose number is `thread` modulo the threads; texts of `size` bytes.
    pub(super) fn new(
        dialect: Arc<dyn Dialect>,
        progress: Arc<Progress>,
        hall: Hall,
        thread: usize,
        size: usize,
        joined: Receiver<Joined>,
    ) -> io::Result<Self> {
        let indices = (thread..hall.seats()).step_by(hall.threads);
        let mut seats: Vec<_> = indices.map(|index| Seat::new(hall.place(index).0)).collect();
        let mut speakers = Vec::new();
        for speaker in 0..hall.speakers {
            let index = hall.speaks_at(speaker);
            if index % hall.threads == thread {
                let (id, seat) = (speaker as u16, index / hall.threads);
                seats[seat].speaker = Some(id);
                speakers.push(Speaker { id, seat, said: 0, heard: 0, unheard: VecDeque::new() });
            }
        }
        Ok(Self {
            dialect,
            progress,
            threads: hall.threads,
            size,
            insists: false,
            joined,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            buffer: vec![0; BUFFER],
            seats,
            speakers,
            blocked: Vec::new(),
            next_speaker: 0,
            due: None,
            orders: (0..hall.rooms).map(|_| Order::default()).collect(),
            latencies: Latencies::default(),
            faults: Faults::default(),
        })
    }

    /// Takes who joined, speaks at `pace`, waits for something to read and reads it.
    pub(super) fn turn(&mut self, pace: Option<Pace>, measure: bool) -> io::Result<()> {
        while let Ok(joined) = self.joined.try_recv() {
            self.admit(joined, measure)?;
        }
        for seat in std::mem::take(&mut self.blocked) {
            self.flush(seat);
        }
        let rest = self.speak(pace);
        let rest = Timespec { tv_sec: 0, tv_nsec: rest as _ };
        let mut events = Vec::with_capacity(EVENTS);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&rest)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events {
            self.read(event.data.u64() as usize, measure);
        }
        Ok(())
    }

    fn admit(&mut self, joined: Joined, measure: bool) -> io::Result<()> {
        let at = joined.seat / self.threads;
        let data = epoll::EventData::new_u64(at as u64);
        epoll::add(&self.epoll, &joined.stream, data, epoll::EventFlags::IN)?;
        let seat = &mut self.seats[at];
        seat.stream = Some(joined.stream);
        self.progress.joined.fetch_add(1, Relaxed);
        let length = joined.read.len();
        self.buffer[..length].copy_from_slice(&joined.read);
        self.hear(at, length, measure);
        if let Some(id) = self.seats[at].speaker
            && let Some(speaker) = self.speakers.iter().find(|speaker| speaker.id == id)
        {
            let seat = &mut self.seats[at];
            for (_, text) in &speaker.unheard {
                self.dialect.say(seat.room, text, &mut seat.unsent);
            }
            self.flush(at);
        }
        Ok(())
    }

    /// Lets speak whoever is due; returns how long nobody will be, in nanoseconds.
    fn speak(&mut self, pace: Option<Pace>) -> u64 {
        match pace {
            None => {
                self.due = None;
                REST
            }
            Some(Pace::PerSecond(_)) if self.speakers.is_empty() => REST,
            Some(Pace::PerSecond(rate)) => {
                let now = self.progress.now();
                // What was not said for a second is not made good.
                let mut due = self.due.unwrap_or(now).max(now.saturating_sub(SECOND));
                let every = (SECOND as f64 / rate.max(f64::MIN_POSITIVE)) as u64;
                while due <= now {
                    self.say(self.next_speaker);
                    self.next_speaker = (self.next_speaker + 1) % self.speakers.len();
                    due += every.max(1);
                }
                self.due = Some(due);
                (due - now).min(REST)
            }
            Some(Pace::Window { size, until }) => {
                for speaker in 0..self.speakers.len() {
                    while {
                        let Speaker { said, heard, seat, .. } = self.speakers[speaker];
                        said.saturating_sub(heard) < size && said < until && self.can_say(seat)
                    } {
                        self.say(speaker);
                    }
                }
                REST
            }
        }
    }

    fn can_say(&self, seat: usize) -> bool {
        self.seats[seat].stream.is_some() && self.seats[seat].unsent.len() < UNSENT
    }

    fn say(&mut self, speaker: usize) {
        let at = self.speakers[speaker].seat;
        if !self.can_say(at) {
            return;
        }
        let speaker = &mut self.speakers[speaker];
        let stamp = Stamp { at: self.progress.now(), speaker: speaker.id, number: speaker.said };
        let text = stamp.text(self.size);
        let seat = &mut self.seats[at];
        self.dialect.say(seat.room, &text, &mut seat.unsent);
        speaker.said += 1;
        self.progress.said.fetch_add(1, Relaxed);
        if self.insists {
            speaker.unheard.push_back((stamp.number, text));
        }
        self.flush(at);
    }

    fn flush(&mut self, at: usize) {
        let seat = &mut self.seats[at];
        let Some(stream) = &mut seat.stream else { return };
        while !seat.unsent.is_empty() {
            match stream.write(&seat.unsent) {
                Ok(sent) => drop(seat.unsent.drain(..sent)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.blocked.push(at);
                    return;
                }
                // Reading will tell that it has ended.
                Err(_) => seat.unsent.clear(),
            }
        }
    }

    fn read(&mut self, at: usize, measure: bool) {
        let seat = &mut self.seats[at];
        let Some(stream) = &mut seat.stream else { return };
        let kept = seat.pending.len();
        match stream.read(&mut self.buffer[kept..]) {
            Ok(read @ 1..) => {
                self.buffer[..kept].copy_from_slice(&seat.pending);
                seat.pending.clear();
                self.hear(at, kept + read, measure);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => self.leave(at),
        }
    }

    fn leave(&mut self, at: usize) {
        let seat = &mut self.seats[at];
        if seat.stream.take().is_some() {
            self.progress.left.fetch_add(1, Relaxed);
        }
        seat.pending.clear();
        seat.unsent.clear();
    }

    /// Takes apart what is in the buffer.
    fn hear(&mut self, at: usize, length: usize, measure: bool) {
        let now = self.progress.now();
        let buffer = std::mem::take(&mut self.buffer);
        let (mut rest, mut heard) = (&buffer[..length], 0);
        let (mut answers, mut closed) = (Vec::new(), false);
        while let Some((piece, length)) = self.dialect.first(rest, &mut self.seats[at].hints[0]) {
            rest = &rest[length..];
            match piece {
                Piece::Said(frame) => {
                    let seat = &mut self.seats[at];
                    if let Some(stamp) = Stamp::find(frame, &mut seat.hints[1]) {
                        heard += u64::from(self.take(at, stamp, frame));
                        if measure {
                            self.latencies.add(now.saturating_sub(stamp.at));
                        }
                    }
                }
                Piece::Counted => heard += 1,
                Piece::Asked(answer) => answers.extend(answer),
                Piece::Closed => closed = true,
                Piece::Other => {}
            }
        }
        self.seats[at].pending.extend_from_slice(rest);
        self.buffer = buffer;
        self.progress.heard.fetch_add(heard, Relaxed);
        if closed || self.seats[at].pending.len() >= BUFFER {
            self.leave(at);
        } else if !answers.is_empty() {
            self.seats[at].unsent.extend(answers);
            self.flush(at);
        }
    }

    /// Checks one message; tells whether it was heard for the first time.
    fn take(&mut self, at: usize, stamp: Stamp, frame: &[u8]) -> bool {
        let seat = &mut self.seats[at];
        let heard = self.orders[seat.room].hear(&mut seat.position, stamp.speaker, stamp.number);
        match heard {
            Heard::Next => {}
            Heard::Again => self.faults.again += 1,
            Heard::Later | Heard::Elsewhere => self.faults.disordered += 1,
        }
        if self.dialect.numbers() {
            let number = sequence(frame, &mut seat.hints[2]).unwrap_or(0);
            self.faults.gaps += u64::from(seat.heard > 0 && number != seat.last + 1);
            seat.last = seat.last.max(number);
        }
        if heard == Heard::Again {
            return false;
        }
        seat.heard += 1;
        if seat.speaker == Some(stamp.speaker)
            && let Some(speaker) = self.speakers.iter_mut().find(|s| s.id == stamp.speaker)
        {
            speaker.heard += 1;
            if let Some(place) = speaker.unheard.iter().position(|(n, _)| *n == stamp.number) {
                speaker.unheard.remove(place);
            }
        }
        true
    }

    /// What the speakers of a room have said.
    pub(super) fn said_in(&self, room: usize) -> u64 {
        let here = |speaker: &&Speaker| self.seats[speaker.seat].room == room;
        self.speakers.iter().filter(here).map(|speaker| u64::from(speaker.said)).sum()
    }

    /// Which seats (of this thread) speak.
    pub(super) fn speaks(&self, seat: usize) -> bool {
        self.seats[seat].speaker.is_some()
    }

    /// Whether all speakers heard all they said.
    pub(super) fn all_acknowledged(&self) -> bool {
        self.speakers.iter().all(|speaker| speaker.heard == speaker.said)
    }
}
