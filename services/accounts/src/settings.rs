//! What an operator can set.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The settings of the accounts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The fewest characters of a new password; 256 are the most.
    pub shortest_password: usize,
    /// How long an access token lives, in seconds; a day at most.
    pub access_token_seconds: u64,
    /// How long a session lives that is not used, in days.
    pub session_days: u32,
    /// How many sessions an account has at most; one more ends the oldest.
    pub sessions_per_account: u32,
    /// Whether cookies are sent back over TLS alone. Set it wherever the gateway speaks TLS.
    pub secure_cookies: bool,
    /// The services that are told to erase a deleted user, in this order.
    pub erase_in: Vec<String>,
    /// How passwords are hashed.
    pub hashing: Hashing,
    /// Failed log-ins for one name in five minutes; 0 is off. All instances count together.
    pub failed_log_ins_per_account: u32,
    /// Failed log-ins from one address (for IPv6, one /64) in five minutes; 0 is off.
    pub failed_log_ins_per_address: u32,
    /// Sign-ups from one address in an hour; 0 is off.
    pub sign_ups_per_hour_per_address: u32,
}

/// Argon2id and how much of it at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hashing {
    /// Memory of one hash in KiB. The default is OWASP's first recommendation.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
    /// Hashes at once; 0: one a processor.
    pub at_once: usize,
    /// Requests that wait for their turn; one more is answered 503.
    pub waiting: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            shortest_password: 5,
            access_token_seconds: auth::ACCESS_LIFETIME.as_secs(),
            session_days: 30,
            sessions_per_account: 1_000,
            secure_cookies: false,
            erase_in: ["palettes", "popularity", "chat"].map(str::to_owned).to_vec(),
            hashing: Hashing::default(),
            failed_log_ins_per_account: 10,
            failed_log_ins_per_address: 300,
            sign_ups_per_hour_per_address: 2_000,
        }
    }
}

impl Default for Hashing {
    fn default() -> Self {
        Self { memory_kib: 19_456, passes: 2, lanes: 1, at_once: 0, waiting: 256 }
    }
}

impl Settings {
    /// How long an access token lives.
    #[must_use]
    pub fn access_lifetime(&self) -> Duration {
        Duration::from_secs(self.access_token_seconds).min(auth::LONGEST_LIFETIME)
    }

    /// How long a session lives unused, in milliseconds.
    #[must_use]
    pub fn session_millis(&self) -> i64 {
        i64::from(self.session_days) * 24 * 60 * 60 * 1000
    }
}
