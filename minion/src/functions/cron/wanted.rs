//! What is asked for: checked, so that it is one line of a table and nothing else.

use serde_json::Value;

use super::super::bind::Bound;
use super::super::{Fault, text_of};
use super::line::{self, When};

/// The fields of a job's time, with the least and the greatest number of each.
pub(super) const FIELDS: [(&str, u32, u32); 5] =
    [("minute", 0, 59), ("hour", 0, 23), ("daymonth", 1, 31), ("month", 1, 12), ("dayweek", 0, 6)];

/// Gives a number from the first to the second.
pub(super) type Dice<'a> = dyn FnMut(u32, u32) -> u32 + 'a;

/// A field of a job's time.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Field {
    Exactly(String),
    /// Any number within, and always the same one from then on.
    Within(u32, u32),
}

#[derive(Debug)]
pub(super) enum WantedWhen {
    Times([Field; 5]),
    Special(String),
}

impl WantedWhen {
    pub(super) fn is_special(&self) -> bool {
        matches!(self, WantedWhen::Special(_))
    }

    /// The time that is written. Numbers that were drawn stay.
    pub(super) fn choose(self, old: Option<&When>, dice: &mut Dice<'_>) -> When {
        let old = match old {
            Some(When::Times(times)) => Some(times),
            _ => None,
        };
        match self {
            WantedWhen::Special(special) => When::Special(special),
            WantedWhen::Times(fields) => {
                let mut at = 0..;
                When::Times(fields.map(|field| {
                    let old = at.next().and_then(|at: usize| old.map(|old| old[at].as_str()));
                    match (field, old) {
                        (Field::Exactly(text), _) => text,
                        (Field::Within(low, high), Some(old)) if is_within(old, low, high) => old.to_owned(),
                        (Field::Within(low, high), _) => dice(low, high).to_string(),
                    }
                }))
            }
        }
    }
}

fn is_within(text: &str, low: u32, high: u32) -> bool {
    text.parse::<u32>().is_ok_and(|number| (low..=high).contains(&number))
}

/// A job as it is wanted.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) when: WantedWhen,
    pub(super) cmd: String,
    /// None leaves the one that is there.
    pub(super) comment: Option<String>,
    pub(super) identifier: Option<String>,
    pub(super) is_disabled: bool,
}

/// Which times a job has to have to be the one that is meant. Nothing means any.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub(super) special: Option<String>,
    pub(super) times: [Option<String>; 5],
}

impl Filter {
    pub(super) fn holds(&self, when: &When) -> bool {
        match when {
            When::Special(special) => self.special.as_ref().is_none_or(|wanted| wanted == special),
            When::Times(times) => {
                times.iter().zip(&self.times).all(|(time, wanted)| match wanted.as_deref() {
                    None => true,
                    Some("random") => time != "*",
                    Some(wanted) => wanted == time,
                })
            }
        }
    }
}

/// Refuses what would end the line, and the rest would be a line of its own.
fn one_line(what: &str, text: String) -> Result<String, Fault> {
    if text.contains(['\n', '\r', '\0']) {
        return Err(Fault::Invocation(format!("'{what}' is one line and cannot hold line ends")));
    }
    Ok(text)
}

fn is_special(text: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.strip_prefix('@').is_some_and(|name| !name.is_empty() && name.chars().all(is_letter))
}

fn field(value: &Value, (name, low, high): (&str, u32, u32)) -> Result<Field, Fault> {
    let text = text_of(value).to_lowercase();
    if text == "random" {
        return Ok(Field::Within(low, high));
    }
    if let Some((from, to)) = text.split_once(':') {
        let ends = (from.parse::<u32>(), to.parse::<u32>());
        return match ends {
            (Ok(from), Ok(to)) if from <= to && low <= from && to <= high => Ok(Field::Within(from, to)),
            _ => {
                Err(Fault::Invocation(format!("'{name}' as FROM:TO needs two numbers from {low} to {high}")))
            }
        };
    }
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '*' | ',' | '-' | '/' | '~');
    let is_field = matches!(value, Value::String(_) | Value::Number(_))
        && !text.is_empty()
        && text.chars().all(is_letter);
    if is_field {
        return Ok(Field::Exactly(text));
    }
    Err(Fault::Invocation(format!("'{name}' needs a field of crontab(5), as *, 5, 1-5, */15 or mon")))
}

/// The command, as cron will run it: blanks before it are none of it.
pub(super) fn take_cmd(bound: &mut Bound) -> Result<String, Fault> {
    let cmd = one_line("cmd", bound.text("cmd")?)?.trim_start_matches([' ', '\t']).to_owned();
    if cmd.trim().is_empty() {
        return Err(Fault::Invocation("'cmd' is empty; give a command".to_owned()));
    }
    Ok(cmd)
}

pub(super) fn take_identifier(bound: &mut Bound) -> Result<Option<String>, Fault> {
    let Some(text) = bound.maybe_text("identifier")? else { return Ok(None) };
    let text = one_line("identifier", text)?.trim().to_owned();
    if line::has_tag(&text) {
        return Err(Fault::Invocation("'identifier' holds the word that marks identifiers".to_owned()));
    }
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn take_comment(bound: &mut Bound) -> Result<Option<String>, Fault> {
    let Some(text) = bound.maybe_text("comment")? else { return Ok(None) };
    // As it will be read again.
    let text = one_line("comment", text)?.trim_start_matches(['#', ' ']).trim_end().to_owned();
    if line::has_tag(&text) || line::marker(&format!("# {text}")).is_some() {
        return Err(Fault::Invocation("'comment' holds words that mark what is managed".to_owned()));
    }
    Ok(Some(text))
}

fn take_wanted(bound: &mut Bound, when: WantedWhen) -> Result<Wanted, Fault> {
    Ok(Wanted {
        when,
        cmd: take_cmd(bound)?,
        comment: take_comment(bound)?,
        identifier: take_identifier(bound)?,
        is_disabled: bound.flag("commented")?,
    })
}

pub(super) fn take_job(bound: &mut Bound) -> Result<Wanted, Fault> {
    let [minute, hour, day, month, weekday] = FIELDS.map(|named| field(&bound.value(named.0), named));
    let times = WantedWhen::Times([minute?, hour?, day?, month?, weekday?]);
    take_wanted(bound, times)
}

pub(super) fn take_special(bound: &mut Bound) -> Result<Wanted, Fault> {
    let special = bound.text("special")?;
    if !is_special(&special) {
        return Err(Fault::Invocation(
            "'special' needs a word of crontab(5), as @daily or @reboot".to_owned(),
        ));
    }
    take_wanted(bound, WantedWhen::Special(special))
}

pub(super) fn take_times(bound: &mut Bound) -> Result<Filter, Fault> {
    let mut times: [Option<String>; 5] = Default::default();
    for (time, (name, ..)) in times.iter_mut().zip(FIELDS) {
        *time = bound.maybe_text(name)?.map(|text| text.to_lowercase());
    }
    Ok(Filter { special: None, times })
}

/// Name and value of a variable. What is empty has to be in quotes.
pub(super) fn take_variable(bound: &mut Bound) -> Result<(String, String), Fault> {
    let name = take_variable_name(bound)?;
    let value = one_line("value", bound.maybe_text("value")?.unwrap_or_default())?;
    let value = value.trim_start_matches([' ', '\t']).to_owned();
    Ok((name, if value.is_empty() { "\"\"".to_owned() } else { value }))
}

pub(super) fn take_variable_name(bound: &mut Bound) -> Result<String, Fault> {
    let name = bound.text("name")?;
    if line::is_variable(&name) {
        return Ok(name);
    }
    let name = brine_local::text::escape(&name);
    Err(Fault::Invocation(format!("'{name}' is not the name of a variable: letters, digits and '_'")))
}
