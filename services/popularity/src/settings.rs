//! What an operator can set.

use std::time::Duration;

use data::{DataSettings, GroupCommitSettings};
use serde::{Deserialize, Serialize};

use crate::model::slots::{BadSlots, Slot, SlotSet};

/// The `[popularity]` section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// So many likes share a transaction at most, 1 to 4096.
    pub likes_in_a_batch: usize,
    /// So long a batch waits for company at most, in microseconds.
    pub batch_linger_micros: u64,
    /// So many likes wait at most; beyond, the answer is 503.
    pub likes_waiting: usize,
    /// Views are written this often, in milliseconds, 1 to 5000; that many a kill can lose.
    pub flush_views_ms: u64,
    /// Changes of one palette reach its sockets at most once in this time, in milliseconds.
    pub coalesce_ms: u64,
    /// So many sockets one process holds at most.
    pub max_sockets: usize,
    /// A slot whose move shows no sign of life for so long is moved on by another process, in
    /// milliseconds.
    pub take_over_moves_after_ms: u64,
    /// More databases to spread the items over. The service's own database is shard 0, these are
    /// 1, 2 and so on; a place in this list is for ever.
    pub shards: Vec<ShardSettings>,
}

/// `[[popularity.shards]]`: one more database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShardSettings {
    /// The slots that begin here in a new system, as `0-84,200`; what no shard is given begins on
    /// shard 0. In a system that has items already, slots are where they are until they are moved.
    pub slots: String,
    /// Where it is.
    pub database: DataSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            likes_in_a_batch: 512,
            batch_linger_micros: 1_000,
            likes_waiting: 8_192,
            flush_views_ms: 1_000,
            coalesce_ms: 100,
            max_sockets: 100_000,
            take_over_moves_after_ms: 15_000,
            shards: Vec::new(),
        }
    }
}

/// Why the service cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A setting out of its range.
    #[error("popularity.{name} is {value}; it goes from {least} to {most}")]
    Setting {
        /// Which.
        name: &'static str,
        /// What it is.
        value: u64,
        /// The least it may be.
        least: u64,
        /// The most it may be.
        most: u64,
    },
    /// Slots that cannot be read.
    #[error("popularity.shards: {0}")]
    Slots(#[from] BadSlots),
    /// A slot that is given to two shards.
    #[error("popularity.shards: slot {0} is given to two of them")]
    TwoShards(Slot),
    /// The database cannot be used.
    #[error("{0}")]
    Database(#[from] data::DataError),
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        let within = |name, value, least, most| {
            if (least..=most).contains(&value) {
                Ok(())
            } else {
                Err(BuildError::Setting { name, value, least, most })
            }
        };
        within("likes_in_a_batch", self.likes_in_a_batch as u64, 1, 4096)?;
        within("batch_linger_micros", self.batch_linger_micros, 0, 1_000_000)?;
        within("likes_waiting", self.likes_waiting as u64, 1, 1_000_000)?;
        within("flush_views_ms", self.flush_views_ms, 1, 5_000)?;
        within("coalesce_ms", self.coalesce_ms, 1, 10_000)?;
        within("take_over_moves_after_ms", self.take_over_moves_after_ms, 100, 3_600_000)?;
        within("shards", self.shards.len() as u64, 0, 255)?;
        self.placement().map(drop)
    }

    /// The slots that begin on each of `shards`.
    pub(crate) fn placement(&self) -> Result<Vec<SlotSet>, BuildError> {
        let slots = |shard: &ShardSettings| shard.slots.parse();
        let slots = self.shards.iter().map(slots).collect::<Result<Vec<SlotSet>, BadSlots>>()?;
        let twice = |slot: &Slot| slots.iter().filter(|set| set.contains(*slot)).count() > 1;
        match Slot::all().find(twice) {
            Some(slot) => Err(BuildError::TwoShards(slot)),
            None => Ok(slots),
        }
    }

    pub(crate) fn take_over_moves_after(&self) -> Duration {
        Duration::from_millis(self.take_over_moves_after_ms)
    }

    pub(crate) fn batches(&self) -> GroupCommitSettings {
        GroupCommitSettings {
            max_batch: self.likes_in_a_batch,
            linger: Duration::from_micros(self.batch_linger_micros),
            queue: self.likes_waiting,
            patient: false,
        }
    }

    pub(crate) fn flush_views_every(&self) -> Duration {
        Duration::from_millis(self.flush_views_ms)
    }

    pub(crate) fn coalesce(&self) -> Duration {
        Duration::from_millis(self.coalesce_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_hold_and_what_is_out_of_range_is_named() {
        assert_eq!(Settings::default().check(), Ok(()));
        let settings = Settings { flush_views_ms: 60_000, ..Settings::default() };
        let error = settings.check().unwrap_err();
        assert_eq!(error.to_string(), "popularity.flush_views_ms is 60000; it goes from 1 to 5000");
    }

    #[test]
    fn a_slot_begins_on_one_shard() {
        let with = |slots: &[&str]| {
            let shard =
                |slots: &&str| ShardSettings { slots: (*slots).into(), ..Default::default() };
            Settings { shards: slots.iter().map(shard).collect(), ..Settings::default() }.check()
        };
        assert_eq!(with(&["0-84", "85-169,200", ""]), Ok(()));
        let error = with(&["0-84", "84"]).unwrap_err().to_string();
        assert_eq!(error, "popularity.shards: slot 84 is given to two of them");
        assert!(with(&["0-300"]).unwrap_err().to_string().contains("0-300"));
    }
}
