//! Enrolment tokens: who shows one is let in without an operator.
//!
//! **Invariant:** the secret is in the answer to whoever had it made and in the minion's first
//! sealed message, and kept nowhere: the ledger has its hash.

use brine_pki::ledger::Log;
use brine_pki::registry::ServerError;
use brine_pki::registry::servers::new_token;
use brine_protocol::control::{Problem, ProblemKind, RevokeToken, Token, TokenRequest};
use brine_protocol::message::{Knock, ToMaster, ToMinion, TokenRefused};
use brine_protocol::server::{ServerId, TokenId};
use brine_protocol::{Fingerprint, MinionId, Secret};
use serde_json::{Value, json};

use super::servers::{after, good_for};
use super::{Engine, Output};
use crate::gate::ConnId;
use crate::roles::Principal;

/// How long a token is good when nobody says otherwise: a day.
const GOOD_FOR_S: u64 = 86_400;

/// Tokens that may be good at the same time.
const TOKENS_MAX: usize = 10_000;

/// Takes the token out of a first message, before anything else looks at it.
pub(super) fn take_token(first: &mut ToMaster) -> Option<Secret> {
    match first {
        ToMaster::Knock(Knock { token, .. }) => token.take(),
        _ => None,
    }
}

fn about(token: &Token, by: &str, reason: Option<&str>) -> Value {
    let mut data = json!({"uses": token.uses, "until": token.until, "by": by});
    if let Some(server) = token.server {
        data["server"] = server.to_string().into();
    }
    if let Some(pattern) = &token.id_pattern {
        data["id_pattern"] = pattern.as_str().into();
    }
    if let Some(reason) = reason {
        data["reason"] = reason.into();
    }
    data
}

impl<L: Log> Engine<L> {
    /// A waiting minion has shown a token: it is let in, or told why not, or has to come again when
    /// that could not be decided. Says whether it is in.
    pub(super) fn enrol(
        &mut self,
        conn: ConnId,
        id: &MinionId,
        fingerprint: Fingerprint,
        address: &str,
        token: &Secret,
    ) -> bool {
        let why = match self.trust.enrol(id, fingerprint, token, self.now.wall) {
            Ok(done) => {
                self.output(Output::Count("enrolled"));
                self.on_server_done(&done);
                return true;
            }
            Err(ServerError::Refused(refusal)) => refusal.to_string(),
            Err(ServerError::Ledger(_)) => {
                // Nobody said no. Its token is not kept here, so that it has to come again with it.
                self.output(Output::Count("ledger_failed"));
                self.output(Output::Close { conn, why: "ledger_failed" });
                return false;
            }
        };
        self.output(Output::Count("token_refused"));
        // Not stored: strangers must not be able to fill the disk by knocking.
        let data = json!({"fingerprint": fingerprint, "address": address, "why": why});
        self.passing_event(format!("brine/key/{id}/token_refused"), data);
        self.send(conn, ToMinion::TokenRefused(TokenRefused { why }));
        false
    }

    /// The tokens that this caller may see.
    pub(super) fn list_tokens(&self, by: &Principal) -> Vec<Token> {
        let tokens = self.trust.registry().servers().tokens();
        tokens.filter(|token| by.sees_zone(self.zone_of_token(token).as_deref())).cloned().collect()
    }

    fn zone_of_token(&self, token: &Token) -> Option<String> {
        token.server.and_then(|server| self.zone_of_server(server))
    }

    /// Makes a token, and its secret, which is told this once.
    pub(super) fn create_token(
        &mut self,
        by: &Principal,
        wanted: &TokenRequest,
    ) -> Result<(Token, Secret), Problem> {
        match wanted.server {
            Some(server) => self.may_make_token(by, server)?,
            None => self.may_make_open_token(by)?,
        }
        let now = self.now.wall;
        let until = after(now, good_for(wanted.expires_s, GOOD_FOR_S)?);
        let is_good = |token: &&Token| token.until > now && token.used < token.uses;
        if self.trust.registry().servers().tokens().filter(is_good).count() >= TOKENS_MAX {
            let detail =
                format!("{TOKENS_MAX} tokens are good already; revoke some, or wait until they expire");
            return Err(Problem::new(ProblemKind::Busy, detail));
        }
        let id = TokenId::from_random(self.random());
        let (secret, hash) = new_token(self.random());
        let who = by.to_string();
        let made = self.trust.create_token(id, hash, wanted, until, &who, now);
        let token = made.map_err(|error| self.undone_server(by, &error))?;
        let (data, zone) = (about(&token, &who, wanted.reason.as_deref()), self.zone_of_token(&token));
        self.event_in_zone(format!("brine/token/{id}/created"), data, zone);
        Ok((token, secret))
    }

    /// Whoever is limited to zones lets in no id by a token that a key of others has.
    fn may_make_token(&self, by: &Principal, server: ServerId) -> Result<(), Problem> {
        self.may_act_on_server(by, server)?;
        let record = self.shown_server(server)?.record;
        if by.zones().is_some() && record.minion_id.is_none() {
            let detail = format!(
                "{by} may only have tokens for one minion: say which one server {server} expects (minion_id)"
            );
            return Err(Problem::new(ProblemKind::Forbidden, detail));
        }
        self.may_expect(by, record.minion_id.as_ref(), Some(server))
    }

    /// A token that is bound to no record lets in minions that are of no zone.
    fn may_make_open_token(&self, by: &Principal) -> Result<(), Problem> {
        if by.zones().is_some() {
            let detail = format!("{by} may only have tokens that are bound to a server of its zones");
            return Err(Problem::new(ProblemKind::Forbidden, detail));
        }
        Ok(())
    }

    /// Makes a token worthless.
    pub(super) fn revoke_token(
        &mut self,
        by: &Principal,
        id: TokenId,
        how: &RevokeToken,
    ) -> Result<Token, Problem> {
        if let Some(token) = self.trust.registry().servers().token(id)
            && !by.sees_zone(self.zone_of_token(token).as_deref())
        {
            let detail = format!("{by} may not revoke token {id}: it is of none of its zones");
            return Err(Problem::new(ProblemKind::Forbidden, detail));
        }
        let (who, reason) = (by.to_string(), how.reason.as_deref());
        let revoked = self.trust.revoke_token(id, &who, reason, self.now.wall);
        let token = revoked.map_err(|error| self.undone_server(by, &error))?;
        let (data, zone) = (about(&token, &who, reason), self.zone_of_token(&token));
        self.event_in_zone(format!("brine/token/{id}/revoked"), data, zone);
        Ok(token)
    }
}
