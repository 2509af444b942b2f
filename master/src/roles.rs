//! Who a caller is and what it may do. Pure: names and uids in, a verdict out.

use std::collections::BTreeMap;
use std::fmt;

use brine_protocol::control::{Problem, ProblemKind};
use brine_protocol::job::Call;
use brine_protocol::permission::{Role, VERBS, Verb, allows};
use brine_protocol::{MinionId, glob};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One entry of the option `roles`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleEntry {
    /// What the user is.
    pub role: Role,
    /// Zones the user is limited to; such a user decides about no key, not under another name
    /// either, until records have zones.
    #[serde(default)]
    pub zones: Option<Vec<String>>,
    /// Globs of minion ids; every minion of a job has to match one. None means all.
    #[serde(default)]
    pub targets: Option<Vec<String>>,
    /// Globs of functions; every function of a job has to match one. None means all.
    #[serde(default)]
    pub functions: Option<Vec<String>>,
}

/// What an operator may run: some functions on some minions.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    targets: Vec<String>,
    functions: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rights {
    role: Role,
    has_zones: bool,
    rules: Vec<Rule>,
}

/// The roles of a master's users, by name.
#[derive(Debug, Clone, Default)]
pub struct Roles(BTreeMap<String, Rights>);

impl Roles {
    /// Reads the options `roles` and `publisher_acl`.
    ///
    /// # Errors
    /// One sentence naming the entry.
    pub fn read(
        roles: &BTreeMap<String, RoleEntry>,
        publisher_acl: &BTreeMap<String, Value>,
    ) -> Result<Self, String> {
        let everything = || vec!["*".to_owned()];
        let mut all = BTreeMap::new();
        for (name, entry) in roles {
            let rule = Rule {
                targets: entry.targets.clone().unwrap_or_else(everything),
                functions: entry.functions.clone().unwrap_or_else(everything),
            };
            let rights = Rights { role: entry.role, has_zones: entry.zones.is_some(), rules: vec![rule] };
            all.insert(name.clone(), rights);
        }
        for (name, entry) in publisher_acl {
            if all.contains_key(name) {
                return Err(format!("user {name:?} is in both \"roles\" and \"publisher_acl\""));
            }
            let rules = read_acl(entry).ok_or_else(|| {
                format!("option \"publisher_acl\": entry {name:?} has to be a list of functions or of {{target: functions}}")
            })?;
            all.insert(name.clone(), Rights { role: Role::Operator, has_zones: true, rules });
        }
        Ok(Self(all))
    }

    /// The principal behind a socket's peer credentials.
    ///
    /// # Errors
    /// The user has no role.
    pub fn principal(&self, uid: u32, name: Option<&str>, own_uid: u32) -> Result<Principal, Problem> {
        let shown = match name {
            Some(name) => format!("unix:{uid} ({name})"),
            None => format!("unix:{uid}"),
        };
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

/// Salt's `[fun, …, {target: [fun, …]}, …]`. Functions are anchored globs here: Salt matches
/// unanchored regular expressions, by which `test.ping` also allows `test.pingX`.
fn read_acl(entry: &Value) -> Option<Vec<Rule>> {
    let words = |value: &Value| match value {
        Value::String(one) => Some(vec![one.clone()]),
        Value::Array(many) => many.iter().map(|v| v.as_str().map(str::to_owned)).collect(),
        _ => None,
    };
    let mut everywhere = Vec::new();
    let mut rules = Vec::new();
    for item in entry.as_array()? {
        match item {
            Value::String(function) => everywhere.push(function.clone()),
            Value::Object(targets) => {
                for (target, functions) in targets {
                    rules.push(Rule { targets: vec![target.clone()], functions: words(functions)? });
                }
            }
            _ => return None,
        }
    }
    if !everywhere.is_empty() {
        let functions =
            everywhere.iter().map(|f| f.strip_suffix(".*").map_or(f.clone(), |m| format!("{m}.*"))).collect();
        rules.push(Rule { targets: vec!["*".to_owned()], functions });
    }
    Some(rules)
}

impl Rights {
    fn admin() -> Self {
        let rule = Rule { targets: vec!["*".to_owned()], functions: vec!["*".to_owned()] };
        Self { role: Role::Admin, has_zones: false, rules: vec![rule] }
    }
}

/// Whether a verb decides about keys of every zone, or lends rights that do.
fn reaches_beyond_zones(verb: Verb) -> bool {
    match verb {
        Verb::KeysAct | Verb::KeysImport | Verb::MasterRotate | Verb::ActAs => true,
        Verb::Health
        | Verb::KeysList
        | Verb::MinionsList
        | Verb::JobsRun
        | Verb::JobsOwn
        | Verb::JobsAll
        | Verb::JobsKill
        | Verb::Events => false,
    }
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
        let zoned = self.rights.has_zones && reaches_beyond_zones(verb);
        if allows(self.rights.role, verb) && !zoned {
            return Ok(());
        }
        let verb = serde_json::to_value(verb).expect("a verb is a word");
        let verb = verb.as_str().unwrap_or_default();
        let role = serde_json::to_value(self.rights.role).expect("a role is a word");
        let limits = if zoned { " limited to zones or by publisher_acl" } else { "" };
        let detail = format!(
            "{} may not {verb}: its role is {}{limits}",
            self.name,
            role.as_str().unwrap_or_default()
        );
        Err(Problem::new(ProblemKind::Forbidden, detail))
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
            let rules: Vec<&Rule> = self
                .rights
                .rules
                .iter()
                .filter(|rule| rule.functions.iter().any(|f| glob::matches(f, &call.function)))
                .collect();
            let refused = minions
                .iter()
                .find(|id| !rules.iter().any(|r| r.targets.iter().any(|t| glob::matches(t, id.as_str()))));
            if let Some(id) = refused {
                let function = brine_local::text::escape(&call.function);
                let detail = format!("{} may not run {function} on {id}", self.name);
                return Err(Problem::new(ProblemKind::Forbidden, detail));
            }
        }
        Ok(())
    }

    /// Whether a job of this principal's name may be seen.
    #[must_use]
    pub fn may_see_job_of(&self, owner: &str) -> bool {
        self.may(Verb::JobsAll).is_ok() || (self.may(Verb::JobsOwn).is_ok() && self.name == owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use brine_protocol::permission::ROLES;
    use serde_json::json;

    fn roles(yaml_like: Value, acl: Value) -> Roles {
        let roles = serde_json::from_value(yaml_like).expect("roles");
        let acl = serde_json::from_value(acl).expect("acl");
        Roles::read(&roles, &acl).expect("readable")
    }

    fn call(function: &str) -> Call {
        Call { function: function.to_owned(), arguments: vec![], keywords: serde_json::Map::new() }
    }

    fn run(who: &Principal, functions: &[&str], minions: &[&str]) -> bool {
        let calls: Vec<Call> = functions.iter().map(|f| call(f)).collect();
        let ids: Vec<MinionId> = minions.iter().map(|m| m.parse().expect("an id")).collect();
        who.may_run(&calls, &ids).is_ok()
    }

    /// The whole table. A change of a right is a change of this text.
    #[test]
    fn verb_by_role() {
        let mut table = String::new();
        for verb in VERBS {
            let name = serde_json::to_value(verb).expect("a word");
            let marks: String =
                ROLES.iter().map(|role| if allows(*role, verb) { " yes" } else { "  no" }).collect();
            table += &format!("{:<12}{marks}\n", name.as_str().expect("text"));
        }
        assert_eq!(
            table,
            "health       yes yes yes\n\
             keys_list    yes yes yes\n\
             keys_act     yes yes  no\n\
             keys_import  yes  no  no\n\
             master_rotate yes  no  no\n\
             minions_list yes yes yes\n\
             jobs_run     yes yes  no\n\
             jobs_own     yes yes yes\n\
             jobs_all     yes  no yes\n\
             jobs_kill    yes yes  no\n\
             events       yes yes yes\n\
             act_as       yes  no  no\n"
        );
    }

    #[test]
    fn root_and_the_masters_user_are_admins_and_strangers_are_nobody() {
        let roles = Roles::default();
        assert!(roles.principal(0, Some("root"), 7).expect("root").may(Verb::KeysAct).is_ok());
        assert!(roles.principal(7, None, 7).expect("own").may(Verb::KeysAct).is_ok());
        let refused = roles.principal(8, Some("eve"), 7).expect_err("nobody");
        assert_eq!(refused.kind, ProblemKind::Forbidden);
    }

    #[test]
    fn an_operator_is_held_to_targets_and_functions() {
        let roles = roles(
            json!({"alice": {"role": "operator", "targets": ["web*"], "functions": ["test.*"]}}),
            json!({}),
        );
        let alice = roles.principal(1000, Some("alice"), 7).expect("alice");
        assert!(run(&alice, &["test.ping"], &["web1", "web2"]));
        assert!(!run(&alice, &["test.ping"], &["web1", "db1"]), "one target is not hers");
        assert!(!run(&alice, &["test.ping", "cmd.run"], &["web1"]), "each function is judged");
        assert!(!run(&alice, &["xtest.ping"], &["web1"]), "patterns are anchored");
        assert!(alice.may(Verb::KeysAct).is_ok());
        assert!(alice.may_see_job_of("unix:1000 (alice)"));
        assert!(!alice.may_see_job_of("unix:0 (root)"));
    }

    #[test]
    fn salts_publisher_acl_is_read_as_operators() {
        let roles = roles(json!({}), json!({"bob": ["test.ping", {"db*": ["cmd.*", "test.echo"]}]}));
        let bob = roles.principal(1001, Some("bob"), 7).expect("bob");
        assert!(run(&bob, &["test.ping"], &["web1"]));
        assert!(!run(&bob, &["test.pingX"], &["web1"]));
        assert!(run(&bob, &["cmd.run"], &["db1"]));
        assert!(!run(&bob, &["cmd.run"], &["web1"]));
        assert!(bob.may(Verb::KeysAct).is_err(), "Salt's ACL never gave keys");
        let both = serde_json::from_value(json!({"bob": {"role": "viewer"}})).expect("roles");
        let acl = serde_json::from_value(json!({"bob": ["test.ping"]})).expect("acl");
        assert!(Roles::read(&both, &acl).is_err());
        let acl = serde_json::from_value(json!({"bob": "test.ping"})).expect("acl");
        assert!(Roles::read(&BTreeMap::new(), &acl).is_err());
    }

    #[test]
    fn acting_as_somebody_only_drops_rights() {
        let roles = roles(
            json!({"vera": {"role": "viewer"}, "zoe": {"role": "operator", "zones": ["Dijon"]}}),
            json!({}),
        );
        let root = roles.principal(0, Some("root"), 7).expect("root");
        let vera = roles.act_as(&root, "vera").expect("vera");
        assert_eq!(vera.to_string(), "unix:0 (root) as vera");
        assert!(vera.may(Verb::JobsRun).is_err());
        assert!(roles.act_as(&vera, "zoe").is_err(), "a dropped right does not come back");
        assert!(roles.act_as(&root, "nobody").is_err());
        let zoe = roles.act_as(&root, "zoe").expect("zoe");
        assert!(zoe.may(Verb::KeysAct).is_err(), "zones come with server records");
    }
    #[test]
    fn an_admin_limited_to_zones_decides_about_no_key_by_any_way() {
        let roles = roles(
            json!({"zoe": {"role": "admin", "zones": ["Dijon"]}, "adam": {"role": "admin"}}),
            json!({}),
        );
        let zoe = roles.principal(1000, Some("zoe"), 7).expect("zoe");
        for verb in [Verb::KeysAct, Verb::KeysImport, Verb::MasterRotate, Verb::ActAs] {
            let refused = zoe.may(verb).expect_err("beyond her zones").detail;
            assert!(refused.ends_with("its role is admin limited to zones or by publisher_acl"), "{refused}");
        }
        assert!(roles.act_as(&zoe, "adam").is_err());
        assert!(zoe.may(Verb::KeysList).is_ok() && zoe.may(Verb::JobsRun).is_ok());
        let adam = roles.principal(1001, Some("adam"), 7).expect("adam");
        assert_eq!((adam.verbs().count(), zoe.verbs().count()), (VERBS.len(), VERBS.len() - 4));
    }
}
