//! The binary's parts: arguments, settings, topology, and what each command does.

pub mod admin;
pub mod arguments;
pub mod cli;
pub mod config;
pub mod demo;
pub mod folder;
pub mod openapi;
pub mod run;
pub mod split;
pub mod status;
pub mod topology;
