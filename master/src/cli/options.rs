//! The command line of `brine`: which words are options, and whether the first other word is a
//! target or one of brine's own nouns.

pub(super) mod servers;
pub(super) mod tokens;

use std::path::PathBuf;
use std::time::Duration;

use brine_client::Client;
use brine_local::Paths;
use brine_local::output::{Format, Style, wants_colours};
use clap::{Args, CommandFactory, Parser, Subcommand};

use servers::ServerVerb;
use tokens::TokenVerb;

/// Where help lists the options of every form of the command.
const EVERYWHERE: &str = "Everywhere";

/// Options of every form of the command.
#[derive(Debug, Clone, Args)]
pub(super) struct Common {
    /// Read master.yaml and master.d from this folder.
    #[arg(short = 'c', long, value_name = "DIR", global = true, help_heading = EVERYWHERE)]
    pub(super) config_dir: Option<PathBuf>,
    /// Look for everything under this folder instead of /.
    #[arg(long, value_name = "DIR", global = true, help_heading = EVERYWHERE)]
    pub(super) root_dir: Option<PathBuf>,
    /// Act under another name, with that name's rights (administrators only).
    #[arg(long = "as", value_name = "NAME", global = true, help_heading = EVERYWHERE)]
    pub(super) act_as: Option<String>,
    /// How to show: nested, json, yaml, txt, raw or quiet.
    #[arg(long, visible_alias = "output", value_name = "FORM", default_value = "nested", global = true, help_heading = EVERYWHERE)]
    pub(super) out: Format,
    /// Spaces per level of JSON; negative for one line [default: 4].
    #[arg(
        long,
        visible_alias = "output-indent",
        value_name = "N",
        allow_negative_numbers = true,
        global = true,
        help_heading = EVERYWHERE
    )]
    pub(super) out_indent: Option<i32>,
    /// Never colour.
    #[arg(long, alias = "no-colour", global = true, help_heading = EVERYWHERE)]
    pub(super) no_color: bool,
    /// Colour even when the output is no terminal.
    #[arg(long, alias = "force-colour", global = true, help_heading = EVERYWHERE)]
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
  brine -Z 'zone:Dijon' test.ping            the minions of the server records of a zone
  brine web1 cmd.run ls cwd=/tmp             keyword arguments are name=value
  brine web1 test.arg '{a: 1, b: [x, y]}'    lists and maps are YAML in brackets
  brine '*' test.ping,grains.get , os        several functions; ',' between their arguments
  brine '*' test.ping --out json --static    one JSON document {id: return}
  brine '*' cmd.run 'apt-get -y upgrade' --async     print the job's id and do not wait

Brine's own nouns (with one of their verbs or an option behind them):
  brine jobs list | active | show JID | kill JID
  brine minions [list] | show ID
  brine server [list] | create | show | find | update | delete | history | import | pair | unpair |
               preseed | bundle | run | connect-script ...     records of servers, and their minions
  brine token [list] | create | revoke       enrolment tokens: let in who shows one
  brine events [--tag 'brine/key/*']         what happens, as it happens
  brine doctor                               is the master well?
  brine key ...                              the same as brine-key ...
  brine tui                                  approve keys on a screen: the same as brine-tui

Exit codes:
  0 all well   1 none of the others   2 wrong usage, or nothing matched   3 no master   4 refused
  11 a function ended with a retcode other than 0   12 a minion gave no return   130 Ctrl-C";

/// How to run functions and what to show of it.
#[derive(Debug, Clone, Args)]
pub(super) struct Running {
    /// After so long without news, ask the minions what goes on; those that run the job are waited for [default: timeout of master.yaml, 5].
    #[arg(short, long, value_name = "SECONDS", value_parser = brine_local::clock::seconds)]
    pub(super) timeout: Option<Duration>,
    /// Print the job's id and do not wait for returns.
    #[arg(long = "async")]
    pub(super) is_async: bool,
    /// One document with all returns, at the end.
    #[arg(short = 's', long = "static")]
    pub(super) is_static: bool,
    /// Print the job's id first, in Salt's long form.
    #[arg(short, long)]
    pub(super) verbose: bool,
    /// Print the job's id first.
    #[arg(long)]
    pub(super) show_jid: bool,
    /// At the end, count who returned, who did not, and errors.
    #[arg(long)]
    pub(super) summary: bool,
    /// Kill it on minions where it runs longer than this [default: never].
    #[arg(long, value_name = "SECONDS", value_parser = brine_local::clock::seconds)]
    pub(super) job_timeout: Option<Duration>,
    /// Keyword arguments whose values are text whatever they look like.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    pub(super) no_parse: Vec<String>,
}

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
    pub(super) common: Common,
    /// The target is a list of ids, separated by commas.
    #[arg(short = 'L', long)]
    pub(super) list: bool,
    /// The target is FIELD:GLOB: minions linked to the server records that say so.
    #[arg(short = 'Z', long, conflicts_with = "list")]
    pub(super) record: bool,
    #[command(flatten)]
    pub(super) running: Running,
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
    Jobs {
        #[command(subcommand)]
        verb: Option<JobsVerb>,
    },
    /// Accepted minions and whether they are there.
    Minions {
        #[command(subcommand)]
        verb: Option<MinionsVerb>,
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
    Events {
        /// Only events whose tag matches this glob.
        #[arg(long, value_name = "GLOB")]
        tag: Option<String>,
    },
    /// Say how the master is.
    Doctor,
}

/// `brine jobs …`
#[derive(Debug, Subcommand)]
pub(super) enum JobsVerb {
    /// The latest jobs, newest first.
    List {
        /// At most so many.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
    },
    /// Jobs that some minion has not answered yet; the 50 newest.
    Active,
    /// One job with everything that came back.
    Show {
        /// The job's id.
        jid: String,
    },
    /// End a job wherever it still runs.
    Kill {
        /// The job's id.
        jid: String,
    },
}

/// `brine minions …`
#[derive(Debug, Subcommand)]
pub(super) enum MinionsVerb {
    /// All accepted minions.
    List,
    /// One minion with its grains.
    Show {
        /// The minion's id.
        id: String,
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
const KEY_WORDS: [&str; 10] = [
    "suspend",
    "resume",
    "history",
    "watch",
    "import",
    "export",
    "rotate-master",
    "doctor",
    "ledger",
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
const NOUNS: [(&str, &[&str], Option<&str>); 8] = [
    ("jobs", &["list", "show", "active", "kill", "help"], None),
    ("minions", &["list", "show", "help"], None),
    ("server", &SERVER_VERBS, None),
    ("token", &["create", "list", "revoke", "help"], None),
    ("events", &[], None),
    ("doctor", &[], None),
    ("key", &KEY_WORDS, Some("brine-key")),
    ("tui", &[], Some("brine-tui")),
];

/// Whether a word would have been a noun, had one of its verbs followed.
pub(super) fn is_noun(word: &str) -> bool {
    NOUNS.iter().any(|(noun, ..)| *noun == word)
}

/// Tells targets from nouns: a noun is one only if one of its verbs, an option or nothing follows,
/// and with `-L` or `-Z` the word is a target in any case.
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
        if word == "--" || word == "--list" || word == "--record" {
            return None;
        } else if let Some(name) = word.strip_prefix("--") {
            at += usize::from(!name.contains('=') && takes_value(name));
        } else if let Some(cluster) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) {
            for (i, letter) in cluster.char_indices() {
                if letter == 'L' || letter == 'Z' {
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
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn nouns_and_targets() {
        let other = |program, line| Kind::Other(program, words(line));
        for (line, expected) in [
            ("", Kind::Run),
            ("* test.ping", Kind::Run),
            ("jobs", Kind::Noun),
            ("jobs list", Kind::Noun),
            ("jobs show 20261122060732123407", Kind::Noun),
            ("jobs --out json", Kind::Noun),
            ("jobs test.ping", Kind::Run),
            ("jobs* list", Kind::Run),
            ("-L jobs list", Kind::Run),
            ("-vL jobs list", Kind::Run),
            ("--list jobs list", Kind::Run),
            ("-- jobs list", Kind::Run),
            ("--root-dir /tmp/x jobs list", Kind::Noun),
            ("--root-dir=/tmp/x jobs list", Kind::Noun),
            ("--root-dir jobs web1 test.ping", Kind::Run),
            ("-c jobs minions", Kind::Noun),
            ("-cjobs minions", Kind::Noun),
            ("--output jobs minions", Kind::Noun),
            ("-v -t 5 minions show web1", Kind::Noun),
            ("minions", Kind::Noun),
            ("minions grains.items", Kind::Run),
            ("events --tag brine/*", Kind::Noun),
            ("events list", Kind::Run),
            ("doctor", Kind::Noun),
            ("doctor test.ping", Kind::Run),
            ("key -L", other("brine-key", "-L")),
            ("--root-dir M key -A -y", other("brine-key", "--root-dir M -A -y")),
            ("key ledger verify", other("brine-key", "ledger verify")),
            ("key suspend web1 -y", other("brine-key", "suspend web1 -y")),
            ("--root-dir M key history web1", other("brine-key", "--root-dir M history web1")),
            ("key rotate-master", other("brine-key", "rotate-master")),
            ("key test.ping", Kind::Run),
            ("tui", other("brine-tui", "")),
            ("-Z server list", Kind::Run),
            ("--record zone:Dijon test.ping", Kind::Run),
            ("server", Kind::Noun),
            ("server list", Kind::Noun),
            ("server --help", Kind::Noun),
            ("--root-dir M server run web1 test.ping", Kind::Noun),
            ("server connect-script web1", Kind::Noun),
            ("server test.ping", Kind::Run),
            ("token create --server web1", Kind::Noun),
            ("tokens list", Kind::Run),
        ] {
            assert_eq!(kind(&words(line)), expected, "{line}");
        }
    }

    fn parse(line: &str) -> RunLine {
        let line = std::iter::once("brine".to_owned()).chain(words(line));
        RunLine::try_parse_from(line).expect("a good line")
    }

    #[test]
    fn options_stand_anywhere() {
        let line = parse("-t 2.5 web1 --out json cmd.run ls --static cwd=/tmp -v -5");
        assert_eq!(line.words, words("web1 cmd.run ls cwd=/tmp -5"));
        assert_eq!(line.running.timeout, Some(Duration::from_millis(2500)));
        assert!(line.running.is_static && line.running.verbose && line.common.out == Format::Json);
        assert_eq!(parse("web1 test.echo -- --flag -t").words, words("web1 test.echo --flag -t"));
        assert_eq!(parse("web1 test.ping --out-indent -1").common.out_indent, Some(-1));
        assert_eq!(parse("web1 a.b x=1 --no-parse=x,y").running.no_parse, words("x y"));
        assert_eq!(parse("web1 a.b --output=txt").common.out, Format::Txt);
    }

    #[test]
    fn bad_lines() {
        for line in [
            "web1 a.b --nosuch",
            "web1 a.b -t 0",
            "web1 a.b -t x",
            "web1 a.b --out nosuch",
            "web1 a.b -t nan",
            "-L -Z web1 a.b",
        ] {
            let line = std::iter::once("brine".to_owned()).chain(words(line));
            assert_eq!(RunLine::try_parse_from(line).map(|_| ()).map_err(|e| e.exit_code()), Err(2));
        }
    }

    #[test]
    fn the_tables_agree() {
        RunLine::command().debug_assert();
        let nouns = NounLine::command();
        nouns.clone().debug_assert();
        for (noun, verbs, program) in NOUNS {
            if program.is_some() {
                continue;
            }
            let command = nouns.find_subcommand(noun).expect("listed nouns exist");
            let known: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
            let listed: Vec<&str> = verbs.iter().copied().filter(|v| *v != "help").collect();
            assert_eq!(known.len(), listed.len(), "{noun}");
            assert!(known.iter().all(|verb| listed.contains(verb)), "{noun}");
        }
    }
}
