//! When something is due for a socket, and how fast its peer may send. In microseconds of the
//! host's clock.

use crate::host::{Host, Key, Meta};

/// Times far apart may share a wake-up of the loop: pings are due at multiples of this.
const GRAIN: u64 = 100_000;

#[derive(Debug, Default)]
pub(super) struct Times {
    ping_at: u64,
    /// 0 while no pong is awaited.
    pong_by: u64,
    close_by: u64,
    /// When the frames seen so far would have come at the permitted rate (generic cell rate
    /// algorithm, ITU-T I.371): frames may run ahead of it by the burst.
    earned: u64,
    /// Not to be read before; 0 is free.
    deaf_until: u64,
}

impl Times {
    pub(super) fn start<K: Key, M: Meta>(&mut self, host: &Host<K, M>) {
        self.ping_at = next_ping(host);
    }

    /// A moment at which [`super::Conn::tend`] has something to do.
    pub(super) fn due(&self, open: bool) -> u64 {
        if !open {
            return self.close_by;
        }
        [self.pong_by, self.deaf_until]
            .into_iter()
            .filter(|at| *at > 0)
            .fold(self.ping_at, u64::min)
    }

    pub(super) fn heard(&mut self) {
        self.pong_by = 0;
    }

    pub(super) fn close_by<K: Key, M: Meta>(&mut self, host: &Host<K, M>) {
        self.close_by = host.now() + micros(host.settings.close_within);
    }

    /// Whether the peer has let a time pass. One who is not listened to (`deaf`) is given more.
    pub(super) fn is_late<K: Key, M: Meta>(
        &mut self,
        open: bool,
        deaf: bool,
        host: &Host<K, M>,
    ) -> bool {
        let now = host.now();
        if self.deaf_until <= now {
            self.deaf_until = 0;
        }
        if !open {
            return now >= self.close_by;
        }
        if self.pong_by == 0 || now < self.pong_by {
            return false;
        }
        if deaf {
            self.pong_by = now + micros(host.settings.pong_within);
        }
        !deaf
    }

    /// Whether to ping now; if so, the next ping and the answer's time are set.
    pub(super) fn is_ping_due<K: Key, M: Meta>(&mut self, host: &Host<K, M>) -> bool {
        let now = host.now();
        if now < self.ping_at {
            return false;
        }
        self.ping_at = next_ping(host);
        if self.pong_by == 0 {
            self.pong_by = now + micros(host.settings.pong_within);
        }
        true
    }

    /// Notes a frame of the peer against its rate.
    pub(super) fn count_frame<K: Key, M: Meta>(&mut self, host: &Host<K, M>) {
        let settings = &host.settings;
        if settings.frames_per_second == 0 {
            return;
        }
        let every = 1_000_000 / u64::from(settings.frames_per_second);
        let ahead = every * u64::from(settings.burst);
        let now = host.now();
        self.earned = self.earned.max(now) + every;
        if self.earned > now + ahead {
            self.deaf_until = self.earned - ahead;
        }
    }

    pub(super) fn is_throttled<K: Key, M: Meta>(&self, host: &Host<K, M>) -> bool {
        self.deaf_until > host.now()
    }
}

/// Up to a quarter earlier than asked, so that sockets which came together part.
fn next_ping<K: Key, M: Meta>(host: &Host<K, M>) -> u64 {
    let every = micros(host.settings.ping_every);
    let at = host.now() + every - rand::random_range(0..=every / 4);
    at.next_multiple_of(GRAIN)
}

pub(super) fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 4).min(u64::MAX / 4)
}
