//! The command line of `brine-key`: salt-key's flags, and words for what salt-key never had.

mod habits;
mod help;
mod words;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use brine_client::Exit;
use brine_local::Paths;
use brine_local::completion::ArgValueCompleter;
use brine_local::output::{Format, Style, wants_colours};
use brine_protocol::Fingerprint;
use brine_protocol::control::{Act, KEY_STATES, KeyState};
use clap::error::ErrorKind;
use clap::{ArgAction, ArgGroup, Args, CommandFactory, Parser};

use crate::complete;
use crate::failure::Failure;
use crate::select::{Pattern, Whom};
use habits::Habits;
use help::{ACT, EXAMPLES, LIST, MAKE, NARROW, OUTPUT, PRINT, WHERE};
pub(crate) use words::{LedgerVerb, Rotation, Word};

/// One command line.
#[derive(Debug, Parser)]
#[command(
    name = "brine-key",
    version,
    disable_version_flag = true,
    about = "See who asks to be let in, and decide about minion keys",
    after_help = EXAMPLES,
    subcommand_value_name = "WORD",
    subcommand_help_heading = "Words",
    override_usage = "brine-key [FLAGS]\n       brine-key WORD [FLAGS]",
    group(ArgGroup::new("action").multiple(false))
)]
pub(crate) struct Line {
    #[command(flatten)]
    actions: Actions,
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    habits: Habits,
    #[command(subcommand)]
    word: Option<Word>,
    /// Print the version.
    #[arg(short = 'V', long, alias = "versions-report", action = ArgAction::Version)]
    version: Option<bool>,
}

/// What to do, in salt-key's flags.
#[derive(Debug, Args)]
struct Actions {
    /// List the keys in one state: acc, un or pre, rej, den, sus, all.
    #[arg(short = 'l', long, value_name = "STATE", group = "action", help_heading = LIST)]
    list: Option<String>,
    /// List all keys; what happens without any flag.
    #[arg(short = 'L', long, group = "action", help_heading = LIST)]
    list_all: bool,
    /// With a list: who, from where, since when; with --out json one object per key.
    #[arg(long, help_heading = LIST)]
    long: bool,
    /// Accept matching keys that wait.
    #[arg(short = 'a', long, value_name = "MATCH", add = ArgValueCompleter::new(complete::pending), group = "action", help_heading = ACT)]
    accept: Option<String>,
    /// Accept all keys that wait, but for ids that several keys claim.
    #[arg(short = 'A', long, group = "action", help_heading = ACT)]
    accept_all: bool,
    /// Reject matching keys that wait.
    #[arg(short = 'r', long, value_name = "MATCH", add = ArgValueCompleter::new(complete::pending), group = "action", help_heading = ACT)]
    reject: Option<String>,
    /// Reject all keys that wait.
    #[arg(short = 'R', long, group = "action", help_heading = ACT)]
    reject_all: bool,
    /// Delete matching keys, whatever their state; sessions end at once.
    #[arg(short = 'd', long, value_name = "MATCH", add = ArgValueCompleter::new(complete::all), group = "action", help_heading = ACT)]
    delete: Option<String>,
    /// Delete all keys.
    #[arg(short = 'D', long, group = "action", help_heading = ACT)]
    delete_all: bool,
    /// Cut matching accepted minions off and keep their keys.
    #[arg(long, value_name = "MATCH", add = ArgValueCompleter::new(complete::accepted), group = "action", help_heading = ACT)]
    suspend: Option<String>,
    /// Let matching suspended minions in again.
    #[arg(long, value_name = "MATCH", add = ArgValueCompleter::new(complete::suspended), group = "action", help_heading = ACT)]
    resume: Option<String>,
    /// With accept also rejected keys, with reject also accepted ones.
    #[arg(long, help_heading = NARROW)]
    include_all: bool,
    /// With reject: also accepted and suspended keys.
    #[arg(long, help_heading = NARROW)]
    include_accepted: bool,
    /// With accept: also rejected keys.
    #[arg(long, help_heading = NARROW)]
    include_rejected: bool,
    /// With accept and reject: also denied keys. It never replaces the key that holds the id.
    #[arg(long, help_heading = NARROW)]
    include_denied: bool,
    /// Print matching public keys.
    #[arg(short = 'p', long, value_name = "MATCH", add = ArgValueCompleter::new(complete::all), group = "action", help_heading = PRINT)]
    print: Option<String>,
    /// Print all public keys.
    #[arg(short = 'P', long, group = "action", help_heading = PRINT)]
    print_all: bool,
    /// Print fingerprints of matching keys; of the master itself when MATCH is master.
    #[arg(short = 'f', long, value_name = "MATCH", add = ArgValueCompleter::new(complete::all), group = "action", help_heading = PRINT)]
    finger: Option<String>,
    /// Print the fingerprints of all keys and of the master.
    #[arg(short = 'F', long, group = "action", help_heading = PRINT)]
    finger_all: bool,
    /// Make a key pair NAME.pem, NAME.pub for a minion.
    #[arg(long, value_name = "NAME", group = "action", help_heading = MAKE)]
    gen_keys: Option<String>,
    /// Where to put the pair.
    #[arg(long, value_name = "DIR", default_value = ".", help_heading = MAKE)]
    gen_keys_dir: PathBuf,
    /// Size of the pair in bits, 2048 to 4096.
    #[arg(long, value_name = "N", default_value_t = 4096, help_heading = MAKE)]
    keysize: usize,
}

/// How, for flags and words alike.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Only the key with this fingerprint: for scripts, and for ids that several keys claim.
    #[arg(long, value_name = "FINGERPRINT", global = true, help_heading = NARROW)]
    expect: Option<Fingerprint>,
    /// Why; goes into the ledger and shows in the history.
    #[arg(long, value_name = "TEXT", global = true, help_heading = NARROW)]
    pub(crate) reason: Option<String>,
    /// Do not ask.
    #[arg(short = 'y', long, global = true, help_heading = NARROW)]
    pub(crate) yes: bool,
    /// Of an act, print only what went wrong.
    #[arg(short = 'q', long, global = true, help_heading = OUTPUT)]
    pub(crate) quiet: bool,
    /// Before that, wait for the master and until so many keys are pending.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = NARROW)]
    pub(crate) wait_for: Option<u64>,
    /// How long --wait-for waits.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "60",
        value_parser = brine_local::clock::seconds,
        help_heading = NARROW
    )]
    pub(crate) timeout: Duration,
    /// How to show: nested, json, yaml, txt, raw or quiet.
    #[arg(long, visible_alias = "output", value_name = "FORM", global = true, help_heading = OUTPUT)]
    pub(crate) out: Option<Format>,
    /// Spaces per level of JSON; negative for one line [default: 4].
    #[arg(
        long,
        visible_alias = "output-indent",
        value_name = "N",
        allow_negative_numbers = true,
        global = true,
        help_heading = OUTPUT
    )]
    pub(crate) out_indent: Option<i32>,
    /// Write lists and documents to this file.
    #[arg(long, visible_alias = "output-file", value_name = "FILE", global = true, help_heading = OUTPUT)]
    pub(crate) out_file: Option<PathBuf>,
    /// Add to that file instead of replacing it.
    #[arg(long, visible_alias = "output-file-append", global = true, help_heading = OUTPUT)]
    pub(crate) out_file_append: bool,
    /// Never colour.
    #[arg(long, alias = "no-colour", global = true, help_heading = OUTPUT)]
    no_color: bool,
    /// Colour even when the output is no terminal.
    #[arg(long, alias = "force-colour", global = true, help_heading = OUTPUT)]
    force_color: bool,
    /// Read configuration from this folder.
    #[arg(short = 'c', long, value_name = "DIR", global = true, help_heading = WHERE)]
    config_dir: Option<PathBuf>,
    /// Look for everything under this folder instead of /.
    #[arg(long, value_name = "DIR", global = true, help_heading = WHERE)]
    root_dir: Option<PathBuf>,
    /// Act under another name, with that name's rights (administrators only).
    #[arg(long = "as", value_name = "NAME", global = true, help_heading = WHERE)]
    pub(crate) act_as: Option<String>,
}

impl Common {
    pub(crate) fn paths(&self) -> Paths {
        Paths::new(self.root_dir.as_deref(), self.config_dir.as_deref())
    }

    pub(crate) fn style(&self) -> Style {
        Style {
            format: self.out.unwrap_or_default(),
            indent: self.out_indent,
            colours: self.out_file.is_none() && wants_colours(self.no_color, self.force_color),
        }
    }

    /// Whether stdout is one document and everything else goes to stderr.
    pub(crate) fn is_for_programs(&self) -> bool {
        self.out.is_some_and(Format::is_for_programs)
    }
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    List { states: Vec<KeyState>, is_long: bool },
    Print(Pattern),
    Finger { pattern: Pattern, with_local: bool },
    Act { act: Act, whom: Whom },
    Generate { name: String, folder: PathBuf, bits: usize },
    Word(Word),
}

impl Line {
    /// Reads a command line; an error says how the program ends when it was printed.
    pub(crate) fn read() -> Result<Self, Exit> {
        Self::parse_words(std::env::args_os().collect()).map_err(|error| {
            let printed = error.print().is_ok();
            if error.exit_code() != 0 {
                Exit::Usage
            } else if printed {
                Exit::Ok
            } else {
                Exit::ClosedOutput
            }
        })
    }

    fn parse_words(words: Vec<OsString>) -> Result<Self, clap::Error> {
        let twice = repeated(&words);
        let line = Self::try_parse_from(words)?;
        match twice {
            None => Ok(line),
            Some(flag) => Err(Self::command().error(
                ErrorKind::ArgumentConflict,
                format!("{flag} is given twice; before a word and behind it are the same place"),
            )),
        }
    }

    /// What an operator with salt-key's habits should hear about flags that mean nothing here.
    pub(crate) fn notes(&self) -> Result<Vec<String>, Failure> {
        self.habits.notes()
    }

    /// The one action; listing everything when none is named.
    pub(crate) fn action(&self) -> Result<Action, Failure> {
        let flagged = self.flagged()?;
        let action = match (&self.word, flagged) {
            (None, None) => Action::List { states: KEY_STATES.to_vec(), is_long: self.actions.long },
            (None, Some(action)) => action,
            // Salt's manuals write `-F master`.
            (Some(Word::Master), Some(action @ Action::Finger { with_local: true, .. })) => action,
            (Some(Word::Suspend { keys }), None) => self.act(Act::Suspend, Pattern::parse(keys)?, false),
            (Some(Word::Resume { keys }), None) => self.act(Act::Resume, Pattern::parse(keys)?, false),
            (Some(word), flagged) => match word.misplaced(flagged.is_some()) {
                Some(sentence) => return Err(Failure::Usage(sentence)),
                None => Action::Word(word.clone()),
            },
        };
        if self.actions.long && !matches!(action, Action::List { .. }) {
            return Err(Failure::Usage("--long belongs to a list: -L or -l STATE".to_owned()));
        }
        let takes_expect = matches!(action, Action::Act { .. });
        if self.common.expect.is_some() && !takes_expect {
            return Err(Failure::Usage("--expect belongs to an act, such as -a ID".to_owned()));
        }
        Ok(action)
    }

    fn act(&self, act: Act, pattern: Pattern, is_all: bool) -> Action {
        let whom = Whom { pattern, is_all, states: self.states(act), expect: self.common.expect };
        Action::Act { act, whom }
    }

    fn flagged(&self) -> Result<Option<Action>, Failure> {
        let flags = &self.actions;
        for (act, pattern, is_all) in [
            (Act::Accept, &flags.accept, flags.accept_all),
            (Act::Reject, &flags.reject, flags.reject_all),
            (Act::Delete, &flags.delete, flags.delete_all),
            (Act::Suspend, &flags.suspend, false),
            (Act::Resume, &flags.resume, false),
        ] {
            match pattern {
                Some(text) => return Ok(Some(self.act(act, Pattern::parse(text)?, false))),
                None if is_all => return Ok(Some(self.act(act, Pattern::all(), true))),
                None => {}
            }
        }
        if let Some(state) = &flags.list {
            return Ok(Some(Action::List { states: states(state)?, is_long: flags.long }));
        }
        if let Some(name) = &flags.gen_keys {
            let folder = flags.gen_keys_dir.clone();
            return Ok(Some(Action::Generate { name: name.clone(), folder, bits: flags.keysize }));
        }
        let pattern = |text: &Option<String>| text.as_deref().map(Pattern::parse).transpose();
        if let Some(pattern) = pattern(&flags.print)?.or_else(|| flags.print_all.then(Pattern::all)) {
            return Ok(Some(Action::Print(pattern)));
        }
        if let Some(pattern) = pattern(&flags.finger)?.or_else(|| flags.finger_all.then(Pattern::all)) {
            // No minion can have this id.
            let with_local = flags.finger_all || pattern.text() == "master";
            return Ok(Some(Action::Finger { pattern, with_local }));
        }
        let all = Action::List { states: KEY_STATES.to_vec(), is_long: flags.long };
        Ok(flags.list_all.then_some(all))
    }

    /// The states whose keys an act is for.
    fn states(&self, act: Act) -> Vec<KeyState> {
        let flags = &self.actions;
        let denied = (flags.include_denied, KeyState::Denied);
        let accepted = flags.include_accepted || flags.include_all;
        let rejected = flags.include_rejected || flags.include_all;
        let wanted = match act {
            Act::Accept => vec![(true, KeyState::Pending), (rejected, KeyState::Rejected), denied],
            Act::Reject => vec![
                (true, KeyState::Pending),
                (accepted, KeyState::Accepted),
                (accepted, KeyState::Suspended),
                denied,
            ],
            Act::Delete => KEY_STATES.iter().map(|state| (true, *state)).collect(),
            Act::Suspend => vec![(true, KeyState::Accepted)],
            Act::Resume => vec![(true, KeyState::Suspended)],
        };
        wanted.into_iter().filter(|(is_wanted, _)| *is_wanted).map(|(_, state)| state).collect()
    }
}

/// Flags of which a second one must not take the place of the first without a word. Clap sees to it
/// but for one before a subcommand and one behind it.
const ONCE: [&str; 4] = ["--expect", "--reason", "--as", "--root-dir"];

/// The first of these flags that stands there twice. No value of a flag begins with a dash, unless
/// it is in one word with it.
fn repeated(words: &[OsString]) -> Option<&'static str> {
    let words = words.iter().map(|word| word.to_string_lossy()).take_while(|word| word != "--");
    let words: Vec<_> = words.collect();
    let is = |word: &str, flag: &str| {
        word.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    ONCE.into_iter().find(|flag| words.iter().filter(|word| is(word, flag)).count() > 1)
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
#[path = "options_tests.rs"]
mod tests;
