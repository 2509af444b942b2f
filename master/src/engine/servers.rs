//! Server records: what operators ask about them, and which minion is which server.
//!
//! Records, links and tokens are in the registry; here is what a decision about them does to
//! sessions, bundles and whoever watches. Whatever a link does to keys goes the way that every
//! decision about a key goes.

mod create;
mod told;

use brine_pki::ledger::Log;
use brine_pki::registry::{Replace, ServerDone};
use brine_protocol::control::{
    DeleteServer, ImportServers, KeyFate, PairRequest, PreseedRequest, Problem, ProblemKind, RevokeToken,
    Server, ServerChange, ServerDecision, ServerImported, ServerRequest, Token, TokenRequest, UnpairRequest,
    Way,
};
use brine_protocol::permission::Verb;
use brine_protocol::server::{RecordTerm, ServerId, ServerRecord, TokenId};
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, MinionId, Secret};
use serde_json::{Value, json};

use super::zones::KeyUse;
use super::{Answer, Engine, RequestId};
use crate::roles::Principal;

/// The longest time that a key or a token may wait for its minion: a year.
const EXPIRES_MAX_S: u64 = 365 * 86_400;

/// Records that are looked at for one page of a list: other requests wait for it.
pub(super) const PAGE: usize = 1000;

/// Which records are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Find {
    /// All of these match.
    pub terms: Vec<RecordTerm>,
    /// Only linked ones, or only others.
    pub linked: Option<bool>,
    /// Its UUID, its external id or its very name.
    pub named: Option<String>,
    /// Only ids greater than this: the next page.
    pub after: Option<ServerId>,
}

/// What can be asked about records and tokens.
#[derive(Debug)]
pub enum ServerAsk {
    /// List records, a page of them, in the order of their ids.
    List(Find),
    /// Show one.
    Show(ServerId),
    /// List the decisions about one.
    History(ServerId),
    /// Make one, under this id if one is named, and perhaps a key for it.
    Create(Option<ServerId>, Box<ServerRequest>),
    /// Change one.
    Change(ServerId, Box<ServerChange>),
    /// Delete one.
    Delete(ServerId, DeleteServer),
    /// Say which minion is the server.
    Pair(ServerId, PairRequest),
    /// Undo that.
    Unpair(ServerId, UnpairRequest),
    /// Make a key for one that is there.
    Preseed(ServerId, PreseedRequest),
    /// Hand out the bundle of that key.
    Bundle(ServerId),
    /// Make many.
    Import(ImportServers),
    /// List tokens.
    Tokens,
    /// Make a token.
    CreateToken(TokenRequest),
    /// Make one worthless.
    RevokeToken(TokenId, RevokeToken),
}

impl ServerAsk {
    /// What one has to be allowed for it.
    #[must_use]
    pub fn verb(&self) -> Verb {
        match self {
            Self::List(_) | Self::Show(_) | Self::History(_) | Self::Tokens => Verb::ServersList,
            Self::Create(_, request) if request.preseed => Verb::ServersLink,
            Self::Delete(_, request) if request.key.is_some() => Verb::ServersLink,
            Self::Create(..) | Self::Change(..) | Self::Delete(..) | Self::Import(_) => Verb::ServersEdit,
            Self::Pair(..)
            | Self::Unpair(..)
            | Self::Preseed(..)
            | Self::Bundle(_)
            | Self::CreateToken(_)
            | Self::RevokeToken(..) => Verb::ServersLink,
        }
    }

    /// What it is about, for the ledger's line about a refusal.
    #[must_use]
    pub fn subject(&self) -> String {
        match self {
            Self::Show(id) | Self::History(id) => format!("server {id}"),
            Self::Create(Some(id), _) => format!("put server {id}"),
            Self::Change(id, _) => format!("update server {id}"),
            Self::Delete(id, _) => format!("delete server {id}"),
            Self::Pair(id, request) => format!("pair server {id} with the key of {}", request.key.id),
            Self::Unpair(id, _) => format!("unpair server {id}"),
            Self::Preseed(id, _) => format!("preseed server {id}"),
            Self::Bundle(id) => format!("fetch bundle of server {id}"),
            Self::List(_) => "servers".to_owned(),
            Self::Create(None, _) => "create server".to_owned(),
            Self::Import(_) => "import servers".to_owned(),
            Self::CreateToken(TokenRequest { server: Some(id), .. }) => {
                format!("create token for server {id}")
            }
            Self::CreateToken(_) => "create token".to_owned(),
            Self::Tokens => "tokens".to_owned(),
            Self::RevokeToken(id, _) => format!("revoke token {id}"),
        }
    }
}

/// The answers.
#[derive(Debug)]
pub enum ServerAnswer {
    /// Records, and where the next page begins: behind this id.
    Servers(Vec<Server>, Option<ServerId>),
    /// One record.
    Server(Box<Server>),
    /// A record that was to be made, or to get a key.
    Made {
        /// The record.
        server: Box<Server>,
        /// Whether it was made by this very request.
        made: bool,
        /// The bundle of the key that was made for it.
        bundle: Option<Secret>,
    },
    /// Decisions, oldest first.
    History(Vec<ServerDecision>),
    /// A bundle.
    Bundle(Secret),
    /// What became of each record of an import.
    Imported(Vec<ServerImported>),
    /// Tokens.
    Tokens(Vec<Token>),
    /// One token.
    Token(Box<Token>),
    /// A token that was made.
    TokenMade {
        /// What is known of it.
        token: Box<Token>,
        /// What its minion shows.
        secret: Secret,
    },
}

/// How long something is to be good, in seconds.
pub(super) fn good_for(seconds: Option<u64>, default: u64) -> Result<u64, Problem> {
    let seconds = seconds.unwrap_or(default);
    if !(1..=EXPIRES_MAX_S).contains(&seconds) {
        let detail = format!("expires_s is between 1 and {EXPIRES_MAX_S} seconds (365 days), not {seconds}");
        return Err(Problem::new(ProblemKind::BadRequest, detail));
    }
    Ok(seconds)
}

/// The moment so many seconds from now.
pub(crate) fn after(now: Timestamp, seconds: u64) -> Timestamp {
    now.plus_micros(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000))
}

pub(super) fn check(record: &ServerRecord) -> Result<(), Problem> {
    record.check().map_err(|error| Problem::new(ProblemKind::BadRequest, error.to_string()))
}

/// What every event about a record says.
fn about(
    record: &ServerRecord,
    link: Option<(&MinionId, Fingerprint)>,
    by: &str,
    reason: Option<&str>,
) -> Value {
    let mut data = json!({"name": record.name, "model": record.model, "by": by});
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            data[name] = value;
        }
    };
    add("zone", record.zone.as_deref().map(Value::from));
    add("minion", link.map(|(minion, _)| minion.to_string().into()));
    add("fingerprint", link.map(|(_, fingerprint)| fingerprint.to_string().into()));
    add("reason", reason.map(Value::from));
    data
}

type Answered = Result<Option<(Answer, bool)>, Problem>;

impl<L: Log> Engine<L> {
    /// Answers what is asked about records and tokens; None when the answer comes later.
    pub(super) fn server(&mut self, request: RequestId, by: &Principal, ask: ServerAsk) -> Answered {
        by.may(ask.verb())?;
        let now = |answer| Ok(Some((Answer::Server(answer), false)));
        let promised = |answer| Ok(Some((Answer::Server(answer), true)));
        let shown = |server| ServerAnswer::Server(Box::new(server));
        match ask {
            ServerAsk::List(find) => {
                let (servers, next) = self.list_servers(by, &find);
                now(ServerAnswer::Servers(servers, next))
            }
            ServerAsk::Show(id) => {
                self.may_see_server(by, id)?;
                now(shown(self.shown_server(id)?))
            }
            ServerAsk::History(id) => now(ServerAnswer::History(self.server_history(by, id)?)),
            ServerAsk::Create(id, wanted) => self.create_server(request, by, id, *wanted),
            ServerAsk::Change(id, change) => promised(shown(self.change_server(by, id, &change)?)),
            ServerAsk::Delete(id, wanted) => promised(shown(self.delete_server(by, id, &wanted)?)),
            ServerAsk::Pair(id, wanted) => promised(shown(self.pair(by, id, &wanted)?)),
            ServerAsk::Unpair(id, wanted) => promised(shown(self.unpair(by, id, &wanted)?)),
            ServerAsk::Preseed(id, wanted) => self.preseed(request, by, id, wanted).map(|()| None),
            ServerAsk::Bundle(id) => self.bundle(request, by, id).map(|()| None),
            ServerAsk::Import(wanted) => promised(ServerAnswer::Imported(self.import_servers(by, &wanted)?)),
            ServerAsk::Tokens => now(ServerAnswer::Tokens(self.list_tokens(by))),
            ServerAsk::CreateToken(wanted) => {
                let (token, secret) = self.create_token(by, &wanted)?;
                // Its hash is in the ledger, and the secret told only here: a store that takes no writes
                // must not hold it up.
                now(ServerAnswer::TokenMade { token: Box::new(token), secret })
            }
            ServerAsk::RevokeToken(id, how) => {
                promised(ServerAnswer::Token(Box::new(self.revoke_token(by, id, &how)?)))
            }
        }
    }

    fn list_servers(&self, by: &Principal, find: &Find) -> (Vec<Server>, Option<ServerId>) {
        let servers = self.trust.registry().servers();
        let mut ids: Vec<ServerId> = match find.named.as_deref().map(|text| servers.named(text)) {
            Some(named) => named
                .into_iter()
                .filter(|id| find.after.is_none_or(|after| *id > after))
                .take(PAGE + 1)
                .collect(),
            None => servers.after(find.after).map(|(id, _)| id).take(PAGE + 1).collect(),
        };
        let has_more = ids.len() > PAGE;
        ids.truncate(PAGE);
        let next = ids.last().copied().filter(|_| has_more);
        let is_meant = |id: &ServerId| {
            servers.get(*id).is_some_and(|entry| {
                find.linked.is_none_or(|linked| linked == entry.link.is_some())
                    && find.terms.iter().all(|term| term.matches(*id, &entry.record))
                    && self.may_see_server(by, *id).is_ok()
            })
        };
        (ids.into_iter().filter(is_meant).filter_map(|id| self.shown_server(id).ok()).collect(), next)
    }

    /// A record as operators see it.
    pub(super) fn shown_server(&self, id: ServerId) -> Result<Server, Problem> {
        let shown = self.trust.registry().servers().show(id);
        let mut server =
            shown.ok_or_else(|| Problem::new(ProblemKind::NotFound, format!("there is no server {id}")))?;
        if let Some(link) = &mut server.link {
            let session = self.by_id.get(&link.minion).and_then(|conn| self.sessions.get(conn));
            link.connected = session.is_some_and(|session| session.fingerprint == link.fingerprint);
        }
        Ok(server)
    }

    fn change_server(
        &mut self,
        by: &Principal,
        id: ServerId,
        change: &ServerChange,
    ) -> Result<Server, Problem> {
        self.may_act_on_server(by, id)?;
        let record = change.apply(self.shown_server(id)?.record);
        self.put_record(by, id, record, change.reason.as_deref())?;
        self.shown_server(id)
    }

    /// Makes a record that is there what it is to be.
    fn put_record(
        &mut self,
        by: &Principal,
        id: ServerId,
        record: ServerRecord,
        reason: Option<&str>,
    ) -> Result<(), Problem> {
        check(&record)?;
        self.may_have_zone(by, record.zone.as_deref())?;
        let was = self.shown_server(id)?;
        if record.minion_id != was.record.minion_id {
            self.may_expect(by, record.minion_id.as_ref(), Some(id))?;
        }
        let who = by.to_string();
        let link = was.link.as_ref().map(|link| (&link.minion, link.fingerprint));
        let data = about(&record, link, &who, reason);
        let left = was.record.zone.clone().filter(|zone| record.zone.as_ref() != Some(zone));
        let done = self.trust.update_server(id, record, &who, reason, self.now.wall);
        if done.map_err(|error| self.undone_server(by, &error))?.is_some() {
            self.event(format!("brine/server/{id}/updated"), data);
            // Who saw it there hears that it left, and not where to.
            if left.is_some() {
                let data = about(&was.record, link, &who, reason);
                self.event_in_zone(format!("brine/server/{id}/left"), data, left);
            }
        }
        Ok(())
    }

    fn delete_server(
        &mut self,
        by: &Principal,
        id: ServerId,
        wanted: &DeleteServer,
    ) -> Result<Server, Problem> {
        by.may(Verb::ServersEdit)?;
        self.may_act_on_server(by, id)?;
        self.may_leave(by, id, wanted.key)?;
        let (was, whose) = (self.shown_server(id)?, self.whose_server(id));
        let (who, reason) = (by.to_string(), wanted.reason.as_deref());
        let done = self.trust.delete_server(id, wanted.key, wanted.expect, &who, reason, self.now.wall);
        let done = done.map_err(|error| self.undone_server(by, &error))?;
        for (act, key) in &done.keys {
            self.decided_for(*act, key, &who, Some(whose.clone()));
        }
        let link = was.link.as_ref().map(|link| (&link.minion, link.fingerprint));
        self.wipe_unlinked(id);
        self.give_up_making(id);
        let data = about(&was.record, link, &who, reason);
        let zone = was.record.zone.clone();
        if link.is_some() {
            self.event_in_zone(format!("brine/server/{id}/unlinked"), data.clone(), zone.clone());
        }
        self.event_in_zone(format!("brine/server/{id}/deleted"), data, zone);
        Ok(was)
    }

    /// A key that stays accepted without a record would be of no zone.
    fn may_leave(&self, by: &Principal, id: ServerId, fate: Option<KeyFate>) -> Result<(), Problem> {
        if fate == Some(KeyFate::Keep) && by.zones().is_some() {
            let detail = format!(
                "{by} may not leave the key of server {id} accepted for no server: reject or delete it"
            );
            return Err(Problem::new(ProblemKind::Forbidden, detail));
        }
        Ok(())
    }

    fn pair(&mut self, by: &Principal, id: ServerId, wanted: &PairRequest) -> Result<Server, Problem> {
        self.may_act_on_server(by, id)?;
        self.may_act_on_key(by, &wanted.key, KeyUse::Pair)?;
        let (who, reason) = (by.to_string(), wanted.reason.as_deref());
        let replace = Replace::new(wanted.replace, wanted.gives_up);
        let done = self.trust.pair(id, &wanted.key, replace, &who, reason, self.now.wall);
        let done = done.map_err(|error| self.undone_server(by, &error))?;
        self.on_server_done(&done);
        self.shown_server(id)
    }

    fn unpair(&mut self, by: &Principal, id: ServerId, wanted: &UnpairRequest) -> Result<Server, Problem> {
        self.may_act_on_server(by, id)?;
        self.may_leave(by, id, Some(wanted.key))?;
        let (who, reason) = (by.to_string(), wanted.reason.as_deref());
        let done = self.trust.unpair(id, wanted.key, wanted.expect, &who, reason, self.now.wall);
        let done = done.map_err(|error| self.undone_server(by, &error))?;
        self.on_server_done(&done);
        self.shown_server(id)
    }

    /// What a decision about a link does: to sessions first, then to bundles and to who watches.
    pub(super) fn on_server_done(&mut self, done: &ServerDone) {
        let (by, reason) = (done.entry.by.as_str(), done.entry.reason.as_deref());
        for (act, key) in &done.keys {
            self.on_decided(*act, key, by);
        }
        if let Some((server, minion, fingerprint)) = &done.unlinked
            && !done.keys.iter().any(|(_, key)| key.unlinked == Some(*server))
        {
            self.unlinked(*server, minion, *fingerprint, by, reason);
        }
        let shown = done.server.and_then(|server| Some((server, self.shown_server(server).ok()?)));
        let Some((server, Server { record, link: Some(link), .. })) = shown else { return };
        let mut data = about(&record, Some((&link.minion, link.fingerprint)), by, reason);
        data["way"] = serde_json::to_value::<Way>(link.way).expect("a way is a word");
        self.event(format!("brine/server/{server}/linked"), data);
    }

    /// A minion is no longer a record's, for whatever reason.
    pub(super) fn unlinked(
        &mut self,
        server: ServerId,
        minion: &MinionId,
        fingerprint: Fingerprint,
        by: &str,
        reason: Option<&str>,
    ) {
        self.wipe_unlinked(server);
        let Some(entry) = self.trust.registry().servers().get(server) else { return };
        let data = about(&entry.record, Some((minion, fingerprint)), by, reason);
        self.event(format!("brine/server/{server}/unlinked"), data);
    }
}
