//! What an act would do, before anybody is asked: to which keys, which of them are left alone and
//! why, what to be careful about, and what will happen. The master decides again by itself.

use std::collections::BTreeMap;

use brine_protocol::MinionId;
use brine_protocol::control::{Act, KeyName, KeyState};

use super::keys::{Keys, Name, Row};
use crate::text::{counted, short_id};

/// What an operator asks for; on a suspended key the key for suspending resumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Accept,
    Reject,
    Delete,
    Suspend,
}

/// One act on one key, in the state in which it was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) act: Act,
    pub(crate) name: Name,
    pub(crate) was: KeyState,
    /// Whether a rule of the master, not an operator, had rejected it.
    pub(crate) by_rule: bool,
}

impl Step {
    /// The key as the master is to find it.
    pub(crate) fn key_name(&self) -> KeyName {
        KeyName { id: self.name.id.clone(), fingerprint: self.name.fingerprint, state: Some(self.was) }
    }

    /// What became of the key meanwhile, if it is no longer as it was shown: the master refuses it.
    pub(crate) fn changed(&self, keys: &Keys) -> Option<String> {
        let now = keys.get(&self.name).map(|row| row.key.state);
        let is = now.map_or("gone", KeyState::name);
        (now != Some(self.was)).then(|| {
            let id = short_id(&self.name.id);
            format!("{id} changed meanwhile: it is {is} now, not {}", self.was.name())
        })
    }

    /// Whether it ends a session that may be open.
    pub(crate) fn cuts_off(&self) -> bool {
        self.was == KeyState::Accepted && self.leaves() != Some(KeyState::Accepted)
    }

    /// The state that the act leaves; none when the key is forgotten.
    pub(crate) fn leaves(&self) -> Option<KeyState> {
        match self.act {
            Act::Accept | Act::Resume => Some(KeyState::Accepted),
            Act::Reject => Some(KeyState::Rejected),
            Act::Suspend => Some(KeyState::Suspended),
            Act::Delete => None,
        }
    }
}

/// What would be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// At least one.
    pub(crate) steps: Vec<Step>,
    /// Sentences about keys that were chosen and are left alone.
    pub(crate) left_alone: Vec<String>,
    /// What will happen.
    pub(crate) consequences: Vec<String>,
}

/// The most sentences of a kind; beyond that a count says more than a list.
const SENTENCES_MAX: usize = 3;

/// Works out what a wish means for these keys.
///
/// # Errors
/// One sentence that says why nothing can be done.
pub(crate) fn plan(keys: &Keys, chosen: &[Name], wish: Wish) -> Result<Plan, String> {
    let rows: Vec<&Row> = chosen.iter().filter_map(|name| keys.get(name)).collect();
    let act = act_for(wish, &rows);
    let mut steps = Vec::new();
    let mut left: BTreeMap<String, Vec<&Row>> = BTreeMap::new();
    for &row in &rows {
        match obstacle(keys, row, act) {
            None => steps.push(Step {
                act,
                name: row.name(),
                was: row.key.state,
                by_rule: row.key.rule.is_some(),
            }),
            Some(why) => left.entry(why).or_default().push(row),
        }
    }
    if act == Act::Accept {
        refuse_rivals(&steps)?;
    }
    if steps.is_empty() {
        let first = left.iter().next();
        let why = first.map(|(why, rows)| format!("cannot {} {}: {why}", act.name(), whom(rows)));
        return Err(why.unwrap_or_else(|| "there is no key here".to_owned()));
    }
    let is_are = |rows: &[&Row]| if rows.len() == 1 { "is" } else { "are" };
    let left_alone =
        left.iter().map(|(why, rows)| format!("{} {} left alone: {why}", whom(rows), is_are(rows))).collect();
    let consequences = consequences(&steps, false);
    Ok(Plan { steps, left_alone: few(left_alone), consequences })
}

fn act_for(wish: Wish, rows: &[&Row]) -> Act {
    match wish {
        Wish::Accept => Act::Accept,
        Wish::Reject => Act::Reject,
        Wish::Delete => Act::Delete,
        Wish::Suspend => {
            let is_any = |state| rows.iter().any(|row| row.key.state == state);
            if is_any(KeyState::Suspended) && !is_any(KeyState::Accepted) {
                Act::Resume
            } else {
                Act::Suspend
            }
        }
    }
}

/// Why an act cannot be done to a key, as far as can be seen from here.
fn obstacle(keys: &Keys, row: &Row, act: Act) -> Option<String> {
    let state = row.key.state;
    let is_rule = row.key.rule.is_some();
    match (act, state) {
        (Act::Accept, KeyState::Accepted) => Some("accepted already".to_owned()),
        (Act::Accept, KeyState::Suspended) => Some("suspended; s lets it in again".to_owned()),
        (Act::Accept, KeyState::Pending | KeyState::Denied | KeyState::Rejected) => {
            let holder = keys.holder(&row.key.id)?;
            Some(format!(
                "the id is held by another, {} key; delete or reject that one first",
                holder.key.state.name()
            ))
        }
        // What a rule rejects, an operator may still reject for good.
        (Act::Reject, KeyState::Rejected) => (!is_rule).then(|| "rejected already".to_owned()),
        (Act::Suspend, KeyState::Suspended) => Some("suspended already".to_owned()),
        (Act::Suspend | Act::Resume, KeyState::Pending | KeyState::Denied | KeyState::Rejected) => {
            Some(format!("{}, and only an accepted key can be suspended", state.name()))
        }
        (Act::Resume, KeyState::Accepted) => Some("not suspended".to_owned()),
        (Act::Reject, KeyState::Pending | KeyState::Denied | KeyState::Accepted | KeyState::Suspended)
        | (Act::Suspend, KeyState::Accepted)
        | (Act::Resume, KeyState::Suspended)
        | (Act::Delete, _) => None,
    }
}

/// Only one key can hold an id, and which one is for a person to say.
fn refuse_rivals(steps: &[Step]) -> Result<(), String> {
    let mut seen: BTreeMap<&MinionId, usize> = BTreeMap::new();
    for step in steps {
        *seen.entry(&step.name.id).or_default() += 1;
    }
    match seen.into_iter().find(|(_, count)| *count > 1) {
        Some((id, count)) => Err(format!(
            "{count} of these keys claim {} and only one can hold it: compare them (Enter) and choose one",
            short_id(id)
        )),
        None => Ok(()),
    }
}

/// What to be careful about as things are now.
pub(crate) fn warnings(keys: &Keys, steps: &[Step]) -> Vec<String> {
    let mut known = Vec::new();
    let mut contested = Vec::new();
    for step in steps.iter().filter(|step| step.act == Act::Accept) {
        let id = short_id(&step.name.id);
        let Some(row) = keys.get(&step.name) else { continue };
        if row.key.known_before {
            known.push(format!("{id} had another key before: was that machine set up anew?"));
        }
        if row.candidates > 1 {
            contested.push(format!(
                "{} keys claim {id}: compare this one with what the machine prints",
                row.candidates
            ));
        }
    }
    let mut warnings = some(known, "ids had another key before: were those machines set up anew?");
    warnings.extend(some(contested, "ids are claimed by several keys: compare each with its machine"));
    warnings
}

/// The sentences, or one that counts them.
fn some(sentences: Vec<String>, many: &str) -> Vec<String> {
    if sentences.len() <= SENTENCES_MAX {
        return sentences;
    }
    vec![format!("{} {many}", sentences.len())]
}

fn few(mut sentences: Vec<String>) -> Vec<String> {
    let more = sentences.len().saturating_sub(SENTENCES_MAX);
    if more > 0 {
        sentences.truncate(SENTENCES_MAX);
        sentences.push(format!("… and {more} more reasons"));
    }
    sentences
}

fn whom(rows: &[&Row]) -> String {
    match rows {
        [one] => short_id(&one.key.id),
        several => counted(several.len(), "key"),
    }
}

/// What will happen, one sentence for each kind of step.
pub(crate) fn consequences(steps: &[Step], is_undo: bool) -> Vec<String> {
    let mut kinds: BTreeMap<(&str, KeyState), (Act, usize)> = BTreeMap::new();
    for step in steps {
        kinds.entry((step.act.name(), step.was)).or_insert((step.act, 0)).1 += 1;
    }
    let is_mixed = kinds.len() > 1;
    let sentences = kinds.into_iter().map(|((_, was), (act, count))| {
        let sentence = match (act, is_undo) {
            (Act::Delete, true) => unaccepting(was, count),
            _ => consequence(act, was, count),
        };
        if is_mixed {
            format!("{} ({} now): {sentence}", counted(count, "key"), was.name())
        } else {
            sentence.to_owned()
        }
    });
    sentences.collect()
}

/// Deleting, where that takes something back.
fn unaccepting(was: KeyState, count: usize) -> &'static str {
    match (was, count) {
        (KeyState::Accepted, 1) => {
            "its session ends at once, its open orders are cancelled, and the key is forgotten: \
             its minion knocks again and waits, as before."
        }
        (KeyState::Accepted, _) => {
            "their sessions end at once, their open orders are cancelled, and the keys are forgotten: \
             their minions knock again and wait, as before."
        }
        (_, 1) => "the key is forgotten: its minion knocks again and waits, as before.",
        (_, _) => "the keys are forgotten: their minions knock again and wait, as before.",
    }
}

fn consequence(act: Act, was: KeyState, count: usize) -> &'static str {
    let is_one = count == 1;
    let is_live = matches!(was, KeyState::Accepted);
    match act {
        Act::Accept | Act::Resume if is_one => "its minion gets orders from now on.",
        Act::Accept | Act::Resume => "their minions get orders from now on.",
        Act::Reject if is_live && is_one => {
            "its session ends at once, its open orders are cancelled, and the key stays known as rejected."
        }
        Act::Reject if is_live => {
            "their sessions end at once, their open orders are cancelled, and the keys stay known as rejected."
        }
        Act::Reject if is_one => "its minion is told no, and the key stays known as rejected.",
        Act::Reject => "their minions are told no, and the keys stay known as rejected.",
        Act::Suspend if is_one => {
            "its session ends at once, its open orders are cancelled, and the key is kept: s lets it in again."
        }
        Act::Suspend => {
            "their sessions end at once, their open orders are cancelled, and the keys are kept: \
             s lets them in again."
        }
        Act::Delete if is_live && is_one => {
            "its session ends at once, its open orders are cancelled, and the key is forgotten. \
             That cannot be undone; its minion knocks again and waits."
        }
        Act::Delete if is_live => {
            "their sessions end at once, their open orders are cancelled, and the keys are forgotten. \
             That cannot be undone; their minions knock again and wait."
        }
        Act::Delete if is_one => {
            "the key is forgotten. That cannot be undone; its minion may knock again, and waits then."
        }
        Act::Delete => {
            "the keys are forgotten. That cannot be undone; their minions may knock again, and wait then."
        }
    }
}
