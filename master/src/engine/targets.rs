//! Targets against what the master knows: keys, cached grains, server records.
//!
//! Whom a target means is judged among the minions that the caller sees, with the grains that were
//! learnt under the key that is accepted now: what another machine said under the same name counts
//! for nothing.

use brine_pki::ledger::Log;
use brine_protocol::MinionId;
use brine_protocol::control::{
    Matched, MatchedMinion, Presence, Problem, ProblemKind, TargetRequest, nobody_matches,
};
use brine_protocol::job::Job;
use brine_protocol::permission::{Role, Verb};
use brine_protocol::target::{Expression, Known, Target};

use super::Engine;
use crate::roles::Principal;

impl<L: Log> Engine<L> {
    /// Reads a target as an operator wrote it.
    pub(super) fn read_target(&self, target: &Target) -> Result<Expression, Problem> {
        Expression::parse(target, &self.nodegroups).map_err(|error| {
            let detail = format!("{} (column {} of the target)", error.what, error.column);
            let mut problem = Problem::new(ProblemKind::BadRequest, detail);
            problem.column = Some(error.column);
            problem
        })
    }

    /// What is known of a minion when a target asks that is not about pillar.
    pub(super) fn known<'a>(&'a self, id: &'a MinionId) -> Known<'a> {
        let facts = self.facts.get(id).filter(|facts| self.trust.is_accepted(id, facts.generation));
        Known { id, grains: facts.map(|facts| &facts.grains), pillar: None, record: self.record_of(id) }
    }

    /// Asks for a caller about an accepted minion, and looks up no more than what is asked: this is done
    /// for each minion of the fleet. Of one on which the caller may run nothing no pillar is known here:
    /// whether somebody's guess is its secret would be told otherwise.
    fn ask_of<T>(
        &self,
        by: &Principal,
        (id, generation): (&MinionId, u64),
        expression: &Expression,
        ask: impl FnOnce(&Known<'_>) -> T,
    ) -> T {
        let uses = expression.uses();
        let facts = if uses.grains { self.facts.get(id) } else { None };
        let grains = facts.filter(|facts| facts.generation == generation).map(|facts| &facts.grains);
        let pillar = if uses.pillar && by.may_run_something(id) { self.pillar_of(id) } else { None };
        let pillar = pillar.as_ref().map(|compiled| &compiled.pillar);
        let record = if uses.record { self.record_of(id) } else { None };
        ask(&Known { id, grains, pillar, record })
    }

    /// The accepted minions that a caller's target means, with the generations of their keys.
    ///
    /// # Errors
    /// Nobody is meant, or the target is not for this caller.
    pub(super) fn resolve(
        &self,
        by: &Principal,
        target: &Target,
        expression: &Expression,
    ) -> Result<Vec<(MinionId, u64)>, Problem> {
        may_ask(by, expression)?;
        let minions: Vec<(MinionId, u64)> = self
            .accepted_for(by)
            .filter(|minion| self.ask_of(by, *minion, expression, |known| expression.matches(known)))
            .map(|(id, generation)| (id.clone(), generation))
            .collect();
        if !minions.is_empty() {
            return Ok(minions);
        }
        let (mut accepted, mut unjudged) = (0, 0);
        for minion in self.accepted_for(by) {
            accepted += 1;
            let is_unjudged = self.ask_of(by, minion, expression, |known| is_unjudged(expression, known));
            unjudged += usize::from(is_unjudged);
        }
        let written = brine_local::text::escape(&target.expression);
        let detail = nobody_matches(&written, accepted, unjudged);
        Err(Problem::new(ProblemKind::NothingMatched, detail))
    }

    /// Whom a target means, without running anything.
    pub(super) fn matched(&self, by: &Principal, request: &TargetRequest) -> Result<Matched, Problem> {
        let expression = self.read_target(&request.target)?;
        may_ask(by, &expression)?;
        let mut answer = Matched { minions: Vec::new(), matched: 0, offline: 0, accepted: 0, unjudged: 0 };
        for minion in self.accepted_for(by) {
            answer.accepted += 1;
            let explained = self.ask_of(by, minion, &expression, |known| {
                if !expression.matches(known) {
                    return Err(is_unjudged(&expression, known));
                }
                Ok(if request.explain { expression.explain(known) } else { Vec::new() })
            });
            let why = match explained {
                Ok(why) => why,
                Err(is_unjudged) => {
                    answer.unjudged += usize::from(is_unjudged);
                    continue;
                }
            };
            let (id, _) = minion;
            let presence = self.presence(id, None);
            answer.matched += 1;
            answer.offline += usize::from(matches!(presence, Presence::Offline { .. }));
            answer.minions.push(MatchedMinion { id: id.clone(), presence, why });
        }
        Ok(answer)
    }

    /// The target that a minion of a job is sent and checks again; without one, everybody.
    pub(super) fn sent_target(&self, job: &Job, to: Option<&MinionId>) -> Target {
        let expression = self.open.get(&job.jid).and_then(|open| open.expression.as_ref());
        match (expression, to) {
            (Some(expression), Some(id)) => {
                // The rest is for the minion to judge.
                let record = if expression.uses().record { self.record_of(id) } else { None };
                expression.sent_to(&Known { id, grains: None, pillar: None, record })
            }
            (Some(expression), None) => expression.sent_to_all(),
            // What was readable when the job was submitted named this minion then.
            (None, Some(id)) => Target::list(id.as_str()),
            (None, None) => Target::glob("*"),
        }
    }
}

/// Whether somebody may ask this. A pattern over pillar finds out secrets letter by letter. Who may run
/// nothing has no use for it, and would learn which guess is right.
fn may_ask(by: &Principal, expression: &Expression) -> Result<(), Problem> {
    if expression.uses().pillar && by.may(Verb::JobsRun).is_err() {
        let detail =
            format!("{by} may not match pillar: its role runs nothing, and would learn what is in it");
        return Err(Problem::new(ProblemKind::Forbidden, detail));
    }
    if by.role() == Role::Admin || expression.pillar_is_exact() {
        return Ok(());
    }
    let detail = format!(
        "{by} may not match pillar by patterns, which find out what is in it: only administrators may; \
         name the exact value, such as I@role:web"
    );
    Err(Problem::new(ProblemKind::Forbidden, detail))
}

/// Whether a minion does not match because nothing is known yet of what is asked for.
fn is_unjudged(expression: &Expression, known: &Known<'_>) -> bool {
    known.grains.is_none() && expression.uses().grains
}
