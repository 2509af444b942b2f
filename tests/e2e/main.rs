//! The real programs, end to end.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod api;
mod cli;
mod connect;
mod containers;
mod crash;
mod functions;
mod input;
mod keys;
mod keytool;
mod ledger;
mod roles;
mod rotation;
mod rules;
mod servers;
mod start;
mod trust;
