//! Logs: one line an event on standard error, JSON for machines or readable for people.

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Readable,
    /// One JSON object a line.
    Json,
}

/// `[log]` of the configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// How a line looks.
    pub format: LogFormat,
    /// What is logged, as `tracing` filters write it: `info`, `warn,palettes=debug`.
    pub level: String,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { format: LogFormat::Readable, level: "warn".into() }
    }
}

/// The level is no filter that `tracing` understands.
#[derive(Debug, thiserror::Error)]
#[error("log.level: {0}")]
pub struct BadLevel(String);

/// Starts logging for this process. A second call changes nothing.
///
/// # Errors
/// [`BadLevel`] if the level cannot be read.
pub fn init(settings: &LogSettings) -> Result<(), BadLevel> {
    let filter = EnvFilter::try_new(&settings.level).map_err(|e| BadLevel(e.to_string()))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // The only error is that logging has begun already, which is what is wanted.
    drop(match settings.format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Readable => lines.with_ansi(false).try_init(),
    });
    Ok(())
}
