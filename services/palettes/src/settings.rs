//! `[palettes]` of the configuration.

use serde::{Deserialize, Serialize};

/// `[palettes]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Palettes kept in memory.
    pub cache_entries: u64,
    /// How long one is kept, in seconds. Changes are heard of at once; this bounds the harm when
    /// the event log is away.
    pub cache_seconds: u64,
    /// How long creating a palette tries to reach popularity, in seconds.
    pub create_within_seconds: u64,
    /// Memory that pictures may take together while they are read, in MiB. The largest picture
    /// that is accepted needs about 500; where there is less, one is read at a time.
    pub extract_memory_mib: u32,
    /// Pictures received, waiting or read at once; more are turned away with 503.
    pub extract_queue: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cache_entries: 50_000,
            cache_seconds: 60,
            create_within_seconds: 3,
            extract_memory_mib: 512,
            extract_queue: 32,
        }
    }
}

/// Why the service cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A setting that makes no sense.
    #[error("[palettes] {0} must be at least 1")]
    Setting(&'static str),
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        let least = [
            ("cache_seconds", self.cache_seconds),
            ("create_within_seconds", self.create_within_seconds),
            ("extract_memory_mib", u64::from(self.extract_memory_mib)),
            ("extract_queue", self.extract_queue as u64),
        ];
        match least.into_iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(BuildError::Setting(name)),
            None => Ok(()),
        }
    }
}
