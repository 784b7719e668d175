//! From the command line to the command.

use std::process::ExitCode;

use clap::Parser;
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::arguments::{Admin, Arguments, Command, Shards};
use crate::config::Config;
use crate::topology::Service;
use crate::{admin, demo, openapi, run, split, status};

/// The process: reads its arguments, does what they say, tells how it went.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match start(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say_failure(&*error);
            ExitCode::from(1)
        }
    }
}

#[allow(clippy::print_stderr)]
fn say_failure(error: &dyn std::error::Error) {
    eprintln!("atelier: {error}");
}

fn start(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    // Two providers are in the build; without a choice rustls panics at the first handshake.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    raise_file_limit();
    let config = Config::load(&arguments.common)?;
    telemetry::init(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let command = arguments.command.unwrap_or(Command::Up(arguments.up));
    runtime.block_on(async {
        match command {
            Command::Up(up) if up.split => {
                split::up(&config, &arguments.common, &up.replicas).await?;
            }
            Command::Up(_) => run::here(&config, &Service::ALL, None).await?,
            Command::Serve { services, parent } => {
                let services =
                    services.iter().map(|name| name.parse()).collect::<Result<Vec<_>, _>>()?;
                run::here(&config, &services, parent).await?;
            }
            Command::Admin { command: Admin::CreateUser { name, staff } } => {
                admin::create_user(&config, &name, staff).await?;
            }
            Command::Migrate => admin::migrate(&config).await?,
            Command::Shards { command: Shards::Status } => admin::shards(&config).await?,
            Command::Shards { command: Shards::Move { slots, to } } => {
                admin::move_slots(&config, &slots, to).await?;
            }
            Command::Demo { url } => demo::fill(&url).await?,
            Command::Status { url } => status::show(&url).await?,
            Command::Config => run::say(&Config::shown(&arguments.common)?),
            Command::Openapi => run::say(&openapi::document().to_pretty_json()?),
        }
        Ok(())
    })
}

/// Takes as many open files as the system allows: each client and each sibling is one.
fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it is refused, what was there before stays.
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files stays");
    }
}
