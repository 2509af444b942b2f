//! `brine-key import --from-salt DIR`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use brine_client::Exit;
use brine_client::prompt::{self, Answer};
use brine_local::output::{escape, render};
use brine_protocol::control::{ImportRequest, ImportedKey, Key, KeyActResult, KeyState};
use brine_protocol::{Fingerprint, MinionId};
use serde_json::{Map, Value, json};

use super::folder::{self, Found, LeftOut, SaltKey};
use crate::failure::Failure;
use crate::options::Common;
use crate::screen::Screen;
use crate::source::Source;

/// What is to be done with the keys of a folder.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    take: Vec<SaltKey>,
    here_already: Vec<SaltKey>,
    left_out: Vec<LeftOut>,
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
        document(&plan, &[], is_dry, common, screen)?;
        return Ok(clean);
    }
    if !common.yes {
        match prompt::proceed(&mut io::stdin().lock(), &mut io::stderr(), false)? {
            Answer::Yes => {}
            Answer::No => return Ok(Exit::Ok),
            Answer::NoInput => {
                return Err(Failure::Nothing("no answer, so nothing was changed; -y answers yes".to_owned()));
            }
        }
    }
    let reason = common.reason.clone().unwrap_or_else(|| format!("imported from {}", root.display()));
    let keys = plan.take.iter().map(|key| ImportedKey {
        id: key.id.clone(),
        public_key: key.key.to_pem(),
        state: key.state,
    });
    let request = ImportRequest { keys: keys.collect(), reason: Some(reason) };
    let results = source.import(&request).await?;
    let mut done: BTreeMap<&str, usize> = BTreeMap::new();
    let mut refused = 0;
    for (key, result) in plan.take.iter().zip(&results) {
        match &result.refused {
            None => *done.entry(key.state.name()).or_default() += 1,
            Some(why) => {
                refused += 1;
                eprintln!("Key for minion {} was not imported: {}", key.id, escape(why));
            }
        }
    }
    if !is_document && !common.quiet {
        let counts: Vec<String> = done.iter().map(|(state, count)| format!("{count} {state}")).collect();
        let counts = if counts.is_empty() { "nothing".to_owned() } else { counts.join(", ") };
        screen.print(&format!(
            "Imported: {counts}. Here already: {}. Left out: {}. Refused: {refused}.\n",
            plan.here_already.len(),
            plan.left_out.len()
        ))?;
    }
    document(&plan, &results, false, common, screen)?;
    Ok(if refused > 0 { Exit::Refused } else { clean })
}

/// Sorts what was found by what there is to do. Pure.
fn plan(found: Found, here: &[Key]) -> Plan {
    let mut by_id: BTreeMap<&MinionId, Vec<&Key>> = BTreeMap::new();
    for key in here {
        by_id.entry(&key.id).or_default().push(key);
    }
    let mut plan = Plan { left_out: found.left_out, ..Plan::default() };
    for key in found.keys {
        let of_id = by_id.get(&key.id).map_or(&[][..], Vec::as_slice);
        match conflict(&key, of_id) {
            Conflict::None => plan.take.push(key),
            Conflict::Here => plan.here_already.push(key),
            Conflict::Other(why) => plan.left_out.push(LeftOut { file: key.file, why }),
        }
    }
    plan
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
    results: &[KeyActResult],
    is_dry: bool,
    common: &Common,
    screen: &mut Screen,
) -> Result<(), Failure> {
    if !common.is_for_programs() || common.quiet {
        return Ok(());
    }
    let refusals: BTreeMap<(&MinionId, Fingerprint), &String> = results
        .iter()
        .filter_map(|result| Some(((&result.id, result.fingerprint), result.refused.as_ref()?)))
        .collect();
    let is_done = |key: &&SaltKey| !refusals.contains_key(&name(key));
    let describe = |key: &SaltKey| {
        json!({
            "id": key.id,
            "state": key.state,
            "fingerprint": key.key.fingerprint(),
            "salt_fingerprint": key.salt,
            "salt_key_fingerprint": key.salt_key,
        })
    };
    let refused: Vec<Value> = plan
        .take
        .iter()
        .filter_map(|key| {
            let mut described = describe(key);
            described["why"] = json!(refusals.get(&name(key))?);
            Some(described)
        })
        .collect();
    let left_out: Vec<Value> =
        plan.left_out.iter().map(|left| json!({"file": left.file, "why": left.why})).collect();
    let mut map = Map::new();
    map.insert("dry_run".to_owned(), json!(is_dry));
    map.insert("imported".to_owned(), plan.take.iter().filter(is_done).map(describe).collect());
    map.insert("here_already".to_owned(), plan.here_already.iter().map(describe).collect());
    map.insert("left_out".to_owned(), json!(left_out));
    map.insert("refused".to_owned(), json!(refused));
    screen.print(&render(&map, &common.style(), 0))?;
    Ok(())
}

fn name(key: &SaltKey) -> (&MinionId, Fingerprint) {
    (&key.id, key.key.fingerprint())
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
