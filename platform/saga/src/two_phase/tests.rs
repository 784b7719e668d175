//! The protocol against every crash point and every lost, doubled, late or overtaken message, in
//! simulated time, on both engines.

#![allow(clippy::unwrap_used)]

mod crashes;
mod messages;
mod network;
mod random;
mod rules;
mod site;
mod world;

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use data::{DataSettings, Database, Migration, Sql, Tx, values};
use rest::Problem;
use testkit::on_each_engine;
use uuid::Uuid;

use super::{Coordinator, Outcome, Participant, Participants, Participation, TxId, Vote};
use crate::faults::{Faults, Point};
use crate::tests::world::LEASE;
use crate::{Definition, Engine, Settings, StepError};
use network::{Fault, Network, Op, When, Wire};
use site::{Site, Store};
use world::{Case, World};

/// Everything that happened, as each database kept it: one row for each effect that was committed.
const EFFECTS: &[Migration] = &[Migration {
    name: "test/effects",
    sql: "CREATE TABLE effects (tx TEXT NOT NULL, what TEXT NOT NULL)",
}];

async fn write_down(tx: &Tx, id: TxId, what: &str) -> Result<(), StepError> {
    let sql = "INSERT INTO effects (tx, what) VALUES ($1, $2)";
    tx.run(sql, values![id.to_string(), what]).await?;
    Ok(())
}

/// What happened, in the order of the alphabet.
async fn effects(db: &Database, id: TxId) -> Vec<String> {
    let sql = "SELECT what FROM effects WHERE tx = $1 ORDER BY what";
    let rows: Vec<(String,)> = db.read().rows(sql, values![id.to_string()]).await.unwrap();
    rows.into_iter().map(|(what,)| what).collect()
}
