//! `[chat]` of the configuration.

use std::time::Duration;

use data::GroupCommitSettings;
use serde::{Deserialize, Serialize};

/// The `[chat]` section. A limit of 0 is off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The longest message, in characters, 1 to 16384.
    pub message_characters: usize,
    /// Messages a minute that one account may send through one instance.
    pub messages_per_minute: u32,
    /// Read markers and signs of typing a minute of one account through one instance.
    pub signals_per_minute: u32,
    /// Chats and lobbies that one account may make in an hour through one instance.
    pub rooms_per_hour: u32,
    /// The most participants of a chat, 2 to 1000.
    pub participants_per_chat: usize,
    /// Sockets that one account may have open at one instance.
    pub sockets_per_account: usize,
    /// Sockets that one instance holds at most.
    pub max_sockets: usize,
    /// So many messages share a transaction at most, 1 to 4096.
    pub messages_in_a_batch: usize,
    /// So long a batch waits for company at most, in microseconds.
    pub batch_linger_micros: u64,
    /// So many messages wait at most; beyond, the answer is 503.
    pub messages_waiting: usize,
    /// How often an instance looks for what others wrote even if none has told it, in
    /// milliseconds, 1 to 10000.
    pub look_every_ms: u64,
    /// How long making a chat or changing who is in it tries to reach the accounts, in seconds.
    pub change_within_seconds: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            message_characters: 4_000,
            messages_per_minute: 600,
            signals_per_minute: 1_200,
            rooms_per_hour: 500,
            participants_per_chat: 250,
            sockets_per_account: 50,
            max_sockets: 100_000,
            messages_in_a_batch: 512,
            batch_linger_micros: 3_000,
            messages_waiting: 8_192,
            look_every_ms: 250,
            change_within_seconds: 3,
        }
    }
}

/// A setting out of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("chat.{name} is {value}; it goes from {least} to {most}")]
pub struct BadSetting {
    name: &'static str,
    value: u64,
    least: u64,
    most: u64,
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), BadSetting> {
        let ranges = [
            ("message_characters", self.message_characters as u64, 1, 16_384),
            ("participants_per_chat", self.participants_per_chat as u64, 2, 1_000),
            ("max_sockets", self.max_sockets as u64, 1, 10_000_000),
            ("messages_in_a_batch", self.messages_in_a_batch as u64, 1, 4_096),
            ("batch_linger_micros", self.batch_linger_micros, 0, 100_000),
            ("messages_waiting", self.messages_waiting as u64, 1, 1_000_000),
            ("look_every_ms", self.look_every_ms, 1, 10_000),
            ("change_within_seconds", self.change_within_seconds, 1, 60),
        ];
        let out =
            ranges.into_iter().find(|(_, value, least, most)| !(least..=most).contains(&value));
        out.map_or(Ok(()), |(name, value, least, most)| {
            Err(BadSetting { name, value, least, most })
        })
    }

    pub(crate) const fn batches(&self) -> GroupCommitSettings {
        GroupCommitSettings {
            max_batch: self.messages_in_a_batch,
            linger: Duration::from_micros(self.batch_linger_micros),
            queue: self.messages_waiting,
            patient: true,
        }
    }

    pub(crate) const fn look_every(&self) -> Duration {
        Duration::from_millis(self.look_every_ms)
    }

    pub(crate) const fn change_within(&self) -> Duration {
        Duration::from_secs(self.change_within_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_out_of_its_range_is_named() {
        assert_eq!(Settings::default().check(), Ok(()));
        let settings = Settings { look_every_ms: 0, ..Settings::default() };
        let error = settings.check().unwrap_err().to_string();
        assert_eq!(error, "chat.look_every_ms is 0; it goes from 1 to 10000");
    }
}
