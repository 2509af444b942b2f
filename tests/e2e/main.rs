//! The real programs, end to end.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod api;
mod api_docs;
mod batch;
mod bench;
mod cli;
mod cli_nouns;
mod cli_run;
mod connect;
mod containers;
mod crash;
mod custom_modules;
mod detach;
mod doctor;
mod full;
mod functions;
mod input;
mod keys;
mod keytool;
mod ledger;
mod manual;
mod output;
mod overload;
mod pillar;
mod reboot;
mod resumption;
mod roles;
mod rotation;
mod rules;
mod servers;
mod start;
mod stops;
mod strays;
mod supervised;
mod swarm;
mod sync_modules;
mod targets;
mod trust;
