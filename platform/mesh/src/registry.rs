//! The mesh's side of `discovery`: what it lists, and how this process is listed.
//!
//! Invariant: the registry only adds to what is known. When it is away, or has just started and
//! says so (`warming`), or has lost all instances of a service, the last instances known stay.

mod announce;
mod client;
mod follow;

use serde::Deserialize;

pub(crate) use announce::{Registration, announce};
pub(crate) use client::{Registry, RegistryError};
pub(crate) use follow::follow;

/// What `GET /services` answers.
#[derive(Debug, Deserialize)]
pub(crate) struct Snapshot {
    /// Changes with every change of the registry, and when it is started again.
    pub(crate) index: u64,
    /// It has started a moment ago and cannot know everybody yet.
    #[serde(default)]
    pub(crate) warming: bool,
    pub(crate) services: Vec<Group>,
}

/// The instances of one service.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Group {
    pub(crate) service_name: String,
    pub(crate) instances: Vec<Listed>,
}

/// One instance as the registry lists it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Listed {
    pub(crate) host: String,
    #[serde(default)]
    pub(crate) version: String,
    #[serde(default = "one")]
    pub(crate) weight: u32,
    #[serde(default)]
    pub(crate) zone: String,
}

fn one() -> u32 {
    1
}
