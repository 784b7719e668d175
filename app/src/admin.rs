//! `atelier admin`: accounts, beside a running system.

use std::io::Read;

use crate::config::Config;
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
