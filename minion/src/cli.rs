//! The command line.

use std::path::PathBuf;

use brine_local::output::Format;
use brine_protocol::Fingerprint;
use clap::{Args, Parser, Subcommand};

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
brine-key -F prints) into the option master_finger.

SIGTERM and SIGINT stop the minion: jobs that run are killed, and the master hears at the next
start that they were interrupted."
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

/// What else the program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a function here, without a master
    ///
    /// Arguments are typed as on the master: `3` is a number, `name=value` a keyword argument.
    /// Put `--` before an argument that begins with a dash. Exits with 11 when the function's retcode is not 0.
    #[command(after_help = "\
Examples:
  brine-minion call test.ping
  brine-minion call cmd.run 'uname -r' cwd=/tmp
  brine-minion call grains.items --out json
  brine-minion call sys.doc cmd.run         what a function does")]
    Call {
        /// The form of the output: nested, json, yaml, txt, raw or quiet
        #[arg(long, value_name = "FORM", default_value = "nested")]
        out: Format,
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
