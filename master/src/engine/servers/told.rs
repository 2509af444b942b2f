//! What is told of records to whom: a history as far as it is the caller's, and a refusal without
//! the records of others.

use brine_pki::ledger::Log;
use brine_pki::registry::{RefusalKind, ServerError, ServerRefusal};
use brine_protocol::control::{Problem, ProblemKind, ServerDecision};
use brine_protocol::server::{ServerId, ServerRecord};

use crate::engine::{Engine, Output};
use crate::roles::Principal;

impl<L: Log> Engine<L> {
    /// The decisions about a record since it last came into the caller's zones. Also of one that was
    /// deleted: then whoever saw it last may see what became of it.
    pub(super) fn server_history(
        &self,
        by: &Principal,
        id: ServerId,
    ) -> Result<Vec<ServerDecision>, Problem> {
        let servers = self.trust.registry().servers();
        let history = servers.history(id);
        if servers.get(id).is_some() || history.is_empty() {
            self.may_see_server(by, id)?;
        } else if !self.was_seen(by, id) {
            return Err(Problem::new(ProblemKind::NotFound, format!("there is no server {id}")));
        }
        let is_of_others = |decision: &ServerDecision| {
            decision.record.as_ref().is_some_and(|record| !by.sees_zone(record.zone.as_deref()))
        };
        let Some(last) = history.iter().rposition(is_of_others) else { return Ok(history.to_vec()) };
        // What was decided next may still have been decided there.
        let came = history[last..].iter().skip(1).position(|decision| decision.record.is_some());
        Ok(came.map_or_else(Vec::new, |came| history[last + 1 + came..].to_vec()))
    }

    /// Whether a record that may be gone was of the caller's zones at last; also when none ever was.
    fn was_seen(&self, by: &Principal, id: ServerId) -> bool {
        let history = self.trust.registry().servers().history(id);
        let last = history.iter().rev().find_map(|decision| decision.record.as_ref());
        history.is_empty() || by.sees_zone(last.and_then(|record: &ServerRecord| record.zone.as_deref()))
    }

    /// Whether a record may be made under this id: its history goes on, so it has to be the caller's.
    pub(super) fn may_name(&self, by: &Principal, id: ServerId) -> Result<(), Problem> {
        if !self.was_seen(by, id) {
            let detail = format!("{by} may not have server {id}: that was a record of none of its zones");
            return Err(Problem::new(ProblemKind::Forbidden, detail));
        }
        self.may_be_called(by, id)
    }

    /// Why something was not done, for whoever asked.
    pub(in crate::engine) fn undone_server(&mut self, by: &Principal, error: &ServerError) -> Problem {
        match error {
            ServerError::Refused(refusal) => self.refused(by, refusal),
            ServerError::Ledger(error) => {
                self.output(Output::Count("ledger_failed"));
                Problem::new(ProblemKind::Degraded, format!("nothing was done: {error}"))
            }
        }
    }

    /// What a refusal of the registry is to whoever asked.
    pub(in crate::engine) fn refused(&self, by: &Principal, refusal: &ServerRefusal) -> Problem {
        let kind = match refusal.kind() {
            RefusalKind::Unknown => ProblemKind::NotFound,
            RefusalKind::Conflict => ProblemKind::Conflict,
            RefusalKind::Invalid => ProblemKind::BadRequest,
            RefusalKind::Forbidden => ProblemKind::Forbidden,
        };
        Problem::new(kind, self.why(by, refusal))
    }

    /// The sentence of a refusal. Of a record that is not shown to the caller it says only that there
    /// is one.
    pub(super) fn why(&self, by: &Principal, refusal: &ServerRefusal) -> String {
        let hidden = match refusal {
            ServerRefusal::Exists(server) => (*server, "another record has this id".to_owned()),
            ServerRefusal::External { external_id, server } => {
                let external_id = brine_local::text::escape(external_id);
                (*server, format!("another record has the external id {external_id:?}"))
            }
            ServerRefusal::Expected { minion, server, .. } => {
                (*server, format!("another record expects the minion {minion}"))
            }
            ServerRefusal::LinkedElsewhere { minion, server, .. } => {
                (*server, format!("{minion} is linked to another record"))
            }
            _ => return refusal.to_string(),
        };
        let (server, hidden) = hidden;
        if by.zones().is_none() || self.may_see_server(by, server).is_ok() {
            refusal.to_string()
        } else {
            hidden
        }
    }
}
