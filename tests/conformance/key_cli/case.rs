//! A recorded run, and its command line as salt-key understands it.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

/// State folder -> id -> key letter.
pub(super) type Keys = BTreeMap<String, BTreeMap<String, String>>;

/// A recorded run of salt-key.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) n: u64,
    pub(super) args: Vec<String>,
    pub(super) stdin: String,
    pub(super) before: Keys,
    pub(super) after: Keys,
    pub(super) code: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
    flags: Vec<(String, Option<String>)>,
    pub(super) words: Vec<String>,
}

/// What a line of salt-key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    List,
    Accept,
    Reject,
    Delete,
    Print,
    Finger,
    GenKeys,
    GenSignature,
    /// `--help` and `--version`.
    About,
}

impl Action {
    pub(super) fn is_act(self) -> bool {
        matches!(self, Action::Accept | Action::Reject | Action::Delete)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Options that take a value, by every name they have.
const WITH_VALUE: &str = "-l --list -a --accept -r --reject -p --print -d --delete -f --finger -c --config-dir \
    -u --user --saltfile --rotate-aes-key --preserve-minions --auth --eauth --external-auth --username --password \
    --out --output --out-indent --output-indent --out-file --output-file --state-output --state_output \
    --state-verbose --state_verbose --gen-keys --gen-keys-dir --keysize --priv --pub --signature-path --log-level \
    --log-file --log-file-level";

pub(super) fn parse(text: &str) -> Vec<Case> {
    let cases = text.lines().filter(|line| !line.trim().is_empty()).map(|line| {
        let value: Value = serde_json::from_str(line).expect("a case is a JSON object");
        (value["n"].as_u64() != Some(0)).then(|| Case::new(&value))
    });
    cases.flatten().collect()
}

impl Case {
    pub(super) fn new(value: &Value) -> Self {
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let keys = |name: &str| -> Keys {
            let mut keys: Keys = serde_json::from_value(value[name].clone()).expect("state -> id -> letter");
            keys.retain(|_, of_state| !of_state.is_empty());
            keys
        };
        let args: Vec<String> = serde_json::from_value(value["args"].clone()).expect("args");
        let (flags, words) = read(&args);
        Self {
            n: value["n"].as_u64().expect("a number"),
            args,
            stdin: text("stdin"),
            before: keys("before"),
            after: keys("after"),
            code: value["rc"].as_i64().and_then(|rc| i32::try_from(rc).ok()).expect("an exit code"),
            stdout: text("stdout"),
            stderr: text("stderr"),
            flags,
            words,
        }
    }

    pub(super) fn has(&self, names: &[&str]) -> bool {
        self.flags.iter().any(|(flag, _)| names.contains(&flag.as_str()))
    }

    /// The last value that one of these flags was given.
    pub(super) fn value(&self, names: &[&str]) -> Option<&str> {
        let found = self.flags.iter().rev().find(|(flag, _)| names.contains(&flag.as_str()))?;
        found.1.as_deref()
    }

    pub(super) fn out(&self) -> Option<&str> {
        self.value(&["--out", "--output"])
    }

    /// Whether the form is one that programs read.
    pub(super) fn is_document(&self) -> bool {
        matches!(self.out(), Some("json" | "yaml" | "raw"))
    }

    pub(super) fn answers_yes(&self) -> bool {
        self.has(&["-y", "--yes"])
    }

    pub(super) fn is_all(&self) -> bool {
        self.has(&["-A", "-R", "-D", "--accept-all", "--reject-all", "--delete-all"])
    }

    pub(super) fn action(&self) -> Action {
        let of = |names: &[&str]| self.has(names);
        if of(&["-h", "--help", "--version", "-V", "--versions-report"]) {
            Action::About
        } else if of(&["-a", "--accept", "-A", "--accept-all"]) {
            Action::Accept
        } else if of(&["-r", "--reject", "-R", "--reject-all"]) {
            Action::Reject
        } else if of(&["-d", "--delete", "-D", "--delete-all"]) {
            Action::Delete
        } else if of(&["-p", "--print", "-P", "--print-all"]) {
            Action::Print
        } else if of(&["-f", "--finger", "-F", "--finger-all"]) {
            Action::Finger
        } else if of(&["--gen-keys"]) {
            Action::GenKeys
        } else if of(&["--gen-signature"]) {
            Action::GenSignature
        } else {
            Action::List
        }
    }

    /// The globs of the action; all keys for the flags that mean all.
    pub(super) fn pattern(&self) -> &str {
        let named = ["-a", "--accept", "-r", "--reject", "-d", "--delete", "-p", "--print", "-f", "--finger"];
        self.value(&named).unwrap_or("*")
    }

    pub(super) fn matches(&self, id: &str) -> bool {
        self.pattern().split(',').any(|glob| brine_protocol::glob::matches(glob.trim(), id))
    }

    pub(super) fn names(&self, id: &str) -> bool {
        self.pattern().split(',').any(|word| word.trim() == id)
    }

    /// The folders whose keys an act is for.
    pub(super) fn folders(&self) -> Vec<&'static str> {
        let (all, denied) = (self.has(&["--include-all"]), self.has(&["--include-denied"]));
        let rejected = all || self.has(&["--include-rejected"]);
        let accepted = all || self.has(&["--include-accepted"]);
        let wanted: &[(bool, &'static str)] = match self.action() {
            Action::Accept => {
                &[(true, "minions_pre"), (rejected, "minions_rejected"), (denied, "minions_denied")]
            }
            Action::Reject => &[(true, "minions_pre"), (accepted, "minions"), (denied, "minions_denied")],
            _ => &[
                (true, "minions_pre"),
                (true, "minions_rejected"),
                (true, "minions"),
                (true, "minions_denied"),
            ],
        };
        wanted.iter().filter(|(is_wanted, _)| *is_wanted).map(|(_, folder)| *folder).collect()
    }

    /// Whether a running master has anything to do with it.
    pub(super) fn is_about_keys(&self) -> bool {
        self.code == 0 && !matches!(self.action(), Action::About | Action::GenKeys | Action::GenSignature)
    }
}

/// Salt's options, as Python's optparse reads them.
fn read(args: &[String]) -> (Vec<(String, Option<String>)>, Vec<String>) {
    let takes_value = |name: &str| WITH_VALUE.split_whitespace().any(|known| known == name);
    let (mut flags, mut words) = (Vec::new(), Vec::new());
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        if let Some((name, value)) = arg.split_once('=').filter(|_| arg.starts_with("--")) {
            flags.push((name.to_owned(), Some(value.to_owned())));
        } else if arg.starts_with("--") {
            let value = takes_value(arg).then(|| rest.next().cloned()).flatten();
            flags.push((arg.clone(), value));
        } else if arg.starts_with('-') && arg.len() > 1 {
            let letters: Vec<char> = arg[1..].chars().collect();
            for (at, letter) in letters.iter().enumerate() {
                let name = format!("-{letter}");
                if takes_value(&name) {
                    let attached: String = letters[at + 1..].iter().collect();
                    let value = if attached.is_empty() { rest.next().cloned() } else { Some(attached) };
                    flags.push((name, value));
                    break;
                }
                flags.push((name, None));
            }
        } else {
            words.push(arg.clone());
        }
    }
    (flags, words)
}
