//! What is settled before a job is submitted: whom of those that match it is for, whether a person
//! agrees, and in what portions it goes out.

use std::io::{BufRead, Write};

use brine_client::prompt::{Answer, proceed};
use brine_client::{Client, ClientError};
use brine_local::output::escape;
use brine_protocol::MinionId;
use brine_protocol::control::{Caution, JobRequest, Matched, Presence, ProblemKind, TargetRequest};
use brine_protocol::target::Target;

use super::failure::Failure;
use super::options::running::Orders;

/// How many ids a question names.
const NAMED_MAX: usize = 10;

/// Who can be asked.
pub(super) struct Person<'a> {
    pub(super) input: &'a mut dyn BufRead,
    /// Where questions and notes go.
    pub(super) err: &'a mut dyn Write,
    /// Whether somebody sits there.
    pub(super) is_there: bool,
}

/// What became of a request.
#[derive(Debug)]
pub(super) enum Settled {
    /// It may be submitted.
    Go(JobRequest),
    /// It is for nobody that is there; the sentence says so.
    NobodyThere(String),
}

/// Settles a request by what the options and the master's own say. Runs nothing.
pub(super) async fn settle(
    client: &Client,
    orders: &Orders,
    mut request: JobRequest,
    person: Person<'_>,
) -> Result<Settled, Failure> {
    let wants_batch = request.batch.is_none() && !orders.queue;
    let asks_master = !orders.yes
        || (wants_batch && (orders.batch_safe_limit.is_none() || orders.batch_safe_size.is_none()));
    let mut caution = if asks_master { client.whoami().await?.caution } else { Caution::default() };
    caution.batch_safe_limit = orders.batch_safe_limit.unwrap_or(caution.batch_safe_limit);
    caution.batch_safe_size = orders.batch_safe_size.clone().unwrap_or(caution.batch_safe_size);
    if orders.yes {
        caution.confirm_above = 0;
    }
    if !wants_batch {
        caution.batch_safe_limit = 0;
    }
    let has_batch = request.batch.is_some() || caution.batch_safe_limit > 0;
    if let (Some(option), false) = (orders.only_in_a_batch(), has_batch) {
        return Err(Failure::Usage(format!("{option} goes with a batch: say how large, as in -b 10")));
    }
    if orders.subset.is_none() && caution.confirm_above == 0 && caution.batch_safe_limit == 0 {
        return Ok(Settled::Go(request));
    }
    let asked = TargetRequest { target: request.target.clone(), explain: false };
    let matched = match client.targets(&asked).await {
        // Nobody matches: the submission says so, in its own words.
        Err(ClientError::Refused(problem)) if problem.kind == ProblemKind::NothingMatched => {
            return Ok(Settled::Go(request));
        }
        matched => matched?,
    };
    if matched.minions.is_empty() {
        return Ok(Settled::Go(request));
    }
    let mut ids: Vec<MinionId> = matched.minions.iter().map(|minion| minion.id.clone()).collect();
    if let Some(wanted) = orders.subset {
        ids = chosen(&matched, wanted as usize, random_below);
        if ids.is_empty() {
            return Ok(Settled::NobodyThere(format!(
                "matched but offline: none of the {} minions that match is connected; nothing was run",
                matched.matched
            )));
        }
        writeln!(person.err, "{} of {} that match: {}", ids.len(), matched.matched, named(&ids, ids.len()))?;
        let list: Vec<&str> = ids.iter().map(MinionId::as_str).collect();
        request.target = Target::list(&list.join(","));
    }
    if caution.confirm_above > 0 && ids.len() > caution.confirm_above {
        confirm(&ids, caution.confirm_above, person.input, person.err, person.is_there)?;
    }
    if caution.batch_safe_limit > 0 && ids.len() >= caution.batch_safe_limit {
        writeln!(
            person.err,
            "NOTICE: Too many minions targeted, switching to batch execution: {} minions, {} at a time.",
            ids.len(),
            caution.batch_safe_size
        )?;
        request.batch = Some(orders.batch_of(caution.batch_safe_size));
    }
    Ok(Settled::Go(request))
}

/// Asks whether so many are meant.
fn confirm(
    ids: &[MinionId],
    above: usize,
    mut input: &mut dyn BufRead,
    mut err: &mut dyn Write,
    is_there: bool,
) -> Result<(), Failure> {
    let count = ids.len();
    let sample = named(ids, NAMED_MAX);
    if !is_there {
        return Err(Failure::Refused(format!(
            "the target means {count} minions ({sample}), more than confirm_above of master.yaml, {above}; if all \
             of them are meant, say so with -y. Nothing was run"
        )));
    }
    writeln!(err, "The target means {count} minions: {sample}.")?;
    match proceed(&mut input, &mut err, false)? {
        Answer::Yes => Ok(()),
        Answer::No | Answer::NoInput => Err(Failure::Nothing("not confirmed; nothing was run".to_owned())),
    }
}

fn named(ids: &[MinionId], most: usize) -> String {
    let names: Vec<String> = ids.iter().take(most).map(|id| escape(id.as_str())).collect();
    match ids.len().saturating_sub(most) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

/// So many of those that are connected, by id; all of them when there are fewer. `below` draws a
/// number below another one.
fn chosen(matched: &Matched, wanted: usize, mut below: impl FnMut(usize) -> usize) -> Vec<MinionId> {
    let is_connected = |presence: &Presence| matches!(presence, Presence::Up | Presence::Running);
    let connected = matched.minions.iter().filter(|minion| is_connected(&minion.presence));
    let mut ids: Vec<MinionId> = connected.map(|minion| minion.id.clone()).collect();
    let wanted = wanted.min(ids.len());
    for at in 0..wanted {
        let drawn = at + below(ids.len() - at);
        ids.swap(at, drawn);
    }
    ids.truncate(wanted);
    ids.sort();
    ids
}

/// 64 random bits by so few minions: no id is more likely than another by more than one in 2^40.
fn random_below(limit: usize) -> usize {
    let drawn = u64::from_le_bytes(brine_pki::random::bytes()) % limit as u64;
    usize::try_from(drawn).expect("below a usize")
}

#[cfg(test)]
#[path = "caution_tests.rs"]
mod tests;
