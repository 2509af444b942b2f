//! The command line of `brine-key`.

use std::path::PathBuf;
use std::time::Duration;

use brine_local::Paths;
use brine_local::output::Format;
use brine_protocol::Fingerprint;
use brine_protocol::control::{Act, KEY_STATES, KeyState};
use clap::{ArgGroup, Parser};

use crate::failure::Failure;
use crate::select::{Pattern, Whom};

const EXAMPLES: &str = "\
Examples:
  brine-key                               list all keys
  brine-key -l un                         list those that wait: acc, un (or pre), rej, den, sus, all
  brine-key -f web1                       fingerprints, to compare with what the minion logs
  brine-key -F                            the same of all keys, and the master's for master_finger
  brine-key -a web1                       accept one after asking
  brine-key -a 'web*,db1' -y              accept several without asking
  brine-key -a web1 --expect aa:bb:…      accept exactly this key
  brine-key -A -y --wait-for 3            wait until three keys are there, then accept all
  brine-key -d web1                       forget a key; its session ends at once
  brine-key --gen-keys web9               make a pair to carry to a machine
  brine-key ledger verify | repair        check or mend the ledger while the master is stopped

Exit codes:
  0 done, or answered with no   1 failed   2 wrong usage, nothing matched, or not in time
  3 no master   4 refused";

/// Lists, accepts, rejects, deletes and prints minion keys.
#[derive(Debug, Parser)]
#[command(
    name = "brine-key",
    version,
    about = "List, accept, reject, delete and print minion keys",
    after_help = EXAMPLES,
    group(ArgGroup::new("action").multiple(false))
)]
pub(crate) struct Line {
    /// List the keys in one state: acc, un or pre, rej, den, sus, all.
    #[arg(short = 'l', long = "list", value_name = "STATE", group = "action")]
    list: Option<String>,
    /// List all keys.
    #[arg(short = 'L', long, group = "action")]
    list_all: bool,
    /// Accept matching keys that wait.
    #[arg(short = 'a', long, value_name = "MATCH", group = "action")]
    accept: Option<String>,
    /// Accept all keys that wait.
    #[arg(short = 'A', long, group = "action")]
    accept_all: bool,
    /// Reject matching keys that wait.
    #[arg(short = 'r', long, value_name = "MATCH", group = "action")]
    reject: Option<String>,
    /// Reject all keys that wait.
    #[arg(short = 'R', long, group = "action")]
    reject_all: bool,
    /// Delete matching keys, whatever their state.
    #[arg(short = 'd', long, value_name = "MATCH", group = "action")]
    delete: Option<String>,
    /// Delete all keys.
    #[arg(short = 'D', long, group = "action")]
    delete_all: bool,
    /// Print matching public keys.
    #[arg(short = 'p', long = "print", value_name = "MATCH", group = "action")]
    print: Option<String>,
    /// Print all public keys.
    #[arg(short = 'P', long, group = "action")]
    print_all: bool,
    /// Print fingerprints of matching keys.
    #[arg(short = 'f', long, value_name = "MATCH", group = "action")]
    finger: Option<String>,
    /// Print the fingerprints of all keys and of the master.
    #[arg(short = 'F', long, group = "action")]
    finger_all: bool,
    /// Cut matching accepted minions off and keep their keys.
    #[arg(long, value_name = "MATCH", group = "action")]
    suspend: Option<String>,
    /// Let matching suspended minions in again.
    #[arg(long, value_name = "MATCH", group = "action")]
    resume: Option<String>,
    /// Make a key pair NAME.pem, NAME.pub for a minion.
    #[arg(long, value_name = "NAME", group = "action")]
    gen_keys: Option<String>,
    /// Where to put the pair.
    #[arg(long, value_name = "DIR", default_value = ".")]
    gen_keys_dir: PathBuf,
    /// Size of the pair in bits, 2048 to 4096.
    #[arg(long, value_name = "N", default_value_t = 4096)]
    keysize: usize,

    /// With accept also rejected keys, with reject also accepted ones.
    #[arg(long)]
    include_all: bool,
    /// With reject: also accepted keys.
    #[arg(long)]
    include_accepted: bool,
    /// With accept: also rejected keys.
    #[arg(long)]
    include_rejected: bool,
    /// With accept and reject: also denied keys.
    #[arg(long)]
    include_denied: bool,
    /// Only the key with this fingerprint.
    #[arg(long, value_name = "FINGERPRINT")]
    expect: Option<Fingerprint>,
    /// Why; goes into the ledger.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Do not ask.
    #[arg(short = 'y', long)]
    pub(crate) yes: bool,
    /// Print only what went wrong.
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
    /// Before that, wait for the master and until so many keys are pending.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) wait_for: Option<u64>,
    /// How long --wait-for waits.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = brine_local::clock::seconds)]
    pub(crate) timeout: Duration,

    /// How to show: nested, json, yaml, txt, raw or quiet.
    #[arg(long, visible_alias = "output", value_name = "FORM")]
    pub(crate) out: Option<Format>,
    /// Spaces per level of JSON; negative for one line [default: 4].
    #[arg(long, visible_alias = "output-indent", value_name = "N", allow_negative_numbers = true)]
    pub(crate) out_indent: Option<i32>,
    /// Never colour.
    #[arg(long, alias = "no-colour")]
    pub(crate) no_color: bool,
    /// Colour even when the output is no terminal.
    #[arg(long, alias = "force-colour")]
    pub(crate) force_color: bool,
    /// Read configuration from this folder.
    #[arg(short = 'c', long, value_name = "DIR")]
    config_dir: Option<PathBuf>,
    /// Look for everything under this folder instead of /.
    #[arg(long, value_name = "DIR")]
    root_dir: Option<PathBuf>,
    /// Act under another name, with that name's rights (administrators only).
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) act_as: Option<String>,
    #[arg(hide = true)]
    words: Vec<String>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    List(Vec<KeyState>),
    Print(Pattern),
    Finger { pattern: Pattern, with_local: bool },
    Act { act: Act, whom: Whom },
    Generate { name: String, folder: PathBuf, bits: usize },
    LedgerVerify,
    LedgerRepair,
}

impl Line {
    pub(crate) fn paths(&self) -> Paths {
        Paths::new(self.root_dir.as_deref(), self.config_dir.as_deref())
    }

    /// The one action; listing everything when none is named.
    pub(crate) fn action(&self) -> Result<Action, Failure> {
        let action = self.flagged()?;
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        match (words.as_slice(), &action) {
            ([], _) => Ok(action.unwrap_or_else(|| Action::List(KEY_STATES.to_vec()))),
            // Salt's manuals write `-F master`.
            (["master"], Some(Action::Finger { with_local: true, .. })) => {
                Ok(action.unwrap_or_else(|| Action::List(KEY_STATES.to_vec())))
            }
            (["ledger", "verify"], None) => Ok(Action::LedgerVerify),
            (["ledger", "repair"], None) => Ok(Action::LedgerRepair),
            (["ledger", ..], None) => {
                Err(Failure::Usage("say: brine-key ledger verify, or: brine-key ledger repair".to_owned()))
            }
            ([word, ..], _) => Err(Failure::Usage(format!(
                "nothing is known to do with {word:?}; keys are named behind an option, as in: brine-key -a web1"
            ))),
        }
    }

    fn flagged(&self) -> Result<Option<Action>, Failure> {
        let act = |act, pattern: &Option<String>, all: bool| -> Result<Option<Action>, Failure> {
            let pattern = match (pattern, all) {
                (Some(text), _) => Pattern::parse(text)?,
                (None, true) => Pattern::all(),
                (None, false) => return Ok(None),
            };
            let whom = Whom { pattern, is_all: all, states: self.states(act), expect: self.expect };
            Ok(Some(Action::Act { act, whom }))
        };
        for (kind, pattern, all) in [
            (Act::Accept, &self.accept, self.accept_all),
            (Act::Reject, &self.reject, self.reject_all),
            (Act::Delete, &self.delete, self.delete_all),
            (Act::Suspend, &self.suspend, false),
            (Act::Resume, &self.resume, false),
        ] {
            if let Some(action) = act(kind, pattern, all)? {
                return Ok(Some(action));
            }
        }
        if let Some(state) = &self.list {
            return states(state).map(Action::List).map(Some);
        }
        if let Some(name) = &self.gen_keys {
            let folder = self.gen_keys_dir.clone();
            return Ok(Some(Action::Generate { name: name.clone(), folder, bits: self.keysize }));
        }
        let pattern = |text: &Option<String>| text.as_deref().map(Pattern::parse).transpose();
        if let Some(pattern) = pattern(&self.print)?.or_else(|| self.print_all.then(Pattern::all)) {
            return Ok(Some(Action::Print(pattern)));
        }
        if let Some(pattern) = pattern(&self.finger)?.or_else(|| self.finger_all.then(Pattern::all)) {
            return Ok(Some(Action::Finger { pattern, with_local: self.finger_all }));
        }
        Ok(self.list_all.then(|| Action::List(KEY_STATES.to_vec())))
    }

    /// The states whose keys an act is for.
    fn states(&self, act: Act) -> Vec<KeyState> {
        let denied = (self.include_denied, KeyState::Denied);
        let wanted = match act {
            Act::Accept => {
                vec![
                    (true, KeyState::Pending),
                    (self.include_rejected || self.include_all, KeyState::Rejected),
                    denied,
                ]
            }
            Act::Reject => vec![
                (true, KeyState::Pending),
                (self.include_accepted || self.include_all, KeyState::Accepted),
                (self.include_accepted || self.include_all, KeyState::Suspended),
                denied,
            ],
            Act::Delete => KEY_STATES.iter().map(|state| (true, *state)).collect(),
            Act::Suspend => vec![(true, KeyState::Accepted)],
            Act::Resume => vec![(true, KeyState::Suspended)],
        };
        wanted.into_iter().filter(|(is_wanted, _)| *is_wanted).map(|(_, state)| state).collect()
    }
}

/// The states that a word of `-l` means: salt-key looks at how it begins.
fn states(word: &str) -> Result<Vec<KeyState>, Failure> {
    let prefixes: [(&str, &[KeyState]); 8] = [
        ("acc", &[KeyState::Accepted]),
        ("pre", &[KeyState::Pending]),
        ("un", &[KeyState::Pending]),
        ("pen", &[KeyState::Pending]),
        ("rej", &[KeyState::Rejected]),
        ("den", &[KeyState::Denied]),
        ("sus", &[KeyState::Suspended]),
        ("all", &KEY_STATES),
    ];
    prefixes
        .iter()
        .find(|(prefix, _)| word.starts_with(prefix))
        .map(|(_, states)| states.to_vec())
        .ok_or_else(|| {
            Failure::Usage(format!(
                "{word:?} is not a valid argument to '--list'; it takes acc, un, pre, rej, den, sus or all"
            ))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(line: &str) -> Result<Action, i32> {
        let words = std::iter::once("brine-key").chain(line.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|error| error.exit_code())?;
        line.action().map_err(|failure| i32::from(failure.exit().code()))
    }

    fn states_of(line: &str) -> Vec<KeyState> {
        match action(line) {
            Ok(Action::Act { whom, .. }) => whom.states,
            Ok(Action::List(states)) => states,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn salts_way_to_ask_for_the_masters_fingerprint() {
        assert!(matches!(action("-F master"), Ok(Action::Finger { with_local: true, .. })));
        assert!(action("-F other").is_err());
    }

    #[test]
    fn which_states() {
        use KeyState::{Accepted, Denied, Pending, Rejected, Suspended};
        for (line, expected) in [
            ("", KEY_STATES.to_vec()),
            ("-L", KEY_STATES.to_vec()),
            ("-l all", KEY_STATES.to_vec()),
            ("-l accfoo", vec![Accepted]),
            ("-l pre", vec![Pending]),
            ("-l unaccepted", vec![Pending]),
            ("-l rej", vec![Rejected]),
            ("--list=denied", vec![Denied]),
            ("-l sus", vec![Suspended]),
            ("-a x", vec![Pending]),
            ("-A --include-rejected", vec![Pending, Rejected]),
            ("-a x --include-all", vec![Pending, Rejected]),
            ("-a x --include-denied", vec![Pending, Denied]),
            ("-r x", vec![Pending]),
            ("-R --include-accepted", vec![Pending, Accepted, Suspended]),
            ("-r x --include-all --include-denied", vec![Pending, Accepted, Suspended, Denied]),
            ("-d x", KEY_STATES.to_vec()),
            ("--suspend x", vec![Accepted]),
            ("--resume x", vec![Suspended]),
        ] {
            assert_eq!(states_of(line), expected, "{line}");
        }
    }

    #[test]
    fn bad_lines() {
        for line in [
            "-l foo",
            "--unknown",
            "-A -R",
            "-a",
            "-a x -d y",
            "-D junk",
            "web1",
            "ledger",
            "ledger verify -A",
            "--gen-keys x --keysize abc",
            "-A --wait-for 0",
            "-A --timeout -1",
            "-a x --expect aa",
            "-a ,",
            "-L --out nosuch",
        ] {
            assert_eq!(action(line), Err(2), "{line}");
        }
    }

    #[test]
    fn other_actions() {
        assert_eq!(action("ledger verify --root-dir /x"), Ok(Action::LedgerVerify));
        assert_eq!(action("ledger repair"), Ok(Action::LedgerRepair));
        assert_eq!(action("-F"), Ok(Action::Finger { pattern: Pattern::all(), with_local: true }));
        assert!(matches!(action("-f web1"), Ok(Action::Finger { with_local: false, .. })));
        assert_eq!(action("-P"), Ok(Action::Print(Pattern::all())));
        assert!(matches!(action("--gen-keys x --keysize 2048"), Ok(Action::Generate { bits: 2048, .. })));
        assert!(matches!(
            action("-D -y"),
            Ok(Action::Act { act: Act::Delete, whom: Whom { is_all: true, .. } })
        ));
    }
}
