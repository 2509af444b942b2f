//! Records are made: one, one that may be there already, or many.

use brine_pki::ledger::{LedgerError, Log};
use brine_pki::registry::{Created, Replace, ServerRefusal};
use brine_protocol::control::{
    IMPORT_MAX, ImportServers, KeyState, Problem, ProblemKind, ServerImported, ServerRequest,
};
use brine_protocol::permission::Verb;
use brine_protocol::server::{ServerId, ServerRecord};

use super::super::preseed::{Wanted, minion_of};
use super::{Answered, about, check};
use crate::engine::servers::ServerAnswer;
use crate::engine::{Answer, Engine, Output, RequestId};
use crate::roles::Principal;

impl<L: Log> Engine<L> {
    /// Makes a record, or finds it there, and a key for it if one is wanted.
    pub(super) fn create_server(
        &mut self,
        request: RequestId,
        by: &Principal,
        id: Option<ServerId>,
        wanted: ServerRequest,
    ) -> Answered {
        by.may(Verb::ServersEdit)?;
        let record = wanted.record();
        check(&record)?;
        self.may_have_zone(by, record.zone.as_deref())?;
        let servers = self.trust.registry().servers();
        let there = match (id, &record.external_id) {
            (Some(id), _) => Some(id).filter(|id| servers.get(*id).is_some()),
            (None, Some(external)) => servers.by_external(external),
            (None, None) => None,
        };
        match (there, id) {
            (Some(server), Some(_)) => self.may_act_on_server(by, server)?,
            (Some(server), None) if self.may_see_server(by, server).is_err() => {
                let external_id = record.external_id.unwrap_or_default();
                return Err(self.refused(by, &ServerRefusal::External { external_id, server }));
            }
            (None, Some(id)) => self.may_name(by, id)?,
            (_, None) => {}
        }
        if wanted.preseed {
            self.may_make_key(there, &wanted.bundle)?;
        }
        let reason = wanted.reason.as_deref();
        let (server, made) = match there {
            Some(server) if id.is_some() => {
                self.put_record(by, server, record, reason)?;
                (server, false)
            }
            Some(server) if self.shown_server(server)?.record == record => (server, false),
            Some(server) => {
                let external_id = record.external_id.unwrap_or_default();
                return Err(self.refused(by, &ServerRefusal::External { external_id, server }));
            }
            None => {
                if wanted.preseed {
                    self.may_preseed_new(by, &record)?;
                }
                self.may_expect(by, record.minion_id.as_ref(), None)?;
                self.may_hold(1)?;
                let server = id.unwrap_or_else(|| ServerId::from_random(self.random()));
                self.make_record(by, server, record, reason)?
            }
        };
        let shown = self.shown_server(server)?;
        if wanted.preseed {
            let ServerRequest { bundle: wish, reason, .. } = wanted;
            match &shown.link {
                None => {
                    let key = Wanted { replace: Replace::Nothing, wish, reason, made };
                    self.make_key(request, by, server, key).map_err(|problem| {
                        let detail =
                            format!("server {server} is there, but without a key: {}", problem.detail);
                        Problem { detail, ..problem }
                    })?;
                    return Ok(None);
                }
                // Whoever asked first did not live to hear the answer.
                Some(link) if !wish.keep && link.preseed.is_some_and(|preseed| !preseed.is_fetched) => {
                    self.bundle_of_made(request, by, server)?;
                    return Ok(None);
                }
                Some(_) => {}
            }
        }
        let answer = ServerAnswer::Made { server: Box::new(shown), made, bundle: None };
        Ok(Some((Answer::Server(answer), true)))
    }

    /// Makes one record under this id, and says whether it was not there.
    fn make_record(
        &mut self,
        by: &Principal,
        id: ServerId,
        record: ServerRecord,
        reason: Option<&str>,
    ) -> Result<(ServerId, bool), Problem> {
        let made = self.make_records(by, &[(id, record)], false, false, reason)?;
        let made = made.into_iter().next().expect("there is a result for each record");
        let Created { server, made } = made.map_err(|refusal| self.refused(by, &refusal))?;
        if server != id {
            let detail = format!("this very record is there already, as server {server}");
            return Err(Problem::new(ProblemKind::Conflict, detail));
        }
        Ok((server, made))
    }

    /// Makes records, and tells of each that was made.
    fn make_records(
        &mut self,
        by: &Principal,
        records: &[(ServerId, ServerRecord)],
        keep_going: bool,
        dry_run: bool,
        reason: Option<&str>,
    ) -> Result<Vec<Result<Created, ServerRefusal>>, Problem> {
        let who = by.to_string();
        let done = self.trust.create_servers(records, keep_going, dry_run, &who, reason, self.now.wall);
        let done = done.map_err(|error| self.unwritten(&error))?;
        let is_done = !dry_run && (keep_going || done.iter().all(Result::is_ok));
        for (result, (_, record)) in done.iter().zip(records).filter(|_| is_done) {
            if let Ok(created) = result
                && created.made
            {
                let data = about(record, None, &who, reason);
                self.event(format!("brine/server/{}/created", created.server), data);
            }
        }
        Ok(done)
    }

    fn unwritten(&mut self, error: &LedgerError) -> Problem {
        self.output(Output::Count("ledger_failed"));
        Problem::new(ProblemKind::Degraded, format!("nothing was done: {error}"))
    }

    /// Whether there is room for so many more records.
    fn may_hold(&self, more: usize) -> Result<(), Problem> {
        let (there, max) = (self.trust.registry().servers().len(), self.settings.servers_max);
        if there.saturating_add(more) > max {
            let detail = format!(
                "there are {there} servers, and at most {max} are kept (servers_max): there is no room for {more} more"
            );
            return Err(Problem::new(ProblemKind::Busy, detail));
        }
        Ok(())
    }

    /// Whether a record that is yet to be made could get a key at once. What stands against that
    /// is better said before there is a record.
    fn may_preseed_new(&self, by: &Principal, record: &ServerRecord) -> Result<(), Problem> {
        let minion = minion_of(record)?;
        self.may_expect(by, Some(&minion), None)?;
        let conflict = |detail| Err(Problem::new(ProblemKind::Conflict, detail));
        let registry = self.trust.registry();
        let is_holder = |state| matches!(state, KeyState::Accepted | KeyState::Suspended);
        if let Some(holder) = registry.keys_of(&minion).find(|key| is_holder(key.state)) {
            let key = holder.fingerprint;
            return conflict(format!("{minion} is held by the {} key {key}", holder.state.name()));
        }
        match registry.servers().expecting(&minion) {
            Some(server) => {
                let name = self.shown_server(server)?.record.name;
                Err(self.refused(by, &ServerRefusal::Expected { minion, server, name }))
            }
            None => Ok(()),
        }
    }

    /// Makes many records, all or none of them unless it is to keep going.
    pub(super) fn import_servers(
        &mut self,
        by: &Principal,
        wanted: &ImportServers,
    ) -> Result<Vec<ServerImported>, Problem> {
        let ImportServers { servers, keep_going, dry_run, reason } = wanted;
        if servers.len() > IMPORT_MAX {
            let detail = format!(
                "an import has at most {IMPORT_MAX} servers, this one has {}: split it",
                servers.len()
            );
            return Err(Problem::new(ProblemKind::BadRequest, detail));
        }
        let mut results: Vec<Option<ServerImported>> = Vec::with_capacity(servers.len());
        let mut good = Vec::new();
        for (at, request) in servers.iter().enumerate() {
            let refused = self.may_import(by, request).err();
            let is_forbidden = |problem: &Problem| problem.kind == ProblemKind::Forbidden;
            if refused.as_ref().is_some_and(is_forbidden) {
                self.note_refused(&by.to_string(), Verb::ServersEdit, &format!("server {:?}", request.name));
            }
            if refused.is_none() {
                good.push((at, (ServerId::from_random(self.random()), request.record())));
            }
            results.push(refused.map(|problem| ServerImported {
                id: None,
                made: false,
                refused: Some(problem.detail),
            }));
        }
        let is_spoilt = good.len() < servers.len() && !keep_going;
        let (places, records): (Vec<usize>, Vec<_>) = good.into_iter().unzip();
        let reason = reason.as_deref();
        if self.may_hold(records.len()).is_err() {
            // Those that are there already need no room.
            let judged = self.make_records(by, &records, *keep_going, true, reason)?;
            self.may_hold(
                judged.iter().filter(|result| matches!(result, Ok(Created { made: true, .. }))).count(),
            )?;
        }
        let dry_run = *dry_run || is_spoilt;
        let done = self.make_records(by, &records, *keep_going, dry_run, reason)?;
        for (at, result) in places.into_iter().zip(done) {
            results[at] = Some(match result {
                Ok(Created { server, made }) => {
                    // Of what was not written, the id is nobody's.
                    let id = self.trust.registry().servers().get(server).map(|_| server);
                    ServerImported { id, made, refused: None }
                }
                Err(refusal) => {
                    ServerImported { id: None, made: false, refused: Some(self.why(by, &refusal)) }
                }
            });
        }
        Ok(results.into_iter().map(|result| result.expect("each was judged")).collect())
    }

    fn may_import(&self, by: &Principal, request: &ServerRequest) -> Result<(), Problem> {
        if request.preseed {
            let detail = "an import makes no keys: ask for one with brine server preseed";
            return Err(Problem::new(ProblemKind::BadRequest, detail));
        }
        let record = request.record();
        check(&record)?;
        self.may_have_zone(by, record.zone.as_deref())?;
        self.may_expect(by, record.minion_id.as_ref(), None)
    }
}
