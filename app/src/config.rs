//! The settings of the system: defaults, then the TOML file, then `ATELIER__SECTION__KEY`, then
//! the command line. A key that does not exist is an error that names it.

mod shown;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use data::DataSettings;
use figment::providers::{Env, Format, Serialized, Toml};
use figment::value::{Dict, Map};
use figment::{Figment, Metadata, Profile, Provider};
use mesh::MeshSettings;
use serde::{Deserialize, Serialize};
use telemetry::LogSettings;

use crate::arguments::Common;

/// Everything that can be set.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where clients connect.
    pub listen: String,
    /// Where everything is kept that has no database or store of its own.
    pub data: PathBuf,
    /// `[log]`
    pub log: LogSettings,
    /// `[limits]`
    pub limits: Limits,
    /// `[discovery]`
    pub discovery: discovery::Settings,
    /// `[mesh]`
    pub mesh: MeshSettings,
    /// `[cache]`: what instances share of their caches.
    pub cache: cache::CacheSettings,
    /// `[events]`: where the event log is.
    pub events: Option<events::LogSettings>,
    /// `[database.SERVICE]`: the database of a service.
    pub database: BTreeMap<String, DataSettings>,
    /// `[gateway]`
    pub gateway: gateway::Settings,
    /// `[accounts]`
    pub accounts: accounts::Settings,
    /// `[palettes]`
    pub palettes: palettes::Settings,
    /// `[popularity]`
    pub popularity: popularity::Settings,
    /// `[chat]`
    pub chat: chat::Settings,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".into(),
            data: "atelier-data".into(),
            log: LogSettings::default(),
            limits: Limits::default(),
            discovery: discovery::Settings::default(),
            mesh: MeshSettings::default(),
            cache: cache::CacheSettings::default(),
            events: None,
            database: BTreeMap::new(),
            gateway: gateway::Settings::default(),
            accounts: accounts::Settings::default(),
            palettes: palettes::Settings::default(),
            popularity: popularity::Settings::default(),
            chat: chat::Settings::default(),
        }
    }
}

/// `[limits]`: what one address or account may do. 0 turns a limit off.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests a second from one address.
    pub requests_per_second_per_address: u32,
    /// Requests a second with one account's tokens.
    pub requests_per_second_per_account: u32,
    /// Accounts made in an hour from one address.
    pub sign_ups_per_hour_per_address: u32,
    /// Wrong passwords for one account in five minutes.
    pub failed_log_ins_per_account: u32,
}

impl Default for Limits {
    fn default() -> Self {
        let (gateway, accounts) = (gateway::Limits::default(), accounts::Settings::default());
        Self {
            requests_per_second_per_address: gateway.requests_per_second_per_address,
            requests_per_second_per_account: gateway.requests_per_second_per_account,
            sign_ups_per_hour_per_address: gateway.sign_ups_per_hour_per_address,
            failed_log_ins_per_account: accounts.failed_log_ins_per_account,
        }
    }
}

/// The settings cannot be used; one line that says why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadConfig(String);

impl Config {
    /// Puts the settings together.
    ///
    /// # Errors
    /// [`BadConfig`] for a file that cannot be read, an unknown key, or a value of a wrong type.
    pub fn load(arguments: &Common) -> Result<Self, BadConfig> {
        Self::of(&layers(arguments)?)
    }

    /// The settings that apply as TOML, each with where it comes from, and every secret masked.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn shown(arguments: &Common) -> Result<String, BadConfig> {
        let layers = layers(arguments)?;
        shown::shown(&Self::of(&layers)?, &layers)
    }

    fn of(layers: &Figment) -> Result<Self, BadConfig> {
        let mut config: Self = layers.extract().map_err(|error| {
            let lines: Vec<String> = error.into_iter().map(|e| e.to_string()).collect();
            BadConfig(lines.join("; "))
        })?;
        config.hand_out();
        Ok(config)
    }

    /// What several services keep, from the one place where it is set.
    fn hand_out(&mut self) {
        // As far back as a token can have been issued a gateway reads which sessions have ended,
        // and clocks may differ a little.
        let tokens = self.accounts.access_token_seconds.saturating_add(10).saturating_mul(1000);
        self.gateway.access_token_ms = self.gateway.access_token_ms.max(tokens);
        self.gateway.limits = gateway::Limits {
            requests_per_second_per_address: self.limits.requests_per_second_per_address,
            requests_per_second_per_account: self.limits.requests_per_second_per_account,
            sign_ups_per_hour_per_address: self.limits.sign_ups_per_hour_per_address,
        };
        self.accounts.failed_log_ins_per_account = self.limits.failed_log_ins_per_account;
        self.accounts.sign_ups_per_hour_per_address = self.limits.sign_ups_per_hour_per_address;
    }

    /// The database of a service: its own setting, or a file in the data folder.
    #[must_use]
    pub fn database(&self, service: &str) -> DataSettings {
        let own = self.database.get(service).cloned();
        own.unwrap_or_else(|| DataSettings::sqlite(self.data.join(format!("{service}.db"))))
    }

    /// Where the event log is: its own setting, or a file in the data folder.
    #[must_use]
    pub fn event_log(&self) -> events::LogSettings {
        let own = self.events.clone();
        own.unwrap_or_else(|| events::LogSettings::sqlite(self.data.join("events.db")))
    }
}

/// What the settings are put together from, the strongest last.
fn layers(arguments: &Common) -> Result<Figment, BadConfig> {
    let mut layers = Figment::from(Serialized::defaults(Config::default()));
    if let Some(file) = &arguments.config {
        readable(file)?;
        layers = layers.merge(Toml::file_exact(file));
    }
    layers = layers.merge(Env::prefixed("ATELIER__").split("__"));
    let format = arguments.log_format.map(|format| format.name().to_owned());
    let data = arguments.data.as_ref().map(|data| data.to_string_lossy().into_owned());
    for (flag, key, value) in [
        ("--listen", "listen", arguments.listen.clone()),
        ("--data", "data", data),
        ("--log-format", "log.format", format),
        ("--log-level", "log.level", arguments.log_level.clone()),
    ] {
        if let Some(value) = value {
            layers = layers.merge(Flag { flag, key, value });
        }
    }
    Ok(layers)
}

/// A setting of the command line.
struct Flag {
    flag: &'static str,
    key: &'static str,
    value: String,
}

impl Provider for Flag {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.flag)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Serialized::default(self.key, &self.value).data()
    }
}

fn readable(file: &Path) -> Result<(), BadConfig> {
    match std::fs::File::open(file) {
        Ok(_) => Ok(()),
        Err(error) => Err(BadConfig(format!("cannot read {}: {error}", file.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(toml: &str) -> Result<Config, BadConfig> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("atelier.toml");
        std::fs::write(&file, toml).expect("written");
        Config::load(&Common { config: Some(file), ..Common::default() })
    }

    #[test]
    fn an_unknown_key_is_named() {
        for (toml, key) in [("lisen = '1'", "lisen"), ("[mesh]\nlissten = '1'", "lissten")] {
            let error = load(toml).expect_err(toml).to_string();
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn the_command_line_wins_over_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("atelier.toml");
        std::fs::write(&file, "listen = '127.0.0.1:1'").expect("written");
        let mut arguments = Common { config: Some(file), ..Common::default() };
        assert_eq!(Config::load(&arguments).expect("file").listen, "127.0.0.1:1");
        arguments.listen = Some("127.0.0.1:2".into());
        assert_eq!(Config::load(&arguments).expect("both").listen, "127.0.0.1:2");
    }

    #[test]
    fn the_examples_can_be_used() {
        for example in ["atelier.example.toml", "atelier.cluster.example.toml"] {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
            let arguments = Common { config: Some(root.join(example)), ..Common::default() };
            let config = Config::load(&arguments).expect(example);
            let defaults = Config::load(&Common::default()).expect("defaults");
            assert_eq!(config.listen == defaults.listen, example == "atelier.example.toml");
            // An example that shows a default shows the one that is.
            if example == "atelier.example.toml" {
                let values = |config| toml::Table::try_from(config).expect("TOML");
                assert_eq!(values(config), values(defaults));
            }
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let arguments = Common { config: Some("missing.toml".into()), ..Common::default() };
        assert!(
            Config::load(&arguments).expect_err("missing").to_string().contains("missing.toml")
        );
    }

    #[test]
    fn limits_reach_who_keeps_them() {
        let config =
            load("[limits]\nfailed_log_ins_per_account = 3\nsign_ups_per_hour_per_address = 4");
        let config = config.expect("fine");
        assert_eq!(config.accounts.failed_log_ins_per_account, 3);
        assert_eq!(config.gateway.limits.sign_ups_per_hour_per_address, 4);
    }
}
