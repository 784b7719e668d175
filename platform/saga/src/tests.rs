//! Sagas against everything that can go wrong, on both engines.

#![allow(clippy::unwrap_used)]

mod answers;
mod crashes;
mod fencing;
mod random;
pub(crate) mod world;

use std::time::Duration;

use data::{DataSettings, Sql, values};
use rest::Problem;
use tasks::Tasks;
use testkit::{eventually, on_each_engine};
use uuid::Uuid;

use crate::faults::{Faults, Point};
use crate::store::{self, Status};
use crate::{Definition, Engine, Settings, StepError};
use world::{Ending, Outcome, TRIP, Trip, World};
