//! Who is the primary, and which replicas may be read from: decided from what the servers last said
//! of themselves, without IO.
//!
//! A server says whether it follows another, how far it has come in the log of changes (its LSN),
//! and, if it follows nobody, in which timeline it writes. A promotion begins a new timeline, so of
//! two servers that both take writes the one with the larger is the primary, and one with a smaller
//! is what is left of an earlier one: it is neither written to nor read from.
//!
//! Invariants:
//! - a server of an older timeline than was ever seen is not the primary;
//! - a replica is read from only if it has all that was acknowledged [`MOST_LAG`] ago. While no
//!   primary answers, nobody can tell; then it must have all that the primary was last seen to have.

use std::collections::VecDeque;
use std::time::Duration;

/// How old what a replica shows may be. Less than the two seconds for which the gateway remembers
/// who has written and has them read from the primary: so nobody misses their own writes.
pub const MOST_LAG: Duration = Duration::from_millis(1_500);

/// So many samples of the primary are kept; more than fit into [`MOST_LAG`].
const SAMPLES: usize = 32;

/// What a server says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It takes writes.
    Writes {
        /// Which timeline it writes.
        timeline: i64,
        /// How far it has come.
        lsn: i64,
    },
    /// It follows another.
    Follows {
        /// What it has applied.
        lsn: i64,
    },
    /// Nothing in time.
    Nothing,
}

/// What is known of the servers of one database.
pub(crate) struct Roles {
    said: Vec<Said>,
    primary: usize,
    /// The largest that was ever seen.
    timeline: i64,
    /// When the primary was asked (milliseconds) and how far it had come.
    samples: VecDeque<(u64, i64)>,
    /// Up to when each replica has everything, in the same time.
    has_until: Vec<Option<u64>>,
}

impl Roles {
    /// The first is taken for the primary until it turns out otherwise.
    pub(crate) fn new(servers: usize) -> Self {
        Self {
            said: vec![Said::Nothing; servers],
            primary: 0,
            timeline: 0,
            samples: VecDeque::new(),
            has_until: vec![None; servers],
        }
    }

    pub(crate) const fn primary(&self) -> usize {
        self.primary
    }

    /// Whether the primary answers and takes writes.
    pub(crate) fn has_primary(&self) -> bool {
        self.is_primary(self.primary)
    }

    /// Up to when a replica has everything; none for what is not to be read from.
    pub(crate) fn has_until(&self, server: usize) -> Option<u64> {
        self.has_until[server].filter(|_| server != self.primary)
    }

    /// Takes note of what a server said when it was asked at `at`.
    pub(crate) fn heard(&mut self, server: usize, at: u64, said: Said) {
        self.said[server] = said;
        if let Said::Writes { timeline, .. } = said {
            self.timeline = self.timeline.max(timeline);
        }
        self.choose();
        match said {
            Said::Writes { lsn, .. } if server == self.primary && self.has_primary() => {
                // Asked at once by two, the earlier question may be answered later.
                if self.samples.back().is_none_or(|(last, _)| *last <= at) {
                    self.samples.push_back((at, lsn));
                }
                if self.samples.len() > SAMPLES {
                    self.samples.pop_front();
                }
            }
            Said::Follows { lsn } => self.has_until[server] = self.up_to(lsn, at),
            Said::Writes { .. } | Said::Nothing => self.has_until[server] = None,
        }
    }

    fn choose(&mut self) {
        if self.has_primary() {
            return;
        }
        if let Some(server) = (0..self.said.len()).find(|server| self.is_primary(*server)) {
            self.primary = server;
            self.samples.clear();
            self.has_until.fill(None);
        }
    }

    fn is_primary(&self, server: usize) -> bool {
        matches!(self.said[server], Said::Writes { timeline, .. } if timeline == self.timeline)
    }

    /// Up to when a replica with so much has everything, at `at`.
    fn up_to(&self, lsn: i64, at: u64) -> Option<u64> {
        let last = self.samples.back();
        if !self.has_primary() {
            return last.is_none_or(|(_, written)| *written <= lsn).then_some(at);
        }
        self.samples.iter().rev().find(|(_, written)| *written <= lsn).map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn writes(timeline: i64, lsn: i64) -> Said {
        Said::Writes { timeline, lsn }
    }

    const fn follows(lsn: i64) -> Said {
        Said::Follows { lsn }
    }

    #[test]
    fn the_largest_timeline_is_the_primary_and_the_old_one_is_nothing() {
        let mut roles = Roles::new(2);
        roles.heard(0, 0, writes(1, 10));
        roles.heard(1, 0, follows(10));
        assert_eq!((roles.primary(), roles.has_until(1)), (0, Some(0)));
        roles.heard(0, 10, Said::Nothing);
        assert!(!roles.has_primary());
        roles.heard(1, 10, writes(2, 12));
        assert_eq!((roles.primary(), roles.has_primary()), (1, true));
        // It comes back, further than the new one ever was.
        roles.heard(0, 20, writes(1, 99));
        assert_eq!((roles.primary(), roles.has_until(0)), (1, None));
        roles.heard(1, 30, Said::Nothing);
        roles.heard(0, 30, writes(1, 100));
        assert!(!roles.has_primary(), "not even when the new one is away");
        roles.heard(0, 40, follows(12));
        roles.heard(1, 40, writes(2, 12));
        roles.heard(0, 50, follows(12));
        assert_eq!((roles.primary(), roles.has_until(0)), (1, Some(40)));
    }

    #[test]
    fn an_old_primary_that_is_seen_first_gives_way() {
        let mut roles = Roles::new(2);
        roles.heard(0, 0, writes(1, 99));
        assert_eq!(roles.primary(), 0);
        roles.heard(1, 1, writes(2, 50));
        assert_eq!(roles.primary(), 1);
    }

    #[test]
    fn a_replica_has_what_the_primary_had_when_it_was_as_far() {
        let mut roles = Roles::new(2);
        for (at, lsn) in [(0, 10), (100, 20), (200, 30)] {
            roles.heard(0, at, writes(1, lsn));
        }
        roles.heard(1, 210, follows(25));
        assert_eq!(roles.has_until(1), Some(100));
        roles.heard(1, 220, follows(9));
        assert_eq!(roles.has_until(1), None);
        roles.heard(1, 230, follows(31));
        assert_eq!(roles.has_until(1), Some(200));
        // Without a primary, what it last had is all there is.
        roles.heard(0, 300, Said::Nothing);
        roles.heard(1, 310, follows(25));
        assert_eq!(roles.has_until(1), None);
        roles.heard(1, 320, follows(30));
        assert_eq!(roles.has_until(1), Some(320));
    }
}
