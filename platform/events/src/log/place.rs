//! A reader's place in the log, and how it notices that the log is not the one it knows.
//!
//! A place is a number and the id of the event that stands there. Each read begins at the place
//! itself and looks whether that event still is where it was: if another one is, or the log is
//! shorter, then the log was replaced (a broker that came back without its store, a database from
//! a backup, another engine) and its numbers mean something else. If it is gone and the next ones
//! too, the reader was away for longer than events are kept.

use std::sync::Arc;

use super::entry::Recorded;

/// A number in the log, and the id of the event there; empty when it is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) seq: i64,
    pub(crate) id: Arc<str>,
}

impl Mark {
    /// Before the first event.
    pub(crate) fn start() -> Self {
        Self::at(0)
    }

    pub(crate) fn at(seq: i64) -> Self {
        Self { seq, id: "".into() }
    }

    pub(crate) fn of(event: &Recorded) -> Self {
        Self { seq: event.seq, id: event.id.as_str().into() }
    }

    /// Whether both are one place in one log, as far as is known.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        let known = |mark: &Self| mark.seq > 0 && !mark.id.is_empty();
        self.seq == other.seq && (!known(self) || !known(other) || self.id == other.id)
    }
}

/// Why a reader cannot just go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Gap {
    /// What came after `after` is not kept any more; it goes on with `first`.
    #[error(
        "away for longer than the event log is kept: what came after {after} and before {first} \
         was missed"
    )]
    Missed { after: i64, first: i64 },
    /// The log is another one than that of which `after` was read; it begins at the beginning.
    #[error("the event log is not the one that was read up to {after}: reading all of it")]
    Replaced { after: i64 },
}

/// What was found from a place on.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) events: Vec<Recorded>,
    /// Whether there is more.
    pub(crate) more: bool,
    pub(crate) gap: Option<Gap>,
}

impl Page {
    /// Judges the events that stand at `place` and after it, of which at most `limit` and one were
    /// asked for. `highest` is the largest number ever given; it need not be right when there are
    /// events.
    pub(super) fn judge(place: &Mark, mut found: Vec<Recorded>, limit: u64, highest: i64) -> Self {
        let more = found.len() as u64 > limit;
        let after = place.seq;
        let replaced = Self { events: Vec::new(), more: true, gap: Some(Gap::Replaced { after }) };
        let mut gap = None;
        if after > 0 {
            match found.first() {
                None if highest < after => return replaced,
                None => {}
                Some(event) if event.seq == after => {
                    if !place.agrees(&Mark::of(event)) {
                        return replaced;
                    }
                    found.remove(0);
                }
                Some(event) if event.seq > after + 1 => {
                    gap = Some(Gap::Missed { after, first: event.seq });
                }
                Some(_) => {}
            }
        }
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Self { events: found, more, gap }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: i64) -> Recorded {
        let id = format!("id{seq}");
        Recorded { seq, id, name: "n".into(), key: "k".into(), at: 0, payload: ().into() }
    }

    fn judged(place: &Mark, seqs: &[i64], highest: i64) -> (Vec<i64>, Option<Gap>) {
        let found = seqs.iter().map(|seq| event(*seq)).collect();
        let page = Page::judge(place, found, 10, highest);
        (page.events.iter().map(|event| event.seq).collect(), page.gap)
    }

    #[test]
    fn a_place_in_the_same_log_is_gone_on_from() {
        let known = Mark::of(&event(5));
        assert_eq!(judged(&known, &[5, 6, 9], 0), (vec![6, 9], None));
        assert_eq!(judged(&Mark::at(5), &[5, 6], 0), (vec![6], None));
        assert_eq!(judged(&Mark::start(), &[3, 4], 0), (vec![3, 4], None));
        assert_eq!(judged(&known, &[], 5), (vec![], None));
        // Forgotten itself, but not what follows.
        assert_eq!(judged(&known, &[6, 7], 0), (vec![6, 7], None));
    }

    #[test]
    fn another_log_is_noticed() {
        let replaced = (vec![], Some(Gap::Replaced { after: 5 }));
        let other = Mark { seq: 5, id: "other".into() };
        assert_eq!(judged(&other, &[5, 6], 0), replaced);
        assert_eq!(judged(&other, &[], 4), replaced);
    }

    #[test]
    fn what_was_forgotten_meanwhile_is_told() {
        let missed = Some(Gap::Missed { after: 5, first: 9 });
        assert_eq!(judged(&Mark::of(&event(5)), &[9, 10], 0), (vec![9, 10], missed));
    }
}
