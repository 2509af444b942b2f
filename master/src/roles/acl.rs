//! Salt's `publisher_acl` and `publisher_acl_blacklist`.
//! <https://docs.saltproject.io/en/latest/ref/publisheracl.html>

use brine_pki::registry::rules::Expressions;
use brine_protocol::MinionId;
use brine_protocol::target::{Expression, Known, Nodegroups, Target, TargetKind};
use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Pattern, Rule};

/// What a regular expression may take in memory, in bytes.
const REGEX_MAX: usize = 64 * 1024;

/// Salt's `publisher_acl_blacklist`: what no entry of `publisher_acl` allows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Blacklist {
    /// Users who may publish nothing: exact names, globs, or regular expressions.
    pub users: Vec<String>,
    /// Functions that nobody may publish: exact names, globs, or regular expressions.
    pub modules: Vec<String>,
}

impl Blacklist {
    /// Whether a user may publish nothing.
    ///
    /// # Errors
    /// An entry cannot be read, in one sentence.
    pub fn has_user(&self, name: &str) -> Result<bool, String> {
        let listed = Expressions::parse(&self.users.join("\n"))
            .map_err(|error| format!("option \"publisher_acl_blacklist\": users: {error}"))?;
        Ok(listed.find(name).is_some())
    }

    /// The functions that nobody may publish. An entry counts as a glob and, where it is one, as a regular
    /// expression: `cmd*` is both, and what it was meant to refuse only the glob does.
    #[must_use]
    pub fn functions(&self) -> Vec<Pattern> {
        let words = self.modules.iter().filter_map(|text| Words::read(text).ok()).map(Pattern::Words);
        let globs = self.modules.iter().map(|text| Pattern::glob(text));
        words.chain(globs).collect()
    }
}

/// A regular expression over names of functions. Here it has to match the whole name: Salt looks
/// at its beginning only, so that `test.ping` would also allow `test.pingX`.
#[derive(Debug, Clone)]
pub struct Words(Regex);

impl PartialEq for Words {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Words {}

impl Words {
    fn read(text: &str) -> Result<Self, String> {
        let built = RegexBuilder::new(&format!("^(?:{text})$")).size_limit(REGEX_MAX).build();
        built.map(Self).map_err(|_| format!("{text:?} is no regular expression that can be used here"))
    }

    /// The expression without what makes it whole.
    pub(super) fn as_written(&self) -> &str {
        let whole = self.0.as_str();
        whole.strip_prefix("^(?:").and_then(|text| text.strip_suffix(")$")).unwrap_or(whole)
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

/// A target over ids: what a minion says of itself gives nobody rights over it.
#[derive(Debug, Clone)]
pub struct Ids {
    text: String,
    expression: Expression,
}

impl PartialEq for Ids {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Ids {}

impl Ids {
    fn read(text: &str) -> Result<Self, String> {
        let is_plain = !text.contains([' ', '@']);
        let kind = if is_plain { TargetKind::Glob } else { TargetKind::Compound };
        let expression = Expression::parse(&Target::new(kind, text), &Nodegroups::new())
            .map_err(|error| format!("target {text:?}: {error}"))?;
        let asks_more = |word: &str| word.split_once('@').is_some_and(|(kind, _)| !matches!(kind, "E" | "L"));
        if !is_plain && text.split_whitespace().any(asks_more) {
            return Err(format!(
                "target {text:?} asks for more than the minion's id: what a machine says of itself gives nobody \
                 rights over it"
            ));
        }
        Ok(Self { text: text.to_owned(), expression })
    }

    pub(super) fn as_written(&self) -> &str {
        &self.text
    }

    pub(super) fn matches(&self, id: &MinionId) -> bool {
        self.expression.matches(&Known { id, grains: None, pillar: None, record: None })
    }
}

/// Salt's `[fun, …, {target: [fun, …]}, …]`.
pub(super) fn read(user: &str, entry: &Value) -> Result<Vec<Rule>, String> {
    let at = |what: String| format!("option \"publisher_acl\": entry {user:?}: {what}");
    let form = || at("it has to be a list of functions or of {target: functions}".to_owned());
    let functions = |value: &Value| -> Result<Vec<Pattern>, String> {
        let words: Vec<&Value> = match value {
            Value::Array(many) => many.iter().collect(),
            one => vec![one],
        };
        let read = |word: &Value| match word {
            Value::String(text) => Words::read(text).map(Pattern::Words).map_err(at),
            Value::Object(_) => Err(at("functions limited to some arguments are not known here".to_owned())),
            _ => Err(form()),
        };
        words.into_iter().map(read).collect()
    };
    let mut everywhere = Vec::new();
    let mut rules = Vec::new();
    for item in entry.as_array().ok_or_else(form)? {
        match item {
            // Salt's names for what is not run on minions: there is nothing here to allow.
            Value::String(name) if name.starts_with('@') => {}
            Value::String(_) => everywhere.extend(functions(item)?),
            Value::Object(targets) => {
                for (target, allowed) in targets.iter().filter(|(target, _)| !target.starts_with('@')) {
                    let target = Ids::read(target).map_err(at)?;
                    rules.push(Rule { targets: vec![Pattern::Ids(target)], functions: functions(allowed)? });
                }
            }
            _ => return Err(form()),
        }
    }
    if !everywhere.is_empty() {
        rules.push(Rule { targets: vec![Pattern::glob("*")], functions: everywhere });
    }
    Ok(rules)
}
