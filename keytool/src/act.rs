//! Accept, reject, delete, suspend, resume: show, ask, do, report.

use std::io::{BufRead, Write};

use brine_client::Exit;
use brine_client::prompt::{self, Answer};
use brine_local::output::{Format, Style, escape, render};
use brine_protocol::control::{Act, KEY_STATES, Key, KeyActRequest, KeyName, KeyState};
use brine_protocol::{Fingerprint, MinionId};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::listing::text_list;
use crate::long;
use crate::select::{Selection, Whom, select};
use crate::source::{Outcome, Source};

/// So many ids are named in a sentence; the rest is counted.
const NAMED_MAX: usize = 10;

/// How to go about it.
pub(crate) struct Manners {
    pub(crate) yes: bool,
    pub(crate) quiet: bool,
    pub(crate) out: Option<Format>,
    pub(crate) style: Style,
    pub(crate) reason: Option<String>,
}

impl Manners {
    /// Whether stdout is one document and everything else goes to stderr.
    fn is_for_programs(&self) -> bool {
        self.out.is_some_and(Format::is_for_programs)
    }
}

/// What became of one key.
struct Told {
    id: MinionId,
    fingerprint: Fingerprint,
    outcome: Outcome,
}

/// Performs an act on whom it is for. Prompts go to `out`, or to `err` when `out` is a document.
pub(crate) async fn run(
    source: &mut Source,
    act: Act,
    whom: &Whom,
    manners: &Manners,
    input: &mut impl BufRead,
    out: &mut impl Write,
    err: &mut impl Write,
) -> Result<Exit, Failure> {
    let keys = source.keys().await?;
    let takes_any = act != Act::Accept;
    let selection = select(&keys, whom, takes_any);
    for (id, several) in &selection.ambiguous {
        writeln!(err, "{}", long::candidates(id.as_str(), &format!("--{}", act.name()), several))?;
    }
    if act == Act::Accept {
        for note in cautions(&keys, whom, &selection) {
            writeln!(err, "{note}")?;
        }
    }
    // What ends the whole well or not, whatever the answer is.
    let exit = match (selection.ambiguous.is_empty(), selection.unmatched.is_empty()) {
        (false, _) => Exit::Refused,
        (true, false) => Exit::Failed,
        (true, true) => Exit::Ok,
    };
    let left_alone = || selection.ambiguous.values().flatten().map(|key| claimed_by_several(key));
    if selection.is_named {
        writeln!(err, "nothing was changed")?;
        document(left_alone().collect(), act, manners, out)?;
        return Ok(Exit::Refused);
    }
    if selection.chosen.is_empty() {
        if selection.ambiguous.is_empty() {
            no_match(act, whom, manners, out, err)?;
        }
        document(left_alone().collect(), act, manners, out)?;
        return Ok(if selection.ambiguous.is_empty() { Exit::Failed } else { Exit::Refused });
    }
    for id in &selection.unmatched {
        writeln!(err, "{} does not match any {} keys.", escape(id), states_text(act, &whom.states))?;
    }
    let is_agreed = {
        let talk: &mut dyn Write = if manners.is_for_programs() { err } else { out };
        agree(act, &selection.chosen, manners, input, talk)?
    };
    match is_agreed {
        Answer::Yes => {}
        Answer::No => {
            document(left_alone().collect(), act, manners, out)?;
            return Ok(exit);
        }
        Answer::NoInput => {
            writeln!(err, "no answer, so nothing was changed; -y answers yes")?;
            document(left_alone().collect(), act, manners, out)?;
            return Ok(Exit::Failed);
        }
    }
    let outcomes = match perform(source, act, &selection.chosen, manners.reason.clone()).await {
        Ok(outcomes) => outcomes,
        Err(failure) => {
            let why = Outcome::Refused(failure.to_string());
            let told = selection.chosen.iter().map(|key| told(key, why.clone()));
            document(told.chain(left_alone()).collect(), act, manners, out)?;
            return Err(failure);
        }
    };
    let ended = Outcome::exit(&outcomes);
    let mut results: Vec<Told> =
        selection.chosen.iter().zip(outcomes).map(|(key, outcome)| told(key, outcome)).collect();
    report(&results, act, manners, out, err)?;
    results.extend(left_alone());
    document(results, act, manners, out)?;
    Ok(if ended == Exit::Ok { exit } else { ended })
}

/// Does the act. The outcomes come in the order of the keys.
async fn perform(
    source: &mut Source,
    act: Act,
    chosen: &[&Key],
    reason: Option<String>,
) -> Result<Vec<Outcome>, Failure> {
    // Without the key that holds its id a denied key would no longer be what was shown: it goes first.
    let mut places: Vec<usize> = (0..chosen.len()).collect();
    places.sort_by_key(|at| chosen[*at].state != KeyState::Denied);
    let keys = places.iter().map(|at| name(chosen[*at])).collect();
    let outcomes = source.act(&KeyActRequest { act, keys, reason }).await?;
    let mut placed: Vec<(usize, Outcome)> = places.into_iter().zip(outcomes).collect();
    placed.sort_by_key(|(at, _)| *at);
    Ok(placed.into_iter().map(|(_, outcome)| outcome).collect())
}

fn name(key: &Key) -> KeyName {
    KeyName { id: key.id.clone(), fingerprint: key.fingerprint, state: Some(key.state) }
}

fn told(key: &Key, outcome: Outcome) -> Told {
    Told { id: key.id.clone(), fingerprint: key.fingerprint, outcome }
}

/// An id that several keys claim was left alone, as a result of the act.
fn claimed_by_several(key: &Key) -> Told {
    told(key, Outcome::Refused(format!("{} is claimed by several keys; name one with --expect", key.id)))
}

/// What an operator who accepts has to hear and salt-key does not say.
fn cautions(keys: &[Key], whom: &Whom, selection: &Selection<'_>) -> Vec<String> {
    let mut cautions = Vec::new();
    for key in selection.chosen.iter().filter(|key| key.known_before) {
        cautions.push(format!("{0} had another key before; see: brine-key history {0}", key.id));
    }
    let is_hidden =
        |key: &&Key| key.state == KeyState::Denied && whom.pattern.matches(&key.id) && whom.expect.is_none();
    let denied: Vec<&Key> = keys.iter().filter(is_hidden).collect();
    if !denied.is_empty() && !whom.states.contains(&KeyState::Denied) {
        let shown: Vec<&str> = denied.iter().take(NAMED_MAX).map(|key| key.id.as_str()).collect();
        let more = denied.len() - shown.len();
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let (keys, are) = if denied.len() == 1 { ("key", "is") } else { ("keys", "are") };
        cautions.push(format!(
            "{} {keys} {are} denied and need a look, because another key holds the id ({}{more}): \
             brine-key -l den --long",
            denied.len(),
            shown.join(", ")
        ));
    }
    cautions
}

/// Salt's sentence, on stdout as there; where that is a document or has to be quiet, on stderr.
fn no_match(
    act: Act,
    whom: &Whom,
    manners: &Manners,
    out: &mut impl Write,
    err: &mut impl Write,
) -> Result<(), Failure> {
    let sentence = format!(
        "The key glob '{}' does not match any {} keys{}.",
        escape(whom.pattern.text()),
        states_text(act, &whom.states),
        whom.expect.map(|fingerprint| format!(" with the fingerprint {fingerprint}")).unwrap_or_default()
    );
    if manners.is_for_programs() || manners.quiet {
        writeln!(err, "{sentence}")?;
    } else {
        writeln!(out, "{sentence}")?;
    }
    Ok(())
}

/// Salt's words. It says "unaccepted" for delete too, though every state was searched.
fn states_text(act: Act, states: &[KeyState]) -> String {
    let word = |state: &KeyState| if *state == KeyState::Pending { "unaccepted" } else { state.name() };
    if act == Act::Delete {
        return "unaccepted".to_owned();
    }
    match states {
        [one] => word(one).to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(word).collect();
            format!("{} or {}", first.join(", "), word(last))
        }
        [] => String::new(),
    }
}

fn agree(
    act: Act,
    chosen: &[&Key],
    manners: &Manners,
    input: &mut impl BufRead,
    mut talk: &mut dyn Write,
) -> Result<Answer, Failure> {
    if manners.quiet && manners.yes {
        return Ok(Answer::Yes);
    }
    let colours = manners.style.colours && !manners.is_for_programs();
    let list = text_list(chosen, &KEY_STATES, false, colours);
    write!(talk, "The following keys are going to be {}:\n{list}", act.past())?;
    if manners.yes {
        return Ok(Answer::Yes);
    }
    let default_yes = match act {
        Act::Accept | Act::Reject | Act::Suspend | Act::Resume => true,
        Act::Delete => false,
    };
    Ok(prompt::proceed(input, &mut talk, default_yes)?)
}

fn report(
    results: &[Told],
    act: Act,
    manners: &Manners,
    out: &mut impl Write,
    err: &mut impl Write,
) -> Result<(), Failure> {
    for Told { id, outcome, .. } in results {
        match outcome {
            Outcome::Refused(why) => {
                writeln!(err, "Key for minion {id} was not {}: {}", act.past(), escape(why))?;
            }
            Outcome::Unknown(why) => writeln!(err, "{}", not_known(id, why))?,
            Outcome::Done if manners.quiet || manners.is_for_programs() => {}
            Outcome::Done => writeln!(out, "Key for minion {id} {}.", act.past())?,
        }
    }
    Ok(())
}

/// What is said of a key of which no answer tells what became of it.
pub(crate) fn not_known(id: &MinionId, why: &str) -> String {
    format!("Key for minion {id}: what became of it is not known; look with: brine-key -L ({})", escape(why))
}

/// What was done as one document: `{"accepted": […], "refused": […]}`, and `"unknown"` where there
/// is something to look after.
fn document(results: Vec<Told>, act: Act, manners: &Manners, out: &mut impl Write) -> Result<(), Failure> {
    if manners.is_for_programs() && !manners.quiet {
        let (mut done, mut refused, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
        for Told { id, fingerprint, outcome } in results {
            let why = |why| json!({"id": id, "fingerprint": fingerprint, "why": why});
            match outcome {
                Outcome::Done => done.push(json!({"id": id, "fingerprint": fingerprint})),
                Outcome::Refused(reason) => refused.push(why(reason)),
                Outcome::Unknown(reason) => unknown.push(why(reason)),
            }
        }
        let mut map = Map::new();
        map.insert(act.past().to_owned(), Value::Array(done));
        map.insert("refused".to_owned(), Value::Array(refused));
        if !unknown.is_empty() {
            map.insert("unknown".to_owned(), Value::Array(unknown));
        }
        write!(out, "{}", render(&map, &manners.style, 0))?;
    }
    out.flush()?;
    Ok(())
}

#[cfg(test)]
#[path = "act_tests.rs"]
pub(crate) mod tests;
