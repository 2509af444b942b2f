//! Accept, reject, delete, suspend, resume: show, ask, do, report.

use std::io::{BufRead, Write};

use brine_client::Exit;
use brine_client::prompt::{self, Answer};
use brine_local::output::{Format, Style, escape, render};
use brine_protocol::control::{Act, KEY_STATES, Key, KeyActRequest, KeyActResult, KeyName, KeyState};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::listing::text_list;
use crate::select::{Selection, Whom, select};
use crate::source::Source;

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
        writeln!(err, "{}", ambiguous(id.as_str(), several, act))?;
    }
    if selection.is_named {
        writeln!(err, "nothing was changed")?;
        return Ok(Exit::Refused);
    }
    if selection.chosen.is_empty() {
        return nothing(act, whom, &selection, manners, out, err);
    }
    let is_agreed = {
        let talk: &mut dyn Write = if manners.is_for_programs() { err } else { out };
        agree(act, &selection.chosen, manners, input, talk)?
    };
    match is_agreed {
        Answer::Yes => {}
        Answer::No => {
            document(&[], act, manners, out)?;
            return Ok(Exit::Ok);
        }
        Answer::NoInput => {
            writeln!(err, "no answer, so nothing was changed; -y answers yes")?;
            return Ok(Exit::Failed);
        }
    }
    let request = KeyActRequest {
        act,
        keys: selection.chosen.iter().map(|key| name(key)).collect(),
        reason: manners.reason.clone(),
    };
    let results = source.act(&request).await?;
    report(&results, act, manners, out, err)?;
    let is_all_done = results.iter().all(|result| result.refused.is_none()) && selection.ambiguous.is_empty();
    Ok(if is_all_done { Exit::Ok } else { Exit::Refused })
}

fn name(key: &Key) -> KeyName {
    KeyName { id: key.id.clone(), fingerprint: key.fingerprint, state: Some(key.state) }
}

fn ambiguous(id: &str, several: &[&Key], act: Act) -> String {
    let mut text = format!(
        "{id} is claimed by {} keys and was left alone; compare fingerprints and name one:",
        several.len()
    );
    for key in several {
        let from =
            key.address.as_deref().map(|address| format!(", from {}", escape(address))).unwrap_or_default();
        text.push_str(&format!(
            "\n  --{} {id} --expect {}  ({}{from})",
            act.name(),
            key.fingerprint,
            key.state.name()
        ));
    }
    text
}

fn nothing(
    act: Act,
    whom: &Whom,
    selection: &Selection<'_>,
    manners: &Manners,
    out: &mut impl Write,
    err: &mut impl Write,
) -> Result<Exit, Failure> {
    if !selection.ambiguous.is_empty() {
        return Ok(Exit::Refused);
    }
    let sentence = format!(
        "The key glob '{}' does not match any {} keys{}.",
        escape(whom.pattern.text()),
        states_text(act, &whom.states),
        whom.expect.map(|fingerprint| format!(" with the fingerprint {fingerprint}")).unwrap_or_default()
    );
    if manners.is_for_programs() {
        writeln!(err, "{sentence}")?;
        document(&[], act, manners, out)?;
    } else {
        writeln!(out, "{sentence}")?;
    }
    Ok(Exit::Usage)
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
    results: &[KeyActResult],
    act: Act,
    manners: &Manners,
    out: &mut impl Write,
    err: &mut impl Write,
) -> Result<(), Failure> {
    for result in results {
        match &result.refused {
            Some(why) => {
                writeln!(err, "Key for minion {} was not {}: {}", result.id, act.past(), escape(why))?;
            }
            None if manners.quiet || manners.is_for_programs() => {}
            None => writeln!(out, "Key for minion {} {}.", result.id, act.past())?,
        }
    }
    document(results, act, manners, out)
}

/// What was done as one document: `{"accepted": […], "refused": […]}`.
fn document(
    results: &[KeyActResult],
    act: Act,
    manners: &Manners,
    out: &mut impl Write,
) -> Result<(), Failure> {
    if manners.is_for_programs() {
        let (mut done, mut refused) = (Vec::new(), Vec::new());
        for result in results {
            match &result.refused {
                None => done.push(json!({"id": result.id, "fingerprint": result.fingerprint})),
                Some(why) => {
                    refused.push(json!({"id": result.id, "fingerprint": result.fingerprint, "why": why}));
                }
            }
        }
        let mut map = Map::new();
        map.insert(act.past().to_owned(), Value::Array(done));
        map.insert("refused".to_owned(), Value::Array(refused));
        write!(out, "{}", render(&map, &manners.style, 0))?;
    }
    out.flush()?;
    Ok(())
}

#[cfg(test)]
#[path = "act_tests.rs"]
pub(crate) mod tests;
