//! Enrolment tokens, and refused acts, which the ledger keeps as well.

use brine_protocol::control::{Token, TokenRequest};
use brine_protocol::server::TEXT_MAX;
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, MinionId, Secret, TokenId, glob};

use super::Trust;
use super::servers::{ServerDone, ServerError, check_until, draft};
use crate::ledger::{Deed, Draft, Hash, LedgerError, Log, MinionKey, TokenDeed};
use crate::registry::servers::{ServerRefusal, hash_token};
use crate::registry::{Refusal, rules};

impl<L: Log> Trust<L> {
    /// Makes a token whose text has this hash ([`crate::registry::servers::new_token`]), good until
    /// then.
    ///
    /// # Errors
    /// It does not fit, or the ledger could not be written.
    pub fn create_token(
        &mut self,
        id: TokenId,
        hash: Hash,
        request: &TokenRequest,
        until: Timestamp,
        by: &str,
        now: Timestamp,
    ) -> Result<Token, ServerError> {
        let deed = self.decide_token(id, hash, request, until, now)?;
        let draft = draft(Deed::Token { token: id, deed }, by, request.reason.as_deref())?;
        self.record(draft, now)?;
        Ok(self.registry.servers().token(id).expect("this entry made it").clone())
    }

    fn decide_token(
        &self,
        id: TokenId,
        hash: Hash,
        request: &TokenRequest,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<TokenDeed, ServerRefusal> {
        let servers = self.registry.servers();
        if servers.token(id).is_some() || servers.token_of(&hash).is_some() {
            return Err(ServerRefusal::TokenExists(id));
        }
        check_until(until, now)?;
        let uses = request.uses.unwrap_or(1);
        match (request.server, request.id_pattern.as_deref()) {
            (Some(server), None) => {
                let entry = self.server(server)?;
                if let Some(link) = &entry.link {
                    return Err(ServerRefusal::Linked {
                        name: entry.record.name.clone(),
                        minion: link.minion.clone(),
                        fingerprint: link.fingerprint,
                    });
                }
                if uses != 1 {
                    return Err(ServerRefusal::TokenUses);
                }
            }
            (None, Some(pattern)) => {
                if pattern.is_empty() || pattern.len() > TEXT_MAX {
                    return Err(ServerRefusal::TokenPattern(pattern.len()));
                }
                if uses == 0 {
                    return Err(ServerRefusal::TokenUses);
                }
            }
            (Some(_), Some(_)) | (None, None) => return Err(ServerRefusal::TokenScope),
        }
        let (server, pattern) = (request.server, request.id_pattern.clone());
        Ok(TokenDeed::Create { hash, server, pattern, uses, until })
    }

    /// Revokes a token. Who was let in by it stays in.
    ///
    /// # Errors
    /// It is not there, or the ledger could not be written.
    pub fn revoke_token(
        &mut self,
        id: TokenId,
        by: &str,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<Token, ServerError> {
        let token = self.registry.servers().token(id).ok_or(ServerRefusal::UnknownToken(id))?.clone();
        self.record(draft(Deed::Token { token: id, deed: TokenDeed::Revoke }, by, reason)?, now)?;
        Ok(token)
    }

    /// Lets in a minion whose key waits and that showed a token: its key is accepted, the token
    /// counted and, if it is a server's, the link made, in one decision.
    ///
    /// # Errors
    /// One sentence for the minion; or the ledger could not be written. The key waits on.
    pub fn enrol(
        &mut self,
        id: &MinionId,
        fingerprint: Fingerprint,
        token: &Secret,
        now: Timestamp,
    ) -> Result<ServerDone, ServerError> {
        let (token, deed) = self.decide_enrolment(id, fingerprint, token, now)?;
        let by = format!("token:{token}");
        self.perform(Draft { by, reason: None, deed: Deed::Token { token, deed } }, now)
    }

    fn decide_enrolment(
        &self,
        id: &MinionId,
        fingerprint: Fingerprint,
        token: &Secret,
        now: Timestamp,
    ) -> Result<(TokenId, TokenDeed), ServerRefusal> {
        let servers = self.registry.servers();
        let known = servers.token_of(&hash_token(token.expose())).and_then(|token| servers.token(token));
        let token = known.ok_or(ServerRefusal::TokenUnknown)?;
        if token.until <= now {
            return Err(ServerRefusal::TokenExpired(token.until));
        }
        if token.used >= token.uses {
            return Err(ServerRefusal::TokenUsedUp);
        }
        let is_for = |pattern: &String| glob::matches(pattern, id.as_str());
        if !token.id_pattern.as_ref().is_none_or(is_for) {
            return Err(ServerRefusal::TokenOther(id.clone()));
        }
        if let Some(server) = token.server {
            let entry = servers.get(server).ok_or(ServerRefusal::TokenUnknown)?;
            if entry.link.is_some() {
                return Err(ServerRefusal::TokenLinked);
            }
            let is_other = entry.record.minion_id.as_ref().is_some_and(|expected| expected != id);
            let is_expected_elsewhere = servers.expecting(id).is_some_and(|other| other != server);
            if is_other || is_expected_elsewhere {
                return Err(ServerRefusal::TokenOther(id.clone()));
            }
        }
        if self.ruled_out(id).is_some() {
            return Err(ServerRefusal::TurnedAway(id.clone()));
        }
        if self.registry.holder(id).is_some() {
            return Err(ServerRefusal::TokenHeld(id.clone()));
        }
        let waiting = self.waiting.get(id, fingerprint);
        let key = waiting.ok_or_else(|| Refusal::Unknown { id: id.clone(), fingerprint })?.key.clone();
        self.check_room(id, None)?;
        let minion = MinionKey { id: id.clone(), fingerprint };
        Ok((token.id, TokenDeed::Enrol { server: token.server, minion, key, from: None }))
    }

    /// Notes that somebody asked for what he may not do.
    ///
    /// # Errors
    /// The ledger could not be written.
    pub fn refused(
        &mut self,
        by: &str,
        verb: &str,
        subject: &str,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        // What was asked for is somebody's word: not all of it has to be kept.
        let (verb, subject) = (rules::shorten(verb), rules::shorten(subject));
        self.record(Draft { by: by.to_owned(), reason: None, deed: Deed::Refuse { verb, subject } }, now)?;
        Ok(())
    }
}
