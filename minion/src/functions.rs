//! What a minion can do: the one table of functions ("execution modules"), and running calls.
//!
//! What is not in the table may be in a custom module (`custom`), an executable of the administrator's.
//! A function gets its arguments bound to parameters (`bind`) and a [`Context`]; it gives back
//! a value and a retcode. Names, values and messages are Salt's.
//!
//! **Invariant:** dropping the future of [`run`] ends everything the call owns: process groups
//! are killed, computations stop. A job's timeout and its cancellation rest on that.

mod archive;
mod bind;
mod brine;
mod cmd;
mod context;
mod cron;
mod custom;
mod disk;
mod elsewhere;
mod environ;
mod file;
mod fit;
mod grains;
mod group;
mod hashutil;
mod hosts;
mod mount;
mod network;
mod pillar;
mod pkg;
mod process;
mod ps;
mod random;
mod service;
mod signature;
mod status;
mod sys;
mod sysctl;
mod system;
mod test;
mod tool;
mod user;

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::LazyLock;
use std::time::Instant;

use brine_protocol::job::{CALLS_MAX, Call, Returned, canonical};
use serde_json::{Map, Value};

use self::bind::Bound;
pub(crate) use self::cmd::NOT_INHERITED;
pub use self::context::{Context, Jobs, NoJobs, OUTPUT_MAX, OnPid, RunningJob, Signalled};
pub use self::custom::Modules;
use self::custom::is_builtin;
pub use self::environ::Environment;
pub(crate) use self::process::MARK as MARK_RUN;
use self::signature::{Signature, Slot};
pub use self::tool::search_path;
pub use crate::processes::{Spawned, start_ticks};

/// The retcode of a function that is not there. Salt's is non-zero as well; one of its own keeps
/// "no such function" apart from "the function failed".
pub const UNAVAILABLE: i32 = 254;

/// A function of the table.
#[derive(Clone)]
pub struct Function {
    /// `module.function`.
    pub name: &'static str,
    /// What it does: a first sentence, and more if there is more to know.
    pub summary: &'static str,
    /// Its named parameters, positional ones first.
    pub parameters: &'static [Parameter],
    /// What any further arguments are; none when it takes none.
    pub rest: Option<&'static str>,
    /// What comes back, with types and units, and how it fails; empty where the summary says it.
    pub returns: &'static str,
    /// Function and arguments of an example, as behind `brine '*'`.
    pub example: &'static str,
    body: Body,
}

type Body = fn(Context, Bound) -> Running;

/// A named parameter of a function.
#[derive(Debug)]
pub struct Parameter {
    /// Its name, as in `name=value`.
    pub name: &'static str,
    /// Its value when none is given, as JSON; `None` when one has to be given.
    pub default: Option<&'static str>,
    /// Whether it can only be given by keyword.
    pub is_keyword_only: bool,
    /// What it is, and in brackets its type and unit.
    pub doc: &'static str,
}

const fn required(name: &'static str, doc: &'static str) -> Parameter {
    Parameter { name, default: None, is_keyword_only: false, doc }
}

const fn optional(name: &'static str, default: &'static str, doc: &'static str) -> Parameter {
    Parameter { name, default: Some(default), is_keyword_only: false, doc }
}

const fn keyword(name: &'static str, default: &'static str, doc: &'static str) -> Parameter {
    Parameter { name, default: Some(default), is_keyword_only: true, doc }
}

impl Function {
    const fn new(name: &'static str, body: Body, summary: &'static str) -> Self {
        Self { name, summary, parameters: &[], rest: None, returns: "", example: name, body }
    }

    const fn takes(self, parameters: &'static [Parameter]) -> Self {
        Self { parameters, ..self }
    }

    const fn takes_more(self, rest: &'static str) -> Self {
        Self { rest: Some(rest), ..self }
    }

    const fn returns(self, returns: &'static str) -> Self {
        Self { returns, ..self }
    }

    const fn example(self, example: &'static str) -> Self {
        Self { example, ..self }
    }

    /// Everything there is to know before calling it, as `sys.doc` shows it.
    #[must_use]
    pub fn doc(&self) -> String {
        self.signature().doc()
    }

    fn signature(&self) -> Signature<'static> {
        let read =
            |json| serde_json::from_str(json).expect("defaults in the table are JSON, which a test checks");
        let slots = self.parameters.iter().map(|parameter| Slot {
            name: parameter.name,
            default: parameter.default.map(read),
            is_keyword_only: parameter.is_keyword_only,
            doc: parameter.doc,
        });
        Signature {
            name: self.name,
            summary: self.summary,
            slots: slots.collect(),
            rest: self.rest,
            returns: self.returns,
            example: Cow::Borrowed(self.example),
        }
    }
}

type Running = Pin<Box<dyn Future<Output = Result<Outcome, Fault>> + Send>>;

/// What one function gave back.
#[derive(Debug, PartialEq)]
struct Outcome {
    value: Value,
    retcode: i32,
    truncated: bool,
}

impl<T: Into<Value>> From<T> for Outcome {
    fn from(value: T) -> Self {
        Self { value: value.into(), retcode: 0, truncated: false }
    }
}

/// Why a function gave nothing back. Salt tells these apart by the words before the reason.
#[derive(Debug, PartialEq)]
enum Fault {
    /// The arguments do not fit the parameters.
    Arguments(String),
    /// An argument makes no sense.
    Invocation(String),
    /// It was tried and did not work.
    Execution(String),
}

impl Fault {
    /// What is wrong, without the words around it.
    fn reason(&self) -> &str {
        let (Fault::Arguments(why) | Fault::Invocation(why) | Fault::Execution(why)) = self;
        why
    }

    fn into_outcome(self, signature: &Signature<'_>) -> Outcome {
        let name = signature.name;
        let text = match self {
            Fault::Arguments(why) => {
                format!("Passed invalid arguments to {name}: {why}\n\n{}", signature.doc())
            }
            Fault::Invocation(why) => format!("ERROR executing '{name}': {why}"),
            Fault::Execution(why) => format!("ERROR: {why}"),
        };
        Outcome { retcode: 1, ..Outcome::from(text) }
    }
}

/// All functions, by name.
#[must_use]
pub fn table() -> &'static [Function] {
    static TABLE: LazyLock<Vec<Function>> = LazyLock::new(|| {
        let modules = [
            archive::functions(),
            brine::functions(),
            cmd::functions(),
            cron::functions(),
            disk::functions(),
            environ::functions(),
            file::functions(),
            grains::functions(),
            group::functions(),
            hashutil::functions(),
            hosts::functions(),
            mount::functions(),
            network::functions(),
            pillar::functions(),
            pkg::functions(),
            ps::functions(),
            random::functions(),
            service::functions(),
            status::functions(),
            sys::functions(),
            sysctl::functions(),
            system::functions(),
            test::functions(),
            user::functions(),
        ];
        let mut table: Vec<Function> = modules.into_iter().flatten().collect();
        table.sort_by_key(|function| function.name);
        table
    });
    &TABLE
}

/// Whether a function can go on without the minion: it is a process, and needs nothing else here.
#[must_use]
pub fn is_detachable(name: &str) -> bool {
    let name = canonical(name);
    let module = name.split('.').next().unwrap_or_default();
    module == "cmd" || !is_builtin(module)
}

fn find(name: &str) -> Option<&'static Function> {
    let table = table();
    let name = canonical(name);
    let at = table.binary_search_by_key(&&*name, |function| function.name).ok()?;
    Some(&table[at])
}

/// Runs the calls one after the other. One call gives its value; several give a map from function
/// to value, with the first retcode that is not 0. A failing call does not stop those behind it.
///
/// The value is cut to what fits into a message: [`Context::output_max`] bounds each stream of
/// output, and three times that the whole.
///
/// # Errors
/// There is nothing to run, or too much. What goes wrong in a function is a value with a retcode.
pub async fn run(calls: &[Call], context: &Context) -> Result<Returned, String> {
    if calls.len() > CALLS_MAX {
        return Err(format!("the job has {} functions, more than {CALLS_MAX}", calls.len()));
    }
    let started = Instant::now();
    let mut outcome = match calls {
        [] => return Err("the job names no function".to_owned()),
        [call] => run_one(call, context).await,
        calls => run_several(calls, context).await,
    };
    outcome.truncated |= fit::fit(&mut outcome.value, context.output_max.saturating_mul(3));
    Ok(Returned {
        value: outcome.value,
        retcode: outcome.retcode,
        duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        truncated: outcome.truncated,
    })
}

async fn run_several(calls: &[Call], context: &Context) -> Outcome {
    let mut values = Map::new();
    let mut all = Outcome::from(Value::Null);
    for call in calls {
        let outcome = run_one(call, context).await;
        if all.retcode == 0 {
            all.retcode = outcome.retcode;
        }
        all.truncated |= outcome.truncated;
        values.insert(free_name(&values, &call.function), outcome.value);
    }
    Outcome { value: Value::Object(values), ..all }
}

/// The function's name; with a number when the job runs it several times. Salt keeps the last
/// value only, and what the others did is lost.
fn free_name(values: &Map<String, Value>, function: &str) -> String {
    let numbered = (2..).map(|n| format!("{function} ({n})"));
    std::iter::once(function.to_owned())
        .chain(numbered)
        .find(|name| !values.contains_key(name))
        .expect("there are more numbers than values")
}

async fn run_one(call: &Call, context: &Context) -> Outcome {
    let Some(function) = find(&call.function) else {
        if let Some(outcome) = custom::run(call, context).await {
            return outcome;
        }
        let value = match elsewhere::nearest(&canonical(&call.function)) {
            Some(nearest) => format!("'{}' is not available: {nearest}.", call.function),
            None => format!("'{}' is not available.", call.function),
        };
        return Outcome { retcode: UNAVAILABLE, ..Outcome::from(value) };
    };
    let signature = function.signature();
    let result = match bind::bind(&signature, call) {
        Ok(bound) => (function.body)(context.clone(), bound).await,
        Err(fault) => Err(fault),
    };
    result.unwrap_or_else(|fault| fault.into_outcome(&signature))
}

/// A value as Python's `str` would show it, for the scalars that people pass on a command line.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Null => "None".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
