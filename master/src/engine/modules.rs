//! Custom modules: which session gets what of them, and when.
//!
//! The files are read beside the loop: for all who ask at about the same time at once, and one by
//! one for those who fetch. Any minion may ask, as often as it likes; so listing takes only a part
//! of the time, a session has one asking of each sort at most, and only a few files are in memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use brine_pki::ledger::Log;
use brine_protocol::message::ToMinion;
use brine_protocol::modules::{
    Digest, FileName, MODULE_OVERHEAD, Module, ModuleWanted, Modules as Told, ModulesWanted, Refused,
};
use bytes::Bytes;

use super::{Engine, Output};
use crate::gate::ConnId;
use crate::modules::Catalogue;

/// The folder is listed at most so often, and not for more than a part of the time.
pub(super) const LIST_EVERY: Duration = Duration::from_millis(500);
const LIST_SHARE: u32 = 4;

/// Files that are read, or on their way to the engine, at the same time.
pub(super) const FILES_MAX: usize = 4;

/// What is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModuleStep {
    /// The folder.
    List,
    /// A file, for a session.
    Read(ModuleRead),
}

/// One file that is to be read for a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleRead {
    /// The session's connection.
    pub conn: ConnId,
    /// The file.
    pub name: FileName,
    /// What it has to be.
    pub sha256: Digest,
}

/// What was read.
#[derive(Debug)]
pub enum ModulesDone {
    /// What is in the folder.
    Listed(Arc<Catalogue>),
    /// A file's bytes, which have that hash; or why there are none, in one sentence.
    Read(ModuleRead, Result<Bytes, String>),
}

/// What an engine knows of custom modules.
#[derive(Default)]
pub(super) struct Modules {
    /// Who asked since the folder was listed last.
    wanted: BTreeMap<ConnId, u64>,
    /// For whom it is being listed, and since when.
    listing: Option<(BTreeMap<ConnId, u64>, Duration)>,
    not_before: Duration,
    /// What each session fetches, until that is answered.
    fetches: BTreeMap<ConnId, ModuleWanted>,
    /// Whose turn is next.
    turns: VecDeque<ConnId>,
    /// For whom a file is being read.
    reading: BTreeSet<ConnId>,
}

impl<L: Log> Engine<L> {
    /// A minion wants to know which modules there are now.
    pub(super) fn on_modules_wanted(&mut self, conn: ConnId, wanted: ModulesWanted) {
        self.modules.wanted.insert(conn, wanted.ask);
        self.list_modules();
    }

    /// A minion wants one. What it wanted before and has not got, it wants no longer.
    pub(super) fn on_module_wanted(&mut self, conn: ConnId, wanted: ModuleWanted) {
        if self.modules.fetches.insert(conn, wanted).is_none() {
            self.modules.turns.push_back(conn);
        }
        self.read_modules();
    }

    /// Something was read.
    pub(super) fn on_modules(&mut self, done: ModulesDone) {
        match done {
            ModulesDone::Listed(catalogue) => {
                let Some((asked, since)) = self.modules.listing.take() else { return };
                let now = self.now.steady;
                let pause = now.saturating_sub(since).saturating_mul(LIST_SHARE);
                self.modules.not_before = now + pause.max(LIST_EVERY);
                for (conn, ask) in asked {
                    self.tell_modules(conn, ask, &catalogue);
                }
                self.list_modules();
            }
            ModulesDone::Read(read, bytes) => {
                self.modules.reading.remove(&read.conn);
                self.hand_module(&read, bytes);
                self.read_modules();
            }
        }
    }

    /// Lists the folder, if somebody asked and it is time to.
    pub(super) fn list_modules(&mut self) {
        if self.modules_due().is_some_and(|due| due <= self.now.steady) {
            let asked = std::mem::take(&mut self.modules.wanted);
            self.modules.listing = Some((asked, self.now.steady));
            self.output(Output::Modules(ModuleStep::List));
        }
    }

    /// When the folder may be listed for those who asked.
    pub(super) fn modules_due(&self) -> Option<Duration> {
        let waits = self.modules.listing.is_none() && !self.modules.wanted.is_empty();
        waits.then_some(self.modules.not_before)
    }

    /// The session is gone.
    pub(super) fn forget_modules_of(&mut self, conn: ConnId) {
        self.modules.wanted.remove(&conn);
        if self.modules.fetches.remove(&conn).is_some() {
            self.modules.turns.retain(|waits| *waits != conn);
        }
    }

    /// Has files read for those whose turn it is.
    fn read_modules(&mut self) {
        let Modules { reading, turns, .. } = &mut self.modules;
        let mut next = Vec::new();
        // A session has one file at a time: it may have fetched another one meanwhile.
        while reading.len() < FILES_MAX
            && let Some(at) = turns.iter().position(|conn| !reading.contains(conn))
        {
            let Some(conn) = turns.remove(at) else { break };
            reading.insert(conn);
            next.push(conn);
        }
        for conn in next {
            match self.modules.fetches.get(&conn) {
                Some(ModuleWanted { name, sha256, .. }) => {
                    let read = ModuleRead { conn, name: name.clone(), sha256: *sha256 };
                    self.output(Output::Modules(ModuleStep::Read(read)));
                }
                None => drop(self.modules.reading.remove(&conn)),
            }
        }
    }

    /// Tells one minion what there is for it.
    fn tell_modules(&mut self, conn: ConnId, ask: u64, catalogue: &Catalogue) {
        let Some(room) = self.module_room(conn) else { return };
        let (mut files, mut refused) = (catalogue.files.clone(), catalogue.refused.clone());
        files.retain(|name, listed| {
            let fits = listed.size <= room;
            if !fits {
                refused.push(Refused { name: name.to_string(), why: too_large(listed.size, room) });
            }
            fits
        });
        let told = Told { ask, files, refused, problem: catalogue.problem.clone() };
        self.output(Output::SendNow { conn, message: ToMinion::Modules(Box::new(told)) });
    }

    /// Hands a file to whom it was read for, unless that one wants another by now.
    fn hand_module(&mut self, read: &ModuleRead, bytes: Result<Bytes, String>) {
        let conn = read.conn;
        let is_it = |wanted: &ModuleWanted| wanted.name == read.name && wanted.sha256 == read.sha256;
        let Some(wanted) = self.modules.fetches.remove(&conn) else { return };
        if !is_it(&wanted) {
            self.modules.fetches.insert(conn, wanted);
            self.modules.turns.push_back(conn);
            return;
        }
        let Some(room) = self.module_room(conn) else { return };
        let ModuleWanted { ask, name, sha256 } = wanted;
        let (body, refused) = match bytes {
            Ok(bytes) if bytes.len() > room => (Bytes::new(), Some(too_large(bytes.len(), room))),
            Ok(bytes) => (bytes, None),
            Err(why) => (Bytes::new(), Some(why)),
        };
        let module = Module { ask, name, sha256, size: body.len(), refused, body };
        self.output(Output::SendNow { conn, message: ToMinion::Module(Box::new(module)) });
    }

    /// The largest module that a message to this session holds; none when it is no live one.
    fn module_room(&self, conn: ConnId) -> Option<usize> {
        let session = self.sessions.get(&conn).filter(|session| session.is_live())?;
        Some(session.message_max.min(self.settings.message_max).saturating_sub(MODULE_OVERHEAD))
    }
}

fn too_large(size: usize, room: usize) -> String {
    format!("it has {size} bytes, and a message to this minion holds {room} of a module (message_max)")
}
