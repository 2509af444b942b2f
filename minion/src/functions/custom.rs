//! Custom modules: executables in one folder that say what they can do, and do it, in JSON.
//!
//! A file is looked at each time it is needed, and asked to describe itself when it has changed.
//! It runs as every program does that a function starts: in a group of its own, told to the
//! journal, killed with its job.

mod description;
mod folder;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use brine_local::text::escape;
use brine_local::walk::Facts;
use brine_protocol::job::Call;
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};

pub(super) use self::description::{CustomFunction, Description};
pub(super) use self::folder::is_builtin;
use self::folder::{Candidate, look};
use super::bind::bind;
use super::tool::Tool;
use super::{Context, Fault, Outcome, UNAVAILABLE};

/// How long a module may take to describe itself.
const DESCRIBE_WAIT: Duration = Duration::from_secs(10);

/// When one that failed to is asked again though it has not changed: the machine may have been the
/// reason.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// How many are asked at a time.
const ASKED_TOGETHER: usize = 8;

/// How much of a module's own words an error repeats, in characters.
const WORDS_MAX: usize = 300;

/// What a module described, or why it is not used.
type Described = Result<Arc<Description>, String>;

#[derive(Debug)]
struct Held {
    facts: Facts,
    refused: Option<String>,
    described: Described,
    until: Option<Instant>,
}

impl Held {
    fn is_of(&self, candidate: &Candidate) -> bool {
        let is_fresh = self.until.is_none_or(|until| Instant::now() < until);
        is_fresh && (self.facts, &self.refused) == (candidate.facts, &candidate.refused)
    }
}

#[derive(Debug, Default)]
struct State {
    folder: Option<PathBuf>,
    held: BTreeMap<PathBuf, Held>,
}

/// The custom modules of a minion. Clones share what was learnt of them.
#[derive(Debug, Clone, Default)]
pub struct Modules(Arc<Mutex<State>>);

impl Modules {
    /// Those in this folder, which need not be there.
    #[must_use]
    pub fn of(folder: PathBuf) -> Self {
        Self(Arc::new(Mutex::new(State { folder: Some(folder), held: BTreeMap::new() })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole at every point where a panic could happen.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where they are; none where a minion has none.
    #[must_use]
    pub fn folder(&self) -> Option<PathBuf> {
        self.lock().folder.clone()
    }

    /// They are in this folder from now on, and each is asked again what it can do.
    pub fn move_to(&self, folder: PathBuf) {
        *self.lock() = State { folder: Some(folder), held: BTreeMap::new() };
    }

    /// Each is asked again what it can do, when that is needed next.
    pub fn forget(&self) {
        self.lock().held.clear();
    }

    async fn candidates(&self, wanted: Option<&str>) -> Vec<Candidate> {
        let Some(folder) = self.folder() else { return Vec::new() };
        let wanted = wanted.map(str::to_owned);
        tokio::task::spawn_blocking(move || look(&folder, wanted.as_deref())).await.unwrap_or_default()
    }

    /// What the modules can do whose name is wanted, by name.
    pub(super) async fn all(
        &self,
        wanted: impl Fn(&str) -> bool,
        context: &Context,
    ) -> Vec<Arc<Description>> {
        let candidates = self.candidates(None).await;
        self.lock().held.retain(|path, _| candidates.iter().any(|candidate| candidate.path == *path));
        let mut asked = Vec::new();
        for candidate in candidates.iter().filter(|candidate| wanted(&candidate.name)) {
            asked.push(self.described(candidate, context));
        }
        let described: Vec<Described> =
            futures_util::stream::iter(asked).buffered(ASKED_TOGETHER).collect().await;
        described.into_iter().filter_map(Result::ok).collect()
    }

    async fn described(&self, candidate: &Candidate, context: &Context) -> Described {
        if let Some(held) = self.lock().held.get(&candidate.path)
            && held.is_of(candidate)
        {
            return held.described.clone();
        }
        let (described, until) = match &candidate.refused {
            Some(why) => (Err(why.clone()), None),
            None => match ask(candidate, DESCRIBE_WAIT, context).await {
                Ok(description) => (Ok(Arc::new(description)), None),
                Err(why) => (Err(why), Instant::now().checked_add(ASK_AGAIN)),
            },
        };
        if let Err(why) = &described {
            tracing::warn!(file = %shown(&candidate.path), why, "a custom module is not used");
        }
        let (facts, refused) = (candidate.facts, candidate.refused.clone());
        let held = Held { facts, refused, described: described.clone(), until };
        self.lock().held.insert(candidate.path.clone(), held);
        described
    }
}

/// A path or another foreign text in a form that a log and a terminal can take.
fn shown(path: &Path) -> String {
    escape(&path.display().to_string())
}

/// The beginning of what a module said, in one line.
fn words(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut words = escape(&line.chars().take(WORDS_MAX).collect::<String>());
    if line.chars().nth(WORDS_MAX).is_some() {
        words.push('…');
    }
    if words.is_empty() { "it said nothing".to_owned() } else { words }
}

fn tool(path: &Path, arguments: &[&str]) -> Tool {
    // Python writes what is not ASCII as UTF-8 then, and messages stay English.
    Tool::new(&path.display().to_string(), arguments.iter().copied()).env("LC_ALL", "C.UTF-8")
}

async fn ask(candidate: &Candidate, wait: Duration, context: &Context) -> Result<Description, String> {
    let done = tool(&candidate.path, &["describe"]).timeout(wait).run(context).await;
    let done = done.map_err(|fault| words(fault.reason()))?;
    match done.retcode {
        Some(0) => match Description::read(&candidate.name, &candidate.path, &done.stdout) {
            Err(_) if done.is_cut => {
                Err(format!("it describes itself in more than {} bytes", context.output_max))
            }
            read => read.map_err(|why| words(&why)),
        },
        Some(code) => Err(format!("describe ended with {code}: {}", words(done.complaint()))),
        None => Err(format!("describe did not end within {wait:?}")),
    }
}

/// What a call prints.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    #[serde(rename = "return")]
    value: Value,
    #[serde(default)]
    retcode: i32,
}

/// Runs a function of a custom module. None when there is no module of this name.
pub(super) async fn run(call: &Call, context: &Context) -> Option<Outcome> {
    let (module, short) = call.function.split_once('.')?;
    let candidate =
        context.modules.candidates(Some(module)).await.into_iter().find(|found| found.name == module)?;
    let unavailable = |why: String| {
        let text = format!("'{}' is not available: the custom module {module} {why}", call.function);
        Some(Outcome { retcode: UNAVAILABLE, ..Outcome::from(text) })
    };
    let description = match context.modules.described(&candidate, context).await {
        Ok(description) => description,
        Err(why) => return unavailable(format!("({}) is not used: {why}", shown(&candidate.path))),
    };
    let Some(function) = description.functions.iter().find(|function| function.name == call.function) else {
        return unavailable(format!("has no function {short:?}."));
    };
    let signature = function.signature();
    let bound = match bind(&signature, call) {
        Ok(bound) => bound,
        Err(fault) => return Some(fault.into_outcome(&signature)),
    };
    let (args, kwargs) = bound.into_parts();
    let input = json!({
        "args": args,
        "kwargs": kwargs,
        "id": context.id,
        "grains": &*context.grains.all(),
        "pillar": &*context.pillar.all(),
    });
    let started = tool(&description.path, &["call", short]).stdin(input.to_string());
    let ended = finish(started, module, context).await;
    Some(ended.unwrap_or_else(|fault| fault.into_outcome(&signature)))
}

async fn finish(tool: Tool, module: &str, context: &Context) -> Result<Outcome, Fault> {
    let done = tool.run(context).await?;
    let fault = |why: String| Err(Fault::Execution(format!("the custom module {module} {why}")));
    match done.retcode {
        Some(0) => match serde_json::from_str::<Answer>(&done.stdout) {
            Ok(Answer { value, retcode }) => Ok(Outcome { retcode, ..Outcome::from(value) }),
            Err(_) if done.is_cut => fault(format!("printed more than {} bytes", context.output_max)),
            Err(why) => {
                let why = words(&why.to_string());
                fault(format!(
                    "has to print {{\"return\": VALUE, \"retcode\": 0}} as JSON and nothing else: {why}"
                ))
            }
        },
        Some(_) if !done.stderr.is_empty() => Err(Fault::Execution(done.stderr)),
        Some(code) => fault(format!("ended with {code} and said nothing on stderr")),
        None => fault("was killed".to_owned()),
    }
}
