//! The command line of `brine`: which words are options, and whether the first other word is a
//! target or one of brine's own nouns.

pub(super) mod brief;
pub(super) mod elsewhere;
pub(super) mod nouns;
pub(super) mod output;
pub(super) mod running;
pub(super) mod servers;
pub(super) mod target;
pub(super) mod tokens;

use std::path::PathBuf;

use brine_client::Client;
use brine_local::Paths;
use brine_local::completion::Shell;
use brine_local::completion_examples;
use brine_local::manual::Pages;
use brine_local::output::{Format, Style, wants_colours};
use brine_protocol::MinionId;
use clap::{Args, CommandFactory, Parser, Subcommand};

use super::pillar::PillarVerb;
use nouns::{EventFilters, JobsVerb, MinionsVerb};
pub(super) use running::Running;
use servers::ServerVerb;
use target::{TargetFlags, TargetVerb, letter_marks_target, marks_target};
use tokens::TokenVerb;

/// Where help lists what says which master is meant, and as whom.
const MASTER: &str = "Which master, and as whom";

/// Where help lists what decides how things look.
const SHOWN: &str = "What is shown";

/// Where help lists what is done in place of running anything.
const INSTEAD: &str = "Instead of running anything";

/// Options of every form of the command.
#[derive(Debug, Clone, Args)]
pub(super) struct Common {
    /// Read master.yaml and master.d from this folder.
    #[arg(short = 'c', long, value_name = "DIR", global = true, help_heading = MASTER)]
    pub(super) config_dir: Option<PathBuf>,
    /// Look for everything under this folder instead of /.
    #[arg(long, value_name = "DIR", global = true, help_heading = MASTER)]
    pub(super) root_dir: Option<PathBuf>,
    /// Act under another name, with that name's rights (administrators only).
    #[arg(long = "as", value_name = "NAME", global = true, help_heading = MASTER)]
    pub(super) act_as: Option<String>,
    /// How to show: nested, json, yaml, txt, raw, pprint, newline_values_only, table, no_return or quiet.
    #[arg(long, visible_alias = "output", value_name = "FORM", default_value = "nested", global = true, help_heading = SHOWN)]
    pub(super) out: Format,
    /// Spaces per level of JSON; negative for one line [default: 4].
    #[arg(
        long,
        visible_alias = "output-indent",
        value_name = "N",
        allow_negative_numbers = true,
        global = true,
        help_heading = SHOWN
    )]
    pub(super) out_indent: Option<i32>,
    /// Never colour.
    #[arg(long, alias = "no-colour", global = true, help_heading = SHOWN)]
    pub(super) no_color: bool,
    /// Colour even when the output is no terminal.
    #[arg(long, alias = "force-colour", global = true, help_heading = SHOWN)]
    pub(super) force_color: bool,
}

impl Common {
    pub(super) fn paths(&self) -> Paths {
        Paths::new(self.root_dir.as_deref(), self.config_dir.as_deref())
    }

    pub(super) fn client(&self) -> Client {
        Client::new(&self.paths().control_socket()).acting_as(self.act_as.clone())
    }

    pub(super) fn style(&self) -> Style {
        let colours = wants_colours(self.no_color, self.force_color);
        Style { format: self.out, indent: self.out_indent, colours }
    }

    /// What a hint has to repeat so that it finds the same master.
    pub(super) fn hint_options(&self) -> String {
        self.root_dir.as_ref().map(|dir| format!(" --root-dir {}", dir.display())).unwrap_or_default()
    }
}

const RUN_EXAMPLES: &str = "\
Examples:
  brine '*' test.ping                        who answers?
  brine 'web*' cmd.run 'uname -r'            a shell command on all whose id begins with web
  brine -L web1,web2 grains.get os           two minions by name
  brine -G 'os:Debian' test.ping             by a grain; -E -P -I -J -S -N -C: see above
  brine -C 'G@os:Debian and not web1' test.ping      several terms with and, or, not, ( )
  brine -Z 'zone:Dijon' test.ping            the minions of the server records of a zone
  brine web1 cmd.run ls cwd=/tmp             keyword arguments are name=value
  brine web1 test.arg '{a: 1, b: [x, y]}'    lists and maps are YAML in brackets
  brine '*' test.ping,grains.get , os        several functions; ',' between their arguments
  brine web1 'test.arg(1, x=[a, b])'         a whole call in one word
  brine web1 test.arg 'x:=[1, null]'       a keyword argument in JSON
  brine web1 cmd.run 'mysql app' stdin=@dump.sql     a file's text; @- is the standard input, @@x the text @x
  brine -d cmd.run                           what a function does
  brine '*' test.ping --out json --static    one JSON document {id: return}
  brine '*' cmd.run 'apt-get -y upgrade' --async     print the job's id and do not wait
  brine '*' service.restart nginx -b 25% --failhard  a quarter at a time; a failure is the last one
  brine '*' test.ping --subset 3 -p                  three of them, with a progress bar
  brine '*' pkg.upgrade --queue --ttl 2h             who is away gets it when it is back within 2 hours

Brine's own nouns (with one of their verbs or an option behind them):
  brine jobs [list] | active | last | show | kill | term | signal ...
  brine minions [list] | status | up | down | show ID
  brine target get [-G ...] 'TARGET'         whom a target means and why, without running anything
  brine server [list] | create | show | find | update | delete | history | import | pair | unpair |
               preseed | bundle | run | connect-script ...     records of servers, and their minions
  brine token [list] | create | revoke       enrolment tokens: let in who shows one
  brine pillar show ID | check               what a minion gets of the pillar files
  brine events [--tag 'brine/key/*']         what happens, as it happens
  brine completion bash | zsh | fish         completion with the ids of minions
  brine doctor                               is the master well? (--minion web1: is web1?)
  brine key ...                              the same as brine-key ...
  brine tui                                  approve keys on a screen: the same as brine-tui

Exit codes:
  0 all well   1 none of the others   2 wrong usage, or nothing matched   3 no master   4 refused
  11 a function ended with a retcode other than 0   12 a minion gave no return   130 Ctrl-C";

/// Runs functions on minions.
#[derive(Debug, Parser)]
#[command(
    name = "brine",
    version,
    about = "Run functions on minions, and look after the jobs that come of it",
    override_usage = "brine [OPTIONS] '<target>' <module.function> [arguments] [name=value]\n       brine <noun> [verb] [OPTIONS]",
    after_help = RUN_EXAMPLES
)]
pub(super) struct RunLine {
    #[command(flatten)]
    pub(super) whom: TargetFlags,
    /// Name the minions that the target means, and run nothing; `brine target get` says why.
    #[arg(long, help_heading = INSTEAD)]
    pub(super) preview_target: bool,
    /// Say what functions do, and run nothing: -d test.ping, '*' -d cmd, or all that a minion has.
    #[arg(short = 'd', long, help_heading = INSTEAD)]
    pub(super) doc: bool,
    #[command(flatten)]
    pub(super) running: Running,
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    pub(super) elsewhere: elsewhere::Elsewhere,
    /// Target, function, arguments.
    #[arg(value_name = "WORD", allow_negative_numbers = true, hide = true)]
    pub(super) words: Vec<String>,
}

/// Brine's own nouns.
#[derive(Debug, Parser)]
#[command(name = "brine", version, about = "Look after jobs, minions, server records and the master")]
pub(super) struct NounLine {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(subcommand)]
    pub(super) noun: Noun,
}

/// What `brine` can be asked about.
#[derive(Debug, Subcommand)]
pub(super) enum Noun {
    /// Jobs: what ran, what runs, how it ended.
    #[command(after_help = nouns::JOBS_EXAMPLES)]
    Jobs {
        #[command(subcommand)]
        verb: Option<JobsVerb>,
    },
    /// Accepted minions and whether they are there.
    #[command(after_help = nouns::MINIONS_EXAMPLES)]
    Minions {
        #[command(subcommand)]
        verb: Option<MinionsVerb>,
    },
    /// Targets: whom they mean.
    Target {
        #[command(subcommand)]
        verb: TargetVerb,
    },
    /// Pillar: data of their own for minions, out of the master's files.
    Pillar {
        #[command(subcommand)]
        verb: PillarVerb,
    },
    /// Server records: what an application knows of a machine, and which minion it is.
    #[command(after_help = servers::SERVER_EXAMPLES)]
    Server {
        #[command(subcommand)]
        verb: Option<ServerVerb>,
    },
    /// Enrolment tokens: a minion that shows one is let in.
    #[command(after_help = tokens::TOKEN_EXAMPLES)]
    Token {
        #[command(subcommand)]
        verb: Option<TokenVerb>,
    },
    /// Follow what happens: keys, sessions, jobs, returns, server records.
    #[command(after_help = nouns::EVENTS_EXAMPLES)]
    Events {
        #[command(flatten)]
        filters: EventFilters,
    },
    /// Completion of this command line for a shell, with the ids of minions and jobs.
    #[command(after_help = completion_examples!("brine"))]
    Completion {
        #[command(subcommand)]
        shell: Shell,
    },
    /// Write manual pages.
    #[command(hide = true)]
    Man(Pages),
    /// Say how the master is, or how one minion is, and what to do if not well. Exits with 1 when
    /// something does not work.
    Doctor {
        /// Say how this minion is: its key, presence, address and last job.
        #[arg(long, value_name = "ID")]
        minion: Option<MinionId>,
    },
}

/// What a command line is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A target and a function.
    Run,
    /// One of brine's own nouns.
    Noun,
    /// Another program's command line: its name, options before the noun, words behind it.
    Other(&'static str, Vec<String>),
}

/// The words of brine-key: in front of anything else, `key` is a target.
const KEY_WORDS: [&str; 11] = [
    "suspend",
    "resume",
    "history",
    "watch",
    "import",
    "export",
    "rotate-master",
    "doctor",
    "ledger",
    "completion",
    "help",
];

/// The verbs of `brine server`.
const SERVER_VERBS: [&str; 15] = [
    "create",
    "list",
    "find",
    "show",
    "update",
    "delete",
    "history",
    "import",
    "pair",
    "unpair",
    "preseed",
    "bundle",
    "run",
    "connect-script",
    "help",
];

/// Nouns, their verbs, and the program that a noun is handed to.
const NOUNS: [(&str, &[&str], Option<&str>); 12] = [
    ("jobs", &["list", "show", "active", "last", "kill", "term", "signal", "help"], None),
    ("minions", &["list", "status", "up", "down", "show", "help"], None),
    ("target", &["get", "help"], None),
    ("pillar", &["show", "check", "help"], None),
    ("server", &SERVER_VERBS, None),
    ("token", &["create", "list", "revoke", "help"], None),
    ("events", &[], None),
    ("completion", &["bash", "zsh", "fish", "help"], None),
    ("man", &[], None),
    ("doctor", &[], None),
    ("key", &KEY_WORDS, Some("brine-key")),
    ("tui", &["completion", "help"], Some("brine-tui")),
];

/// Whether a word would have been a noun, had one of its verbs followed.
pub(super) fn is_noun(word: &str) -> bool {
    NOUNS.iter().any(|(noun, ..)| *noun == word)
}

/// Tells targets from nouns: a noun is one only if one of its verbs, an option or nothing follows,
/// and with an option that says how a target is written (`-L`, `-G`, …) the word is one in any case.
pub(super) fn kind(words: &[String]) -> Kind {
    let Some(first) = first_word(words) else {
        return Kind::Run;
    };
    let noun = NOUNS.iter().find(|(noun, ..)| *noun == words[first]);
    let Some((_, verbs, program)) = noun else {
        return Kind::Run;
    };
    let is_noun = match words.get(first + 1) {
        None => true,
        Some(next) => next.starts_with('-') || verbs.contains(&next.as_str()),
    };
    match program {
        _ if !is_noun => Kind::Run,
        None => Kind::Noun,
        Some(program) => {
            let others = words[..first].iter().chain(&words[first + 1..]).cloned().collect();
            Kind::Other(program, others)
        }
    }
}

/// The place of the first word that is neither an option nor an option's value; none when there is
/// none or when an option says that it is a target.
fn first_word(words: &[String]) -> Option<usize> {
    let command = RunLine::command();
    let takes_value = |name: &str| {
        command.get_arguments().filter(|arg| !arg.is_positional() && arg.get_action().takes_values()).any(
            |arg| {
                let long = arg.get_long_and_visible_aliases().unwrap_or_default();
                let short = arg.get_short().map(String::from);
                long.contains(&name) || short.as_deref() == Some(name)
            },
        )
    };
    let mut at = 0;
    while let Some(word) = words.get(at) {
        at += 1;
        if word == "--" || word.strip_prefix("--").is_some_and(marks_target) {
            return None;
        } else if let Some(name) = word.strip_prefix("--") {
            at += usize::from(!name.contains('=') && takes_value(name));
        } else if let Some(cluster) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) {
            for (i, letter) in cluster.char_indices() {
                if letter_marks_target(letter) {
                    return None;
                }
                if takes_value(&letter.to_string()) {
                    at += usize::from(i + letter.len_utf8() == cluster.len());
                    break;
                }
            }
        } else {
            return Some(at - 1);
        }
    }
    None
}

#[cfg(test)]
mod tests;
