//! What a Tab is offered behind `brine-key`: the ids of keys that are in the state that an act is for.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};

use brine_client::Client;
use brine_local::completion::{self, CompletionCandidate};
use brine_protocol::control::{KEY_STATES, KeyState};
use clap::CommandFactory;

use crate::options::Line;

/// Answers a shell, if it is one that asks.
pub(crate) fn serve() -> bool {
    let line: Vec<OsString> = std::env::args_os().collect();
    completion::serve("brine-key", &line, Line::command)
}

/// Keys that wait for a decision, as a comma list.
pub(crate) fn pending(current: &OsStr) -> Vec<CompletionCandidate> {
    listed(current, &[KeyState::Pending])
}

/// Keys that are let in, as a comma list.
pub(crate) fn accepted(current: &OsStr) -> Vec<CompletionCandidate> {
    listed(current, &[KeyState::Accepted])
}

/// Keys that are cut off for a time, as a comma list.
pub(crate) fn suspended(current: &OsStr) -> Vec<CompletionCandidate> {
    listed(current, &[KeyState::Suspended])
}

/// Keys of every state, as a comma list.
pub(crate) fn all(current: &OsStr) -> Vec<CompletionCandidate> {
    listed(current, &KEY_STATES)
}

/// One id, whatever the state of its key.
pub(crate) fn id(current: &OsStr) -> Vec<CompletionCandidate> {
    ids(current, &KEY_STATES)
}

fn listed(current: &OsStr, states: &[KeyState]) -> Vec<CompletionCandidate> {
    // Flags that widen an act widen what it can be about.
    let is_wider = completion::typed().iter().any(|word| word.to_string_lossy().starts_with("--include-"));
    let states = if is_wider { &KEY_STATES } else { states };
    completion::in_list(current, |last| ids(last, states))
}

fn ids(current: &OsStr, states: &[KeyState]) -> Vec<CompletionCandidate> {
    let asked = completion::ask(async |place| {
        Client::new(&place.paths().control_socket()).acting_as(place.act_as).keys().await
    });
    let keys = asked.unwrap_or_default();
    let wanted = keys.iter().filter(|key| states.contains(&key.state));
    // Several keys can claim one id.
    let ids: BTreeSet<&str> = wanted.map(|key| key.id.as_str()).collect();
    completion::begun(current, ids)
}
