//! How many sockets a hub takes, and how far each may go.

use std::time::Duration;

/// Bounds and times of a [`crate::Hub`]. The defaults suit a public feed.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Names the hub in metrics and logs.
    pub name: &'static str,
    /// Open sockets; one more is refused with 503.
    pub max_sockets: usize,
    /// Largest message taken from a client, in bytes; more closes with 1009.
    pub max_message: usize,
    /// Frames a second taken from one client; past it and `burst`, its socket is read no faster
    /// than this. 0 is off.
    pub frames_per_second: u32,
    /// Frames a client may send at once on top of that.
    pub burst: u32,
    /// Bytes that may wait for one reader whose connection takes no more; past it the reader is
    /// cut off with 1013. What a socket was given as its first frames does not count.
    pub max_behind_bytes: usize,
    /// Frames that may wait for one reader.
    pub max_behind_frames: usize,
    /// Bytes published and not yet written to any reader, for the whole hub; past it the readers
    /// of what does not fit are cut off with 1013.
    pub max_backlog: usize,
    /// At most one write a socket in this time: frames published meanwhile share the next.
    /// Zero writes at once.
    pub pace: Duration,
    /// Time between pings; each socket's is up to a quarter shorter, so that they spread.
    pub ping_every: Duration,
    /// A peer from which nothing came for this long after a ping is taken for dead.
    pub pong_within: Duration,
    /// How long a closing handshake may take.
    pub close_within: Duration,
    /// How long the upgrade and the first frames of a socket may take.
    pub setup_within: Duration,
    /// Loops that write, each with its part of the sockets; 0 takes one for two cores, at most
    /// four. More shorten the time a frame takes to reach many readers, not the work.
    pub loops: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: "hub",
            max_sockets: 100_000,
            max_message: 64 << 10,
            frames_per_second: 50,
            burst: 100,
            max_behind_bytes: 256 << 10,
            max_behind_frames: 4096,
            max_backlog: 64 << 20,
            pace: Duration::ZERO,
            ping_every: Duration::from_secs(30),
            pong_within: Duration::from_secs(20),
            close_within: Duration::from_secs(5),
            setup_within: Duration::from_secs(30),
            loops: 0,
        }
    }
}

impl Settings {
    pub(crate) fn loops(&self) -> usize {
        if self.loops > 0 {
            return self.loops;
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (cores / 2).clamp(1, 4)
    }
}
