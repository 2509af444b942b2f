//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use brine_local::clock;
use brine_local::completion::Shell;
use brine_local::completion_examples;
use brine_local::manual::Pages;
use brine_local::output::Format;
use brine_protocol::Fingerprint;
use clap::{Args, Parser, Subcommand};

use crate::config::Host;

/// The agent of Brine: runs on each managed machine, dials its master, runs what it is ordered to.
///
/// It stays in the foreground and logs to standard error. At its first start it makes its own RSA
/// key; an operator then accepts that key on the master, and from then on it takes orders.
#[derive(Debug, Parser)]
#[command(
    name = "brine-minion",
    version,
    after_help = "\
Files (all move under --root-dir):
  /etc/brine/minion.yaml, minion.d/*.yaml   options: master, id, master_finger, ...
  /etc/brine/pki/minion/                    its key; minion_master.pub, the master it trusts
  /etc/brine/grains                         written by grains.setval
  /var/lib/brine/minion/journal             orders taken and returns not yet stored by the master

The smallest minion.yaml:
  master: master.example.org    # default: brine
  id: web1                      # default: the host name

First start, and after it on the master:
  brine-minion
  brine-key -L            # the key waits under \"Unaccepted Keys\"
  brine-key -a web1       # compare the fingerprint that this program logs
  brine web1 test.ping

To trust one master only, from the first contact on, put its fingerprint (master.pub in what
brine-key -F prints) into the option master_finger; probe-master compares it beforehand.

A minion can say which server record it is (option server), and bring an enrolment token that lets
it in (enrolment_token, or enrolment_token_file). A token is told to a pinned master only, so it
needs master_finger as well.

Each option may be given in the environment as well, which wins over the files: BRINE_MASTER_FINGER
is master_finger. Lists and maps are written as in YAML; an empty variable counts as none.

SIGHUP reads the options again and names in the log what needs a restart; jobs go on. SIGTERM and
SIGINT stop the minion: jobs that run are killed, and the master hears at the next start that they
were interrupted. Jobs that were ordered with --detach go on, and so do their time limits; their end
is told as soon as a minion runs again."
)]
pub struct Cli {
    /// What is common to all.
    #[command(flatten)]
    pub common: Common,
    /// What to do; without it, be the agent.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options that every form takes.
#[derive(Debug, Args)]
pub struct Common {
    /// Folder of minion.yaml and minion.d [default: /etc/brine]
    #[arg(short = 'c', long, value_name = "DIR", global = true)]
    pub config_dir: Option<PathBuf>,
    /// Move all default paths under this folder
    #[arg(long, value_name = "DIR", global = true)]
    pub root_dir: Option<PathBuf>,
    /// Least severe events to log: trace, debug, info, warning, error, quiet [default: the option log_level]
    #[arg(short = 'l', long, value_name = "LEVEL", global = true, value_parser = level)]
    pub log_level: Option<String>,
}

fn level(text: &str) -> Result<String, String> {
    match brine_local::log::check(text) {
        Ok(()) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn host(text: &str) -> Result<Host, String> {
    Host::try_from(text.to_owned())
}

/// What else the program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a function here, without a master
    ///
    /// Arguments are typed as on the master: `3` is a number, `name=value` a keyword argument, `name:=value`
    /// one in JSON; `@file` is the text of a file, `@-` that of the standard input, and `@@x` the text @x.
    /// Put `--` before an argument that begins with a dash. Exits with 11 when the function's retcode is not 0.
    #[command(after_help = "\
Examples:
  brine-minion call test.ping
  brine-minion call cmd.run 'uname -r' cwd=/tmp
  brine-minion call 'test.arg(1, x=[a, b])' a whole call in one word
  brine-minion call cmd.run cat stdin=@file
  brine-minion call grains.items --out json
  brine-minion call sys.doc cmd.run         what a function does")]
    Call {
        /// The form of the output: nested, json, yaml, txt, raw, pprint, newline_values_only, table,
        /// no_return or quiet
        #[arg(long, value_name = "FORM", default_value = "nested")]
        out: Format,
        /// Read more arguments from the standard input, one a line: they do not show in ps
        #[arg(long)]
        args_stdin: bool,
        /// The function, as in test.ping
        #[arg(value_name = "FUNCTION")]
        function: String,
        /// Its arguments
        #[arg(value_name = "ARGUMENT", allow_negative_numbers = true)]
        arguments: Vec<String>,
    },
    /// Show id, fingerprint and pinned master
    ///
    /// Compare the fingerprint, or its picture, with what `brine-key -f ID` shows on the master.
    Fingerprint,
    /// Trust the master with this fingerprint from now on, and no other
    ///
    /// For a minion that was away while its master's key was rotated. Compare the fingerprint with
    /// `brine-key -F master` on the master. A running minion need not be restarted.
    TrustMaster {
        /// The fingerprint: 64 hex digits, colons or not
        #[arg(value_name = "FINGERPRINT")]
        fingerprint: Fingerprint,
    },
    /// Ask who a master is, before anything is trusted, sent or written
    ///
    /// Reads what the master shows to everybody, checks its signature, and compares the key in it with
    /// the fingerprint that you have from the master (`brine-key -F master`). Exits with 0 if it is the
    /// one, else with 1 and one sentence. Reads no options and writes no file.
    #[command(after_help = "\
Examples:
  brine-minion probe-master master.example.org --expect 3a:aa:9c:...
  brine-minion probe-master 192.0.2.1 --ret-port 5506 --publish-port 5505
                                     without --expect: shows the fingerprint, and verifies nothing")]
    ProbeMaster {
        /// Host name or address of the master
        #[arg(value_name = "HOST", value_parser = host)]
        host: Host,
        /// The master's publish port
        #[arg(long, value_name = "PORT", default_value_t = 4505, value_parser = clap::value_parser!(u16).range(1..))]
        publish_port: u16,
        /// The master's return port
        #[arg(long, value_name = "PORT", default_value_t = 4506, value_parser = clap::value_parser!(u16).range(1..))]
        ret_port: u16,
        /// The fingerprint that its key should have: 64 hex digits, colons or not
        #[arg(long, value_name = "FINGERPRINT")]
        expect: Option<Fingerprint>,
        /// How many seconds all of it may take
        #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = clock::seconds)]
        timeout: Duration,
    },
    /// Say whether this minion can work, and what to do if not
    ///
    /// Looks at its options, files, key and disk, the way to the master, the master's key and its verdict
    /// on this minion's key, and compares the clocks. Works with and without a running minion, and disturbs
    /// none. Exits with 1 when something does not work.
    #[command(after_help = "\
Examples:
  brine-minion doctor
  brine-minion doctor --out json           for programs: about, grade (ok, warn, fail), says, advice
  brine-minion doctor --timeout 1          do not wait long for a master that does not answer")]
    Doctor {
        /// The form of the output: nested, json, yaml, txt, raw, pprint, newline_values_only, table,
        /// no_return or quiet
        #[arg(long, value_name = "FORM", default_value = "nested")]
        out: Format,
        /// How many seconds the master may take for each step
        #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = clock::seconds)]
        timeout: Duration,
    },
    /// Take over the id and the key that this machine has under Salt
    ///
    /// Stop brine-minion first. Salt's files are left as they are; the master has the key from
    /// `brine-key import --from-salt DIR`, or sees it knock and shows the same fingerprint.
    AdoptSalt {
        /// Folder of Salt's minion.pem [default: /etc/salt/pki/minion]
        #[arg(long, value_name = "DIR")]
        pki: Option<PathBuf>,
        /// Folder of Salt's minion_id, minion and minion.d [default: two above that]
        #[arg(long, value_name = "DIR")]
        config: Option<PathBuf>,
    },
    /// Run a detached job, and write down how it ended
    #[command(hide = true)]
    Supervise {
        /// The job's folder
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Completion of this command line for a shell
    #[command(after_help = completion_examples!("brine-minion"))]
    Completion {
        /// The shell.
        #[command(subcommand)]
        shell: Shell,
    },
    /// Write manual pages
    #[command(hide = true)]
    Man(Pages),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_of_call_stand_anywhere() {
        for words in [
            &["brine-minion", "--root-dir", "/r", "call", "--out", "json", "test.echo", "-1"][..],
            &["brine-minion", "call", "test.echo", "-1", "--out", "json", "--root-dir", "/r"],
        ] {
            let cli = Cli::parse_from(words);
            assert_eq!(cli.common.root_dir, Some(PathBuf::from("/r")));
            let Some(Command::Call { out, arguments, .. }) = cli.command else { panic!("{words:?}") };
            assert_eq!((out, arguments), (Format::Json, vec!["-1".to_owned()]));
        }
    }
}
