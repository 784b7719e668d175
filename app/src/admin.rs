//! What an operator does beside a running system: accounts, migrations, shards.

use std::io::Read;

use data::{Database, Migration};
use events::Log;
use popularity::{Operator, SlotSet};

use crate::config::Config;
use crate::folder;
use crate::run::say;
use crate::topology::open_database;

/// The longest password read from standard input, in bytes.
const LONGEST: u64 = 4096;

/// Makes an account with the password that standard input gives, and prints its `user_id`.
///
/// # Errors
/// If the database cannot be opened or the account cannot be made.
pub async fn create_user(
    config: &Config,
    name: &str,
    staff: bool,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut password = String::new();
    std::io::stdin().take(LONGEST).read_to_string(&mut password)?;
    let password = password.trim_end_matches(['\r', '\n']);
    let db = open_database(config, "accounts", accounts::MIGRATIONS).await?;
    let user_id = accounts::create_user(&db, name, password, staff).await?;
    say(&user_id.to_string());
    Ok(())
}

/// Brings every database up to this version, and prints what that took.
///
/// # Errors
/// If a database cannot be reached or was written by a newer version; those before it are done.
pub async fn migrate(config: &Config) -> Result<(), Box<dyn std::error::Error>> {
    folder::prepare(&config.data)?;
    let services: [(&str, &[&[Migration]]); 4] = [
        ("accounts", accounts::MIGRATIONS),
        ("palettes", palettes::MIGRATIONS),
        ("popularity", popularity::MIGRATIONS),
        ("chat", chat::MIGRATIONS),
    ];
    let mut databases: Vec<_> = services
        .into_iter()
        .map(|(service, steps)| (service.to_owned(), config.database(service), steps))
        .collect();
    for (place, shard) in config.popularity.shards.iter().enumerate() {
        let name = format!("popularity, shard {}", place + 1);
        databases.push((name, shard.database.clone(), popularity::MIGRATIONS));
    }
    for (name, settings, steps) in databases {
        let applied = Database::migrate_only(&settings, steps)
            .await
            .map_err(|error| format!("{name}: {error}"))?;
        match applied {
            0 => say(&format!("{name}: nothing to do")),
            1 => say(&format!("{name}: 1 step")),
            steps => say(&format!("{name}: {steps} steps")),
        }
    }
    Log::open(&config.event_log()).await.map_err(|error| format!("events: {error}"))?;
    say("events: up to date");
    Ok(())
}

async fn operator(config: &Config) -> Result<Operator, Box<dyn std::error::Error>> {
    let db = open_database(config, "popularity", popularity::MIGRATIONS).await?;
    Ok(Operator::open(db, &config.popularity).await?)
}

/// Prints which shard of popularity holds which slots, and what moves.
///
/// # Errors
/// If the settings cannot be used or the service's own database cannot be opened.
pub async fn shards(config: &Config) -> Result<(), Box<dyn std::error::Error>> {
    for shard in operator(config).await?.status().await {
        let number = shard.number;
        let Some(slots) = shard.slots else {
            say(&format!("shard {number}: cannot be reached"));
            continue;
        };
        let mut line = format!("shard {number}: {} slots: {}", slots.held.len(), slots.held);
        for (what, some) in
            [("leaving", slots.leaving), ("arriving", slots.arriving), ("left", slots.left)]
        {
            if !some.is_empty() {
                line += &format!("; {what}: {some}");
            }
        }
        say(&line);
    }
    Ok(())
}

/// Moves slots to a shard, one after the other, and prints what became of each.
///
/// # Errors
/// If one cannot be moved; those before it are there. Asking again goes on where it ended.
pub async fn move_slots(
    config: &Config,
    slots: &[SlotSet],
    to: usize,
) -> Result<(), Box<dyn std::error::Error>> {
    let operator = operator(config).await?;
    for slot in slots.iter().flat_map(SlotSet::iter) {
        let moved = operator.move_slot(slot, to).await?;
        let waited = moved.fenced.as_millis();
        say(&format!(
            "slot {slot} is on shard {to} ({} rows copied; its writes waited for {waited} ms)",
            moved.rows
        ));
    }
    Ok(())
}
