//! The command line. Bad flags end the process with code 2 and a line that says what is wrong.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use popularity::SlotSet;

/// A self-hosted home for a creative community.
#[derive(Debug, Parser)]
#[command(name = "atelier", version, max_term_width = 100)]
pub struct Arguments {
    /// What to do; `up` unless said otherwise.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What holds for every command.
    #[command(flatten)]
    pub common: Common,
    /// What holds for `up`, also when it is left out.
    #[command(flatten)]
    pub up: Up,
}

/// What holds for every command.
#[derive(Args, Clone, Debug, Default)]
pub struct Common {
    /// Where clients connect [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", env = "ATELIER_LISTEN", global = true)]
    pub listen: Option<String>,
    /// Where everything is kept [default: ./atelier-data]
    #[arg(long, value_name = "DIR", env = "ATELIER_DATA", global = true)]
    pub data: Option<PathBuf>,
    /// Settings, as TOML
    #[arg(long, value_name = "FILE", env = "ATELIER_CONFIG", global = true)]
    pub config: Option<PathBuf>,
    /// How log lines look [default: readable]
    #[arg(long, value_name = "FORMAT", global = true)]
    pub log_format: Option<LogFormat>,
    /// What is logged, for example `info` or `warn,palettes=debug` [default: warn]
    #[arg(long, value_name = "FILTER", global = true)]
    pub log_level: Option<String>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Readable,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// The name, as settings write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Readable => "readable",
            Self::Json => "json",
        }
    }
}

/// How the system is laid out on this machine.
#[derive(Args, Clone, Debug, Default)]
pub struct Up {
    /// Run every service as a process of its own
    #[arg(long)]
    pub split: bool,
    /// How many processes run a service, with --split
    #[arg(long, value_name = "SERVICE=N", value_parser = replicas, requires = "split")]
    pub replicas: Vec<(String, usize)>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run every service in one process, or with --split each in its own
    Up(Up),
    /// Run only these services in this process
    Serve {
        /// Their names
        #[arg(required = true, value_name = "SERVICE")]
        services: Vec<String>,
        /// End when this process, which started us, does
        #[arg(long, hide = true, value_name = "PID")]
        parent: Option<u32>,
    },
    /// Manage accounts beside a running system
    Admin {
        /// What to do
        #[command(subcommand)]
        command: Admin,
    },
    /// Bring every database up to this version, and do nothing else
    Migrate,
    /// Look at the databases over which likes and views are spread, and move slots between them
    Shards {
        /// What to do
        #[command(subcommand)]
        command: Shards,
    },
    /// Fill a running system with sample content
    Demo {
        /// Its address
        #[arg(long, default_value = "http://127.0.0.1:8080")]
        url: String,
    },
    /// Show the services of a running system and their health
    Status {
        /// Its address
        #[arg(long, default_value = "http://127.0.0.1:8080")]
        url: String,
    },
    /// Show the settings that apply, secrets masked
    Config,
    /// Print the OpenAPI document
    #[command(hide = true)]
    Openapi,
}

/// Managing accounts.
#[derive(Debug, Subcommand)]
pub enum Admin {
    /// Make an account; its password is read from standard input
    CreateUser {
        /// Its name
        name: String,
        /// Let it do what staff may
        #[arg(long)]
        staff: bool,
    },
}

/// The databases of popularity.
#[derive(Debug, Subcommand)]
pub enum Shards {
    /// Show which shard holds which slots
    Status,
    /// Move slots to a shard, while the system runs
    Move {
        /// Which: numbers and ranges, as in 7 12-20
        #[arg(required = true, value_name = "SLOT")]
        slots: Vec<SlotSet>,
        /// Where to
        #[arg(long, value_name = "SHARD")]
        to: usize,
    },
}

/// The most processes of one service on one machine.
const MOST_REPLICAS: usize = 16;

fn replicas(text: &str) -> Result<(String, usize), String> {
    let wrong = || format!("write SERVICE=N with N from 1 to {MOST_REPLICAS}");
    let (service, number) = text.split_once('=').ok_or_else(wrong)?;
    match number.parse() {
        Ok(n) if (1..=MOST_REPLICAS).contains(&n) => Ok((service.to_owned(), n)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn replicas_are_read() {
        assert_eq!(replicas("palettes=2"), Ok(("palettes".into(), 2)));
        for bad in ["palettes", "palettes=", "palettes=0", "palettes=17", "palettes=-1"] {
            assert!(replicas(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn up_is_what_happens_without_a_command() {
        let bare = Arguments::try_parse_from(["atelier", "--split", "--replicas", "palettes=2"]);
        assert!(bare.is_ok_and(|a| a.command.is_none() && a.up.split));
        assert!(Arguments::try_parse_from(["atelier", "--replicas", "palettes=2"]).is_err());
        assert!(Arguments::try_parse_from(["atelier", "serve"]).is_err());
    }

    #[test]
    fn slots_are_numbers_and_ranges() {
        let parse =
            |words: &[&str]| Arguments::try_parse_from([&["atelier", "shards"], words].concat());
        assert!(parse(&["status"]).is_ok());
        assert!(parse(&["move", "7", "12-20", "30,31", "--to", "2"]).is_ok());
        for bad in [&["move", "--to", "2"][..], &["move", "7"], &["move", "256", "--to", "1"]] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
