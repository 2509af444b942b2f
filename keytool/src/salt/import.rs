//! `brine-key import --from-salt DIR`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use brine_client::Exit;
use brine_client::prompt::{self, Answer};
use brine_local::output::screen::Screen;
use brine_local::output::{escape, render};
use brine_protocol::MinionId;
use brine_protocol::control::{ImportRequest, ImportedKey, Key, KeyState};
use serde_json::{Map, Value, json};

use super::folder::{self, Found, LeftOut, SaltKey};
use crate::act::not_known;
use crate::failure::Failure;
use crate::options::Common;
use crate::source::{Outcome, Source};

/// What is to be done with the keys of a folder.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    take: Vec<SaltKey>,
    here_already: Vec<SaltKey>,
    left_out: Vec<LeftOut>,
    /// Ids of which a key is decided about here.
    decided_here: BTreeSet<MinionId>,
}

/// What became of the keys that were to be taken in, each with its state here.
#[derive(Default)]
struct Taken<'a> {
    done: Vec<(&'a SaltKey, KeyState)>,
    refused: Vec<(&'a SaltKey, String)>,
    unknown: Vec<(&'a SaltKey, String)>,
}

pub(crate) async fn run(
    source: &mut Source,
    named: &Path,
    is_dry: bool,
    common: &Common,
    screen: &mut Screen,
) -> Result<Exit, Failure> {
    let root = folder::root(named)?;
    let plan = plan(folder::read(&root)?, &source.keys().await?);
    let is_document = common.is_for_programs();
    let mut said = format!("Keys in {}:\n{}", root.display(), page(&plan));
    if is_dry || plan.take.is_empty() {
        let doing =
            if plan.take.is_empty() { "Nothing to take in" } else { "A dry run: nothing was changed" };
        writeln!(said, "{doing}.").expect("a String takes any text");
    }
    if is_document || common.quiet {
        eprint!("{said}");
    } else {
        screen.print(&said)?;
    }
    let clean = if plan.left_out.is_empty() { Exit::Ok } else { Exit::Failed };
    if is_dry || plan.take.is_empty() {
        let done = plan.take.iter().map(|key| (key, key.state)).collect();
        document(&plan, Taken { done, ..Taken::default() }, is_dry, common, screen)?;
        return Ok(clean);
    }
    if !common.yes {
        match prompt::proceed(&mut io::stdin().lock(), &mut io::stderr(), false)? {
            Answer::Yes => {}
            Answer::No => {
                document(&plan, Taken::default(), false, common, screen)?;
                return Ok(clean);
            }
            Answer::NoInput => {
                document(&plan, Taken::default(), false, common, screen)?;
                return Err(Failure::Nothing("no answer, so nothing was changed; -y answers yes".to_owned()));
            }
        }
    }
    let reason = common.reason.clone().unwrap_or_else(|| format!("imported from {}", root.display()));
    let outcomes = match take_in(source, &plan, &reason).await {
        Ok(outcomes) => outcomes,
        Err(failure) => {
            let refused = plan.take.iter().map(|key| (key, failure.to_string())).collect();
            document(&plan, Taken { refused, ..Taken::default() }, false, common, screen)?;
            return Err(failure);
        }
    };
    let exit = Outcome::exit(&outcomes);
    let taken = sort(&plan, outcomes, &states_now(source).await);
    for (key, why) in &taken.refused {
        eprintln!("Key for minion {} was not imported: {}", key.id, escape(why));
    }
    for (key, why) in &taken.unknown {
        eprintln!("{}", not_known(&key.id, why));
    }
    if !is_document && !common.quiet {
        screen.print(&summary(&plan, &taken))?;
    }
    document(&plan, taken, false, common, screen)?;
    Ok(if exit == Exit::Ok { clean } else { exit })
}

/// Takes in what is decided first: only then is a denied key one that another key keeps out.
async fn take_in(source: &mut Source, plan: &Plan, reason: &str) -> Result<Vec<Outcome>, Failure> {
    let (denied, others): (Vec<usize>, Vec<usize>) =
        (0..plan.take.len()).partition(|at| plan.take[*at].state == KeyState::Denied);
    let mut outcomes = vec![Outcome::Done; plan.take.len()];
    for (at, outcome) in others.iter().zip(send(source, plan, &others, reason).await?) {
        outcomes[*at] = outcome;
    }
    let decided: BTreeSet<&MinionId> = others
        .iter()
        .filter(|at| outcomes[**at] == Outcome::Done && is_decided(plan.take[**at].state))
        .map(|at| &plan.take[*at].id)
        .chain(&plan.decided_here)
        .collect();
    let (denied, alone): (Vec<usize>, Vec<usize>) =
        denied.into_iter().partition(|at| decided.contains(&plan.take[*at].id));
    for at in alone {
        let why = format!("the key that keeps it out of {} was not taken in", plan.take[at].id);
        outcomes[at] = Outcome::Refused(why);
    }
    match send(source, plan, &denied, reason).await {
        Ok(became) => {
            for (at, outcome) in denied.into_iter().zip(became) {
                outcomes[at] = outcome;
            }
        }
        Err(failure) if others.is_empty() => return Err(failure),
        // What was done before stays told.
        Err(failure) => {
            for at in denied {
                outcomes[at] = Outcome::Refused(failure.to_string());
            }
        }
    }
    Ok(outcomes)
}

async fn send(
    source: &mut Source,
    plan: &Plan,
    which: &[usize],
    reason: &str,
) -> Result<Vec<Outcome>, Failure> {
    let imported = |at: &usize| {
        let key = &plan.take[*at];
        ImportedKey { id: key.id.clone(), public_key: key.key.to_pem(), state: key.state }
    };
    let keys: Vec<ImportedKey> = which.iter().map(imported).collect();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    source.import(&ImportRequest { keys, reason: Some(reason.to_owned()) }).await
}

/// Whether a key in this state makes others of its id denied.
fn is_decided(state: KeyState) -> bool {
    match state {
        KeyState::Accepted | KeyState::Suspended | KeyState::Rejected => true,
        KeyState::Pending | KeyState::Denied => false,
    }
}

/// The keys that are here now; none when they cannot be asked for.
async fn states_now(source: &mut Source) -> Vec<Key> {
    source.keys().await.unwrap_or_else(|error| {
        eprintln!("brine-key: the states told here are those in Salt's folder: {error}");
        Vec::new()
    })
}

/// What became of each key of a plan, and its state here. Pure.
fn sort<'a>(plan: &'a Plan, outcomes: Vec<Outcome>, now: &[Key]) -> Taken<'a> {
    let states: BTreeMap<_, KeyState> =
        now.iter().map(|key| ((&key.id, key.fingerprint), key.state)).collect();
    let mut taken = Taken::default();
    for (key, outcome) in plan.take.iter().zip(outcomes) {
        match outcome {
            Outcome::Done => {
                let state = states.get(&(&key.id, key.key.fingerprint())).copied();
                taken.done.push((key, state.unwrap_or(key.state)));
            }
            Outcome::Refused(why) => taken.refused.push((key, why)),
            Outcome::Unknown(why) => taken.unknown.push((key, why)),
        }
    }
    taken
}

fn summary(plan: &Plan, taken: &Taken<'_>) -> String {
    let mut done: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, state) in &taken.done {
        *done.entry(state.name()).or_default() += 1;
    }
    let counts: Vec<String> = done.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let counts = if counts.is_empty() { "nothing".to_owned() } else { counts.join(", ") };
    let unknown = match taken.unknown.len() {
        0 => String::new(),
        count => format!(" Not known: {count}."),
    };
    format!(
        "Imported: {counts}. Here already: {}. Left out: {}. Refused: {}.{unknown}\n",
        plan.here_already.len(),
        plan.left_out.len(),
        taken.refused.len()
    )
}

/// Sorts what was found by what there is to do. Pure.
fn plan(found: Found, here: &[Key]) -> Plan {
    let mut by_id: BTreeMap<&MinionId, Vec<&Key>> = BTreeMap::new();
    for key in here {
        by_id.entry(&key.id).or_default().push(key);
    }
    // What a rule rejects nobody has decided about.
    let decided_here: BTreeSet<MinionId> = here
        .iter()
        .filter(|key| is_decided(key.state) && key.rule.is_none())
        .map(|key| key.id.clone())
        .collect();
    let mut plan = Plan { left_out: found.left_out, decided_here, ..Plan::default() };
    for key in found.keys {
        let of_id = by_id.get(&key.id).map_or(&[][..], Vec::as_slice);
        match conflict(&key, of_id) {
            Conflict::None => plan.take.push(key),
            Conflict::Here => plan.here_already.push(key),
            Conflict::Other(why) => plan.left_out.push(LeftOut { file: key.file, why }),
        }
    }
    leave_out_denied_alone(&mut plan);
    plan
}

/// Salt denied a key because another one has its id. Without that one it would wait here like any
/// newcomer, and the next `-A` would let it in.
fn leave_out_denied_alone(plan: &mut Plan) {
    let decided: BTreeSet<MinionId> = plan
        .take
        .iter()
        .filter(|key| is_decided(key.state))
        .map(|key| key.id.clone())
        .chain(plan.decided_here.iter().cloned())
        .collect();
    let is_alone = |key: &mut SaltKey| key.state == KeyState::Denied && !decided.contains(&key.id);
    let alone = plan.take.extract_if(.., is_alone).map(|key| LeftOut {
        why: format!(
            "Salt denies it because another key has {}, and no such key is taken in or here; it would wait as \
             if it were the only one",
            key.id
        ),
        file: key.file,
    });
    plan.left_out.extend(alone);
}

enum Conflict {
    None,
    Here,
    Other(String),
}

fn conflict(key: &SaltKey, here: &[&Key]) -> Conflict {
    let waits = |state| matches!(state, KeyState::Pending | KeyState::Denied);
    if let Some(same) = here.iter().find(|known| known.fingerprint == key.key.fingerprint()) {
        return if same.state == key.state || (waits(same.state) && waits(key.state)) {
            Conflict::Here
        } else {
            let (there, now) = (key.state.name(), same.state.name());
            Conflict::Other(format!("{there} there and {now} here; decide about {} by hand", key.id))
        };
    }
    let holder = here.iter().find(|known| matches!(known.state, KeyState::Accepted | KeyState::Suspended));
    match holder {
        Some(holder) if key.state == KeyState::Accepted => Conflict::Other(format!(
            "{} is held here by the {} key {}; delete or reject that key first",
            key.id,
            holder.state.name(),
            holder.fingerprint
        )),
        _ => Conflict::None,
    }
}

fn page(plan: &Plan) -> String {
    let mut text = String::new();
    for (mark, keys) in [("", &plan.take), (", here already", &plan.here_already)] {
        for key in keys {
            let (id, fingerprint) = (&key.id, key.key.fingerprint());
            text.push_str(&format!(
                "{}  {id}{mark}\n    brine      {fingerprint}\n    salt-call  {}\n    salt-key   {}\n",
                key.state.name(),
                key.salt,
                key.salt_key
            ));
        }
    }
    for LeftOut { file, why } in &plan.left_out {
        text.push_str(&format!("left out  {file}: {}\n", escape(why)));
    }
    let count = |state| plan.take.iter().filter(|key| key.state == state).count();
    text.push_str(&format!(
        "{} to take in: {} accepted, {} pending, {} rejected, {} denied; {} here already, {} left out.\n",
        plan.take.len(),
        count(KeyState::Accepted),
        count(KeyState::Pending),
        count(KeyState::Rejected),
        count(KeyState::Denied),
        plan.here_already.len(),
        plan.left_out.len()
    ));
    text
}

fn document(
    plan: &Plan,
    taken: Taken<'_>,
    is_dry: bool,
    common: &Common,
    screen: &mut Screen,
) -> Result<(), Failure> {
    if !common.is_for_programs() || common.quiet {
        return Ok(());
    }
    let describe = |key: &SaltKey, state: KeyState| {
        json!({
            "id": key.id,
            "state": state,
            "fingerprint": key.key.fingerprint(),
            "salt_fingerprint": key.salt,
            "salt_key_fingerprint": key.salt_key,
        })
    };
    let explain = |keys: Vec<(&SaltKey, String)>| -> Value {
        let explained = keys.into_iter().map(|(key, why)| {
            let mut described = describe(key, key.state);
            described["why"] = json!(why);
            described
        });
        explained.collect()
    };
    let left_out: Vec<Value> =
        plan.left_out.iter().map(|left| json!({"file": left.file, "why": left.why})).collect();
    let mut map = Map::new();
    map.insert("dry_run".to_owned(), json!(is_dry));
    map.insert("imported".to_owned(), taken.done.iter().map(|(key, state)| describe(key, *state)).collect());
    let here_already = plan.here_already.iter().map(|key| describe(key, key.state));
    map.insert("here_already".to_owned(), here_already.collect());
    map.insert("left_out".to_owned(), json!(left_out));
    map.insert("refused".to_owned(), explain(taken.refused));
    if !taken.unknown.is_empty() {
        map.insert("unknown".to_owned(), explain(taken.unknown));
    }
    screen.print(&render(&map, &common.style(), 0))?;
    Ok(())
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
