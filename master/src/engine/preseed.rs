//! Keys that are made for server records, and the bundles that carry them to their machines.
//!
//! ```text
//! asked --key made beside the loop, bundle written--> judged again --> ledger: preseed --> linked,
//!                                                     and the bundle takes the place of an older one
//! ledger: fetch  --> bundle read, wiped, handed out   (once: whoever is first)
//! ledger: arrive --> its minion has come              (bundle wiped, if nobody fetched it)
//! ledger: expire --> key rejected, link undone        (bundle wiped)
//! ```
//! **Invariants:** the ledger never speaks of a key whose bundle is not on disk, unless it failed while
//! it was written to; a bundle is read only after the ledger says so; of a link that is undone, and of
//! a key that the ledger does not name, no bundle stays. Seconds pass while a key is made: what is
//! true when it is asked for is asked again before it is accepted, and before it is handed out.

use std::collections::{BTreeMap, BTreeSet};

use brine_pki::key::PublicKey;
use brine_pki::ledger::Log;
use brine_pki::registry::{Replace, ServerDone, ServerError};
use brine_protocol::control::{PreseedRequest, PreseedWish, Problem, ProblemKind};
use brine_protocol::permission::Verb;
use brine_protocol::server::{ServerId, ServerRecord};
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, MinionId, Secret};

use super::servers::{ServerAnswer, after, good_for};
use super::{Answer, Engine, Output, RequestId};
use crate::bundles::check_address;
use crate::roles::Principal;

/// How long a key waits for its minion when nobody says otherwise: a week.
const WAITS_S: u64 = 7 * 86_400;

/// Keys that may be in the making: each takes seconds, and they are made one or two at a time.
const MAKING_MAX: usize = 64;

/// Requests that may wait for the same key.
const JOINED_MAX: usize = 64;

/// A key that has to be made, and what its bundle has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleWish {
    /// Which making this is: of a record that was deleted and made again there can be two.
    pub number: u64,
    /// The record.
    pub server: ServerId,
    /// The id of its minion.
    pub minion: MinionId,
    /// How long the key waits for its minion, in seconds.
    pub waits_s: u64,
    /// Where the minion reaches this master, if that is not what the master's options say.
    pub master: Option<String>,
}

impl BundleWish {
    /// Until when a key waits that is made now.
    #[must_use]
    pub fn until(&self, now: Timestamp) -> Timestamp {
        after(now, self.waits_s)
    }
}

/// A key that was made, and whose bundle is in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeKey {
    /// Its public half.
    pub key: PublicKey,
    /// When it is rejected, unless its minion has come: what its bundle says.
    pub until: Timestamp,
}

/// What the driver has to do about bundles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BundleStep {
    /// Make a key, write its bundle beside the one that the record may have, say [`BundleDone::Made`].
    Make(BundleWish),
    /// The ledger names the key that was made last for this record: its bundle takes the place of an
    /// older one, which is wiped.
    Keep(ServerId),
    /// It does not: wipe its bundle, and no older one.
    Drop(ServerId),
    /// Read the bundle with this key, wipe it, say [`BundleDone::Taken`].
    Take {
        /// The record.
        server: ServerId,
        /// The key that has to be in it.
        key: Fingerprint,
    },
    /// Wipe the bundle of this record, if it has one.
    Wipe(ServerId),
}

/// What the driver has done about bundles.
#[derive(Debug)]
pub enum BundleDone {
    /// A key was made and its bundle is in its file; or why not, in one sentence.
    Made {
        /// The record.
        server: ServerId,
        /// Which making this is.
        number: u64,
        /// The key.
        made: Result<MadeKey, String>,
        /// The requests that nobody waits for any more.
        gone: BTreeSet<RequestId>,
    },
    /// A bundle was read and wiped; or why it cannot be handed out, in one sentence.
    Taken {
        /// The record.
        server: ServerId,
        /// The bundle.
        taken: Result<Secret, String>,
    },
}

/// A request that waits for a key.
#[derive(Debug)]
struct Waiting {
    request: RequestId,
    by: Principal,
    /// Whether it leaves the bundle on the master.
    keeps: bool,
    /// Whether it made the record.
    made: bool,
}

/// A key in the making.
#[derive(Debug)]
struct Making {
    number: u64,
    minion: MinionId,
    replace: Replace,
    by: Principal,
    reason: Option<String>,
    waiting: Vec<Waiting>,
}

/// Who gets the bundle that is being read.
#[derive(Debug)]
enum Taker {
    Bundle(RequestId),
    Made { request: RequestId, made: bool },
}

/// Keys in the making, and bundles on their way.
#[derive(Debug, Default)]
pub(super) struct Preseeds {
    last_number: u64,
    making: BTreeMap<ServerId, Making>,
    taking: BTreeMap<ServerId, Taker>,
}

/// What a request wants of a key, checked.
pub(super) struct Wanted {
    pub(super) replace: Replace,
    pub(super) wish: PreseedWish,
    pub(super) reason: Option<String>,
    /// Whether the record was made by this very request.
    pub(super) made: bool,
}

/// The id of the minion of a record, as far as the record alone says.
pub(super) fn minion_of(record: &ServerRecord) -> Result<MinionId, Problem> {
    let of_name = || record.name.parse();
    record.minion_id.clone().map_or_else(of_name, Ok).map_err(|error| {
        let detail = format!(
            "the name of the server is no minion id ({error}), so name one for its key: minion_id (--minion-id)"
        );
        Problem::new(ProblemKind::BadRequest, detail)
    })
}

impl<L: Log> Engine<L> {
    /// Whether a key could be made now, as far as that can be said before it is.
    pub(super) fn may_make_key(&self, server: Option<ServerId>, wish: &PreseedWish) -> Result<(), Problem> {
        let bad = |detail| Problem::new(ProblemKind::BadRequest, detail);
        good_for(wish.expires_s, WAITS_S)?;
        wish.master.as_deref().map_or(Ok(()), check_address).map_err(bad)?;
        let joins = server.is_some_and(|server| self.preseeds.making.contains_key(&server));
        if !joins && self.preseeds.making.len() >= MAKING_MAX {
            let detail = format!("{MAKING_MAX} keys are being made already, try again in a moment");
            return Err(Problem::new(ProblemKind::Busy, detail));
        }
        Ok(())
    }

    /// Makes a key for a record that is there.
    pub(super) fn preseed(
        &mut self,
        request: RequestId,
        by: &Principal,
        server: ServerId,
        wanted: PreseedRequest,
    ) -> Result<(), Problem> {
        self.may_act_on_server(by, server)?;
        let PreseedRequest { replace, gives_up, bundle: wish, reason } = wanted;
        let replace = Replace::new(replace, gives_up);
        self.may_make_key(Some(server), &wish)?;
        self.make_key(request, by, server, Wanted { replace, wish, reason, made: false })
    }

    /// Makes a key, or waits for the one that is being made: the answer comes later.
    pub(super) fn make_key(
        &mut self,
        request: RequestId,
        by: &Principal,
        server: ServerId,
        wanted: Wanted,
    ) -> Result<(), Problem> {
        let Wanted { replace, wish, reason, made } = wanted;
        let waiting = Waiting { request, by: by.clone(), keeps: wish.keep, made };
        if let Some(making) = self.preseeds.making.get_mut(&server) {
            if making.waiting.len() >= JOINED_MAX {
                let detail = format!("{JOINED_MAX} requests wait for the key of server {server} already");
                return Err(Problem::new(ProblemKind::Busy, detail));
            }
            making.waiting.push(waiting);
            return Ok(());
        }
        let minion = minion_of(&self.shown_server(server)?.record)?;
        self.may_have_key(by, server, &minion, replace)?;
        let waits_s = good_for(wish.expires_s, WAITS_S)?;
        self.preseeds.last_number += 1;
        let (number, by) = (self.preseeds.last_number, by.clone());
        let making = Making { number, minion: minion.clone(), replace, by, reason, waiting: vec![waiting] };
        self.preseeds.making.insert(server, making);
        let wish = BundleWish { number, server, minion, waits_s, master: wish.master };
        self.output(Output::Bundle(BundleStep::Make(wish)));
        Ok(())
    }

    /// Whether a key of this minion id can be accepted for a record, by this caller, now.
    fn may_have_key(
        &self,
        by: &Principal,
        server: ServerId,
        minion: &MinionId,
        replace: Replace,
    ) -> Result<(), Problem> {
        self.may_act_on_server(by, server)?;
        self.may_expect(by, Some(minion), Some(server))?;
        let now = self.trust.preseed_id(server, replace).map_err(|refusal| self.refused(by, &refusal))?;
        if now != *minion {
            let detail = format!("server {server} expects {now} now, and the key was made for {minion}");
            return Err(Problem::new(ProblemKind::Conflict, detail));
        }
        Ok(())
    }

    /// A record is gone: who waits for its key waits for nothing, and no later record of that id gets
    /// it.
    pub(super) fn give_up_making(&mut self, server: ServerId) {
        let Some(making) = self.preseeds.making.remove(&server) else { return };
        for Waiting { request, .. } in making.waiting {
            let detail = format!("there is no server {server} any more");
            self.answer_now(request, Answer::Refused(Problem::new(ProblemKind::NotFound, detail)));
        }
    }

    pub(super) fn on_bundle(&mut self, done: BundleDone) {
        match done {
            BundleDone::Made { server, number, made, gone } => {
                self.on_bundle_made(server, number, made, &gone);
            }
            BundleDone::Taken { server, taken } => self.on_bundle_taken(server, taken),
        }
    }

    /// A key is made and its bundle written, or could not be. Of those who waited for it, some may
    /// be gone: none of these is handed the bundle.
    fn on_bundle_made(
        &mut self,
        server: ServerId,
        number: u64,
        made: Result<MadeKey, String>,
        gone: &BTreeSet<RequestId>,
    ) {
        if self.preseeds.making.get(&server).is_none_or(|making| making.number != number) {
            return self.output(Output::Bundle(BundleStep::Drop(server)));
        }
        let Some(making) = self.preseeds.making.remove(&server) else { return };
        let is_written = made.is_ok();
        let made = made.map_err(|why| Problem::new(ProblemKind::Internal, why));
        match made.and_then(|made| self.accept_made(server, &making, &made)) {
            Ok(done) => {
                self.output(Output::Bundle(BundleStep::Keep(server)));
                self.on_server_done(&done);
                self.hand_out(server, making.waiting, gone);
            }
            Err(problem) => {
                if is_written {
                    self.output(Output::Bundle(BundleStep::Drop(server)));
                }
                for Waiting { request, by, .. } in making.waiting {
                    let problem = match problem.kind {
                        // What stands against who asked first is not for the others to hear.
                        ProblemKind::Forbidden if by == making.by => self.noted(&by, server, problem.clone()),
                        ProblemKind::Forbidden => Problem::new(
                            ProblemKind::Conflict,
                            format!("the key that was made for server {server} is not taken: ask again"),
                        ),
                        _ => problem.clone(),
                    };
                    self.answer_now(request, Answer::Refused(problem));
                }
            }
        }
    }

    /// Accepts a key that was made, if it may still be had.
    fn accept_made(
        &mut self,
        server: ServerId,
        making: &Making,
        made: &MadeKey,
    ) -> Result<ServerDone, Problem> {
        let Making { minion, replace, by, reason, .. } = making;
        self.may_have_key(by, server, minion, *replace)?;
        let (MadeKey { key, until }, now, who) = (made, self.now.wall, by.to_string());
        let done = self.trust.preseed(server, key, *until, *replace, &who, reason.as_deref(), now);
        done.map_err(|error| self.undone_server(by, &error))
    }

    /// A refusal that comes later than its request, for the ledger as well.
    fn noted(&mut self, by: &Principal, server: ServerId, problem: Problem) -> Problem {
        self.note_refused(&by.to_string(), Verb::ServersLink, &format!("preseed server {server}"));
        problem
    }

    /// The first who wants the bundle in its answer, still waits for it and may have it, gets it.
    fn hand_out(&mut self, server: ServerId, waiting: Vec<Waiting>, gone: &BTreeSet<RequestId>) {
        let mut is_taken = false;
        for Waiting { request, by, keeps, made } in waiting {
            if let Err(problem) = self.may_act_on_server(&by, server) {
                let problem = self.noted(&by, server, problem);
                self.answer_now(request, Answer::Refused(problem));
            } else if !is_taken && !keeps && !gone.contains(&request) {
                is_taken = true;
                if let Err(problem) = self.fetch(server, &by, Taker::Made { request, made }) {
                    self.answer_now(request, Answer::Refused(problem));
                }
            } else {
                let answer = self.made_answer(server, made, None);
                self.output(Output::Answer { request, answer: Box::new(answer) });
            }
        }
    }

    /// Hands out the bundle of a key that waits for its minion: once.
    pub(super) fn bundle(
        &mut self,
        request: RequestId,
        by: &Principal,
        server: ServerId,
    ) -> Result<(), Problem> {
        self.may_act_on_server(by, server)?;
        self.fetch(server, by, Taker::Bundle(request))
    }

    /// The same for a request that would have made the key, had it not been there.
    pub(super) fn bundle_of_made(
        &mut self,
        request: RequestId,
        by: &Principal,
        server: ServerId,
    ) -> Result<(), Problem> {
        self.fetch(server, by, Taker::Made { request, made: false })
    }

    fn fetch(&mut self, server: ServerId, by: &Principal, taker: Taker) -> Result<(), Problem> {
        let entry = self.trust.registry().servers().get(server);
        let key = entry.and_then(|entry| entry.link.as_ref()).map(|link| link.fingerprint);
        let fetched = self.trust.fetch(server, &by.to_string(), None, self.now.wall);
        fetched.map_err(|error| self.undone_server(by, &error))?;
        let key = key.expect("only a linked key has a bundle to be fetched");
        self.preseeds.taking.insert(server, taker);
        self.output(Output::Bundle(BundleStep::Take { server, key }));
        Ok(())
    }

    /// The bundle was read and wiped, or is not what it should be.
    fn on_bundle_taken(&mut self, server: ServerId, taken: Result<Secret, String>) {
        let Some(taker) = self.preseeds.taking.remove(&server) else { return };
        let taken = taken.map_err(|why| {
            let detail = format!(
                "the bundle of server {server} cannot be handed out: {why}; make another key in place of this one: \
                 brine server preseed --replace"
            );
            Answer::Refused(Problem::new(ProblemKind::Internal, detail))
        });
        // What is promised is in the ledger. The bundle is kept nowhere else by now, and a store that
        // takes no writes must not hold it up.
        match (taker, taken) {
            (Taker::Bundle(request), Ok(bundle)) => {
                self.answer_now(request, Answer::Server(ServerAnswer::Bundle(bundle)));
            }
            (Taker::Made { request, made }, Ok(bundle)) => {
                let answer = self.made_answer(server, made, Some(bundle));
                self.answer_now(request, answer);
            }
            (Taker::Bundle(request) | Taker::Made { request, .. }, Err(refused)) => {
                self.answer_now(request, refused);
            }
        }
    }

    /// A session of a minion has begun: its key is one that waited for it, perhaps.
    pub(super) fn note_arrival(&mut self, id: &MinionId, fingerprint: Fingerprint) {
        match self.trust.arrive(id, fingerprint, self.now.wall) {
            Ok(None) => {}
            Ok(Some(_)) => {
                if let Some((server, _)) = self.trust.registry().servers().of_minion(id) {
                    self.output(Output::Bundle(BundleStep::Wipe(server)));
                }
            }
            // Tried again with the next tick, for as long as the session lasts.
            Err(_) => self.output(Output::Count("ledger_failed")),
        }
    }

    /// Keys whose minions did not come in time are rejected.
    pub(super) fn expire_preseeds(&mut self) {
        let unarrived = self.trust.registry().servers().unarrived();
        let here: Vec<(MinionId, Fingerprint)> = unarrived
            .map(|(_, link)| (link.minion.clone(), link.fingerprint))
            .filter(|(id, key)| self.live(id).is_some_and(|session| session.fingerprint == *key))
            .collect();
        for (id, fingerprint) in here {
            self.note_arrival(&id, fingerprint);
        }
        for expired in self.trust.expire_preseeds(self.now.wall) {
            match expired {
                Ok(done) => self.on_server_done(&done),
                // Tried again with the next tick.
                Err(ServerError::Ledger(_)) => self.output(Output::Count("ledger_failed")),
                // Something else was decided about it.
                Err(ServerError::Refused(_)) => {}
            }
        }
    }

    /// A link is undone: of its key no bundle stays. The one of a newer key does.
    pub(super) fn wipe_unlinked(&mut self, server: ServerId) {
        let servers = self.trust.registry().servers();
        let link = servers.get(server).and_then(|entry| entry.link.as_ref());
        let waits = link.and_then(|link| link.preseed).is_some_and(|preseed| !preseed.is_fetched);
        if !waits {
            self.output(Output::Bundle(BundleStep::Wipe(server)));
        }
    }

    fn made_answer(&self, server: ServerId, made: bool, bundle: Option<Secret>) -> Answer {
        match self.shown_server(server) {
            Ok(server) => Answer::Server(ServerAnswer::Made { server: Box::new(server), made, bundle }),
            Err(problem) => Answer::Refused(problem),
        }
    }

    fn answer_now(&mut self, request: RequestId, answer: Answer) {
        self.output(Output::AnswerNow { request, answer: Box::new(answer) });
    }
}
