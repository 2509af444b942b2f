//! Who a caller is and what it may do. Pure: names and uids in, a verdict out.

mod acl;

use std::collections::BTreeMap;
use std::fmt;

use brine_protocol::control::{Event, Problem, ProblemKind};
use brine_protocol::job::{Call, canonical, salt_name};
use brine_protocol::permission::{Role, VERBS, Verb, allows};
use brine_protocol::{MinionId, glob};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

pub use self::acl::{Blacklist, Ids, Words};

/// One entry of the option `roles`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleEntry {
    /// What the user is.
    pub role: Role,
    /// Globs of the zones that the user is limited to: it sees and acts on nothing but server
    /// records of these, and the keys and minions that are theirs.
    #[serde(default, deserialize_with = "listed")]
    pub zones: Option<Vec<String>>,
    /// Globs of minion ids; every minion of a job has to match one. None means all.
    #[serde(default, deserialize_with = "listed")]
    pub targets: Option<Vec<String>>,
    /// Globs of functions; every function of a job has to match one. None means all.
    #[serde(default, deserialize_with = "listed")]
    pub functions: Option<Vec<String>>,
}

/// A limit that is there has to say something: `zones:` with nothing behind it would be read as no
/// limit at all by who left it out, and as one that leaves nothing by who wrote it.
fn listed<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Vec<String>>, D::Error> {
    match Option::deserialize(input)? {
        None => Err(D::Error::custom(
            "there is nothing behind it: list globs, or leave it out if there is to be no limit",
        )),
        globs => Ok(globs),
    }
}

/// What a name of a minion or function is held against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// A glob: the form of the option `roles`.
    Glob(String),
    /// A regular expression over functions, of `publisher_acl`.
    Words(Words),
    /// A target over ids, of `publisher_acl`.
    Ids(Ids),
}

impl Pattern {
    fn glob(text: &str) -> Self {
        Pattern::Glob(text.to_owned())
    }

    fn globs(texts: Option<&Vec<String>>) -> Vec<Self> {
        texts.map_or_else(
            || vec![Self::glob("*")],
            |texts| texts.iter().map(|text| Self::glob(text)).collect(),
        )
    }

    fn has_function(&self, name: &str) -> bool {
        match self {
            Pattern::Glob(glob) => glob::matches(glob, name),
            Pattern::Words(words) => words.matches(name),
            Pattern::Ids(_) => false,
        }
    }

    /// Whether this allows a function: by its name here; by Salt's name for it only where that is
    /// what was written, so that `s*` does not let in all of `brine.*`.
    fn allows(&self, name: &str) -> bool {
        let is_written = match self {
            Pattern::Glob(glob) => glob.starts_with("saltutil"),
            Pattern::Words(words) => words.as_written().starts_with("saltutil"),
            Pattern::Ids(_) => false,
        };
        self.has_function(name) || is_written && salt_name(name).is_some_and(|name| self.has_function(&name))
    }

    /// What was written.
    fn text(&self) -> &str {
        match self {
            Pattern::Glob(glob) => glob,
            Pattern::Words(words) => words.as_written(),
            Pattern::Ids(ids) => ids.as_written(),
        }
    }

    /// Whether this refuses a function, by any of its names.
    fn refuses(&self, name: &str) -> bool {
        self.has_function(name) || salt_name(name).is_some_and(|name| self.has_function(&name))
    }

    fn has_minion(&self, id: &MinionId) -> bool {
        match self {
            Pattern::Glob(glob) => glob::matches(glob, id.as_str()),
            Pattern::Ids(ids) => ids.matches(id),
            Pattern::Words(_) => false,
        }
    }
}

/// What an operator may run: some functions on some minions.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    targets: Vec<Pattern>,
    functions: Vec<Pattern>,
}

/// What somebody sees, and decides about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Reach {
    Everything,
    /// Records of these zones, and what is theirs.
    Zones {
        globs: Vec<String>,
        /// Whether waiting keys that name no record are shown as well.
        sees_unclaimed: bool,
    },
    /// Everything is seen, and nothing about trust decided.
    NoTrust,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rights {
    role: Role,
    reach: Reach,
    rules: Vec<Rule>,
    /// Functions that no rule allows.
    refused: Vec<Pattern>,
}

/// The roles of a master's users, by name.
#[derive(Debug, Clone, Default)]
pub struct Roles(BTreeMap<String, Rights>);

impl Roles {
    /// Reads the options `roles`, `publisher_acl`, `publisher_acl_blacklist` and `zones_see_unclaimed`.
    ///
    /// # Errors
    /// One sentence naming the entry.
    pub fn read(
        roles: &BTreeMap<String, RoleEntry>,
        publisher_acl: &BTreeMap<String, Value>,
        blacklist: &Blacklist,
        sees_unclaimed: bool,
    ) -> Result<Self, String> {
        let mut all = BTreeMap::new();
        for (name, entry) in roles {
            let rule = Rule {
                targets: Pattern::globs(entry.targets.as_ref()),
                functions: Pattern::globs(entry.functions.as_ref()),
            };
            let reach = match entry.zones.clone() {
                Some(globs) => Reach::Zones { globs, sees_unclaimed },
                None => Reach::Everything,
            };
            all.insert(
                name.clone(),
                Rights { role: entry.role, reach, rules: vec![rule], refused: Vec::new() },
            );
        }
        let refused = blacklist.functions();
        for (name, entry) in publisher_acl {
            if all.contains_key(name) {
                return Err(format!("user {name:?} is in both \"roles\" and \"publisher_acl\""));
            }
            let rules = acl::read(name, entry)?;
            if !blacklist.has_user(name)? {
                let rights =
                    Rights { role: Role::Operator, reach: Reach::NoTrust, rules, refused: refused.clone() };
                all.insert(name.clone(), rights);
            }
        }
        Ok(Self(all))
    }

    /// The principal behind a socket's peer credentials.
    ///
    /// # Errors
    /// The user has no role.
    pub fn principal(&self, uid: u32, name: Option<&str>, own_uid: u32) -> Result<Principal, Problem> {
        let shown = shown(uid, name);
        if uid == 0 || uid == own_uid {
            return Ok(Principal { name: shown, rights: Rights::admin() });
        }
        match name.and_then(|name| self.0.get(name)) {
            Some(rights) => Ok(Principal { name: shown, rights: rights.clone() }),
            None => Err(Problem::new(
                ProblemKind::Forbidden,
                format!(
                    "{shown} has no role on this master; an admin can list it under `roles:` in master.yaml"
                ),
            )),
        }
    }

    /// Who is called this in a job, with the rights of today; none when that is nobody any more.
    #[must_use]
    pub fn named(&self, shown: &str, own_uid: u32) -> Option<Principal> {
        let (caller, other) = match shown.split_once(" as ") {
            Some((caller, other)) => (caller, Some(other)),
            None => (shown, None),
        };
        let (uid, name) = match caller.strip_prefix("unix:")?.split_once(" (") {
            Some((uid, name)) => (uid, Some(name.strip_suffix(')')?)),
            None => (caller.strip_prefix("unix:")?, None),
        };
        let caller = self.principal(uid.parse().ok()?, name, own_uid).ok()?;
        match other {
            Some(other) => self.act_as(&caller, other).ok(),
            None => Some(caller),
        }
    }

    /// An admin acting under another name: the rights are the other's, the ledger names both.
    ///
    /// # Errors
    /// The caller is no admin, or the name has no role.
    pub fn act_as(&self, caller: &Principal, name: &str) -> Result<Principal, Problem> {
        caller.may(Verb::ActAs)?;
        let rights = self.0.get(name).ok_or_else(|| {
            let detail = format!("{:?} has no role on this master", brine_local::text::escape(name));
            Problem::new(ProblemKind::Forbidden, detail)
        })?;
        Ok(Principal { name: format!("{} as {name}", caller.name), rights: rights.clone() })
    }
}

impl Rights {
    fn admin() -> Self {
        let rule = Rule { targets: Pattern::globs(None), functions: Pattern::globs(None) };
        Self { role: Role::Admin, reach: Reach::Everything, rules: vec![rule], refused: Vec::new() }
    }
}

/// What a user is called in jobs and in the ledger.
pub(crate) fn shown(uid: u32, name: Option<&str>) -> String {
    match name {
        Some(name) => format!("unix:{uid} ({name})"),
        None => format!("unix:{uid}"),
    }
}

/// Whether an event is about a key that names no record and that nobody has let in, or had not when
/// this happened to it.
fn is_about_unclaimed(event: &Event) -> bool {
    let Some(what) = event.tag.strip_prefix("brine/key/").and_then(|rest| rest.split('/').nth(1)) else {
        return false;
    };
    let waited = |was: &Value| was.as_str().is_none_or(|was| matches!(was, "pending" | "denied"));
    let names_none = event.data["server"].is_null() && event.data["ambiguous"].is_null();
    match what {
        "pending" | "seen" | "denied" | "expired" | "token_refused" => names_none,
        "accepted" | "rejected" | "deleted" => names_none && waited(&event.data["was"]),
        _ => false,
    }
}

/// Whether a verb reaches beyond any zones, or lends rights that do. What is left is judged by
/// what it is done to.
fn reaches_beyond_zones(verb: Verb) -> bool {
    match verb {
        Verb::KeysImport | Verb::MasterRotate | Verb::ActAs | Verb::JobsAll => true,
        Verb::Health
        | Verb::KeysList
        | Verb::KeysAct
        | Verb::MinionsList
        | Verb::TargetsGet
        | Verb::PillarShow
        | Verb::JobsRun
        | Verb::JobsOwn
        | Verb::JobsKill
        | Verb::Events
        | Verb::ServersList
        | Verb::ServersEdit
        | Verb::ServersLink => false,
    }
}

/// Whether a verb decides about trust, or lends rights that do. Who is refused one of these is in
/// the ledger.
pub(crate) fn is_about_trust(verb: Verb) -> bool {
    match verb {
        Verb::KeysAct
        | Verb::KeysImport
        | Verb::MasterRotate
        | Verb::ActAs
        | Verb::ServersEdit
        | Verb::ServersLink => true,
        Verb::Health
        | Verb::KeysList
        | Verb::MinionsList
        | Verb::TargetsGet
        | Verb::PillarShow
        | Verb::JobsRun
        | Verb::JobsOwn
        | Verb::JobsAll
        | Verb::JobsKill
        | Verb::Events
        | Verb::ServersList => false,
    }
}

/// The word for a verb in the ledger and in refusals.
pub(crate) fn verb_name(verb: Verb) -> String {
    let name = serde_json::to_value(verb).expect("a verb is a word");
    name.as_str().unwrap_or_default().to_owned()
}

/// Somebody who asks the master for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    name: String,
    rights: Rights,
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Principal {
    /// What the principal is.
    #[must_use]
    pub fn role(&self) -> Role {
        self.rights.role
    }

    /// What the principal may ask for.
    pub fn verbs(&self) -> impl Iterator<Item = Verb> {
        VERBS.into_iter().filter(|verb| self.may(*verb).is_ok())
    }

    /// Whether the principal's role has this verb.
    ///
    /// # Errors
    /// It has not; the sentence says who lacks what.
    pub fn may(&self, verb: Verb) -> Result<(), Problem> {
        let limit = match self.rights.reach {
            Reach::Zones { .. } if reaches_beyond_zones(verb) => Some(" limited to zones"),
            Reach::NoTrust if is_about_trust(verb) => Some(" limited by publisher_acl"),
            Reach::Everything | Reach::Zones { .. } | Reach::NoTrust => None,
        };
        if allows(self.rights.role, verb) && limit.is_none() {
            return Ok(());
        }
        let role = serde_json::to_value(self.rights.role).expect("a role is a word");
        let detail = format!(
            "{} may not {}: its role is {}{}",
            self.name,
            verb_name(verb),
            role.as_str().unwrap_or_default(),
            limit.unwrap_or_default()
        );
        Err(Problem::new(ProblemKind::Forbidden, detail))
    }

    /// Globs of the zones to which the principal is limited.
    #[must_use]
    pub fn zones(&self) -> Option<&[String]> {
        match &self.rights.reach {
            Reach::Zones { globs, .. } => Some(globs),
            Reach::Everything | Reach::NoTrust => None,
        }
    }

    /// Whether a record of this zone is shown to the principal. Who is limited to zones sees none
    /// that has no zone.
    #[must_use]
    pub fn sees_zone(&self, zone: Option<&str>) -> bool {
        self.zones()
            .is_none_or(|globs| zone.is_some_and(|zone| globs.iter().any(|glob| glob::matches(glob, zone))))
    }

    /// Whether waiting keys that name no record are shown to the principal.
    #[must_use]
    pub fn sees_unclaimed(&self) -> bool {
        match self.rights.reach {
            Reach::Zones { sees_unclaimed, .. } => sees_unclaimed,
            Reach::Everything | Reach::NoTrust => true,
        }
    }

    /// Whether the principal may run each of these functions on each of these minions.
    ///
    /// # Errors
    /// It may not; the sentence names the first function and minion that are refused.
    pub fn may_run<'a>(
        &self,
        calls: &[Call],
        minions: impl IntoIterator<Item = &'a MinionId>,
    ) -> Result<(), Problem> {
        self.may(Verb::JobsRun)?;
        if self.rights.role == Role::Admin {
            return Ok(());
        }
        let minions: Vec<&MinionId> = minions.into_iter().collect();
        for call in calls {
            let name = canonical(&call.function);
            let rules: Vec<&Rule> = self
                .rights
                .rules
                .iter()
                .filter(|rule| rule.functions.iter().any(|f| f.allows(&name)))
                .filter(|_| !self.rights.refused.iter().any(|f| f.refuses(&name)))
                .collect();
            let refused =
                minions.iter().find(|id| !rules.iter().any(|r| r.targets.iter().any(|t| t.has_minion(id))));
            if let Some(id) = refused {
                let function = brine_local::text::escape(&call.function);
                let detail = format!("{} may not run {function} on {id}", self.name);
                return Err(Problem::new(ProblemKind::Forbidden, detail));
            }
        }
        Ok(())
    }

    /// Whether there may be anything that the principal may run on this minion.
    #[must_use]
    pub fn may_run_something(&self, id: &MinionId) -> bool {
        let is_refused = |function: &Pattern| self.rights.refused.iter().any(|f| f.refuses(function.text()));
        let has_any = |rule: &Rule| !rule.functions.iter().all(is_refused);
        let is_for_it = |rule: &&Rule| rule.targets.iter().any(|target| target.has_minion(id));
        self.may(Verb::JobsRun).is_ok()
            && (self.rights.role == Role::Admin || self.rights.rules.iter().filter(is_for_it).any(has_any))
    }

    /// Whether an event is shown to the principal. Jobs have streams of their own; here they are for
    /// those who may see everybody's. Who is limited to zones hears of its zones' records, of their
    /// keys and minions, and of nothing about the master.
    #[must_use]
    pub fn sees_event(&self, event: &Event) -> bool {
        if event.tag.starts_with("brine/job/") {
            return self.may(Verb::JobsAll).is_ok();
        }
        match &event.zone {
            _ if self.zones().is_none() => true,
            Some(zone) => self.sees_zone(Some(zone)),
            None => self.sees_unclaimed() && is_about_unclaimed(event),
        }
    }

    /// Whether a job of this principal's name may be seen.
    #[must_use]
    pub fn may_see_job_of(&self, owner: &str) -> bool {
        self.may(Verb::JobsAll).is_ok() || (self.may(Verb::JobsOwn).is_ok() && self.name == owner)
    }
}

#[cfg(test)]
mod tests;
