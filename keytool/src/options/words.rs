//! What salt-key never had, as words.

use std::ffi::OsString;
use std::path::PathBuf;

use brine_local::completion::{ArgValueCompleter, Shell};
use brine_local::completion_examples;
use brine_local::manual::Pages;
use brine_local::text::escape;
use brine_protocol::MinionId;
use clap::{Args, Subcommand};

use crate::complete;

/// A word and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub(crate) enum Word {
    /// Cut matching accepted minions off at once and keep their keys
    Suspend {
        /// Ids or globs, separated by commas.
        #[arg(value_name = "MATCH", add = ArgValueCompleter::new(complete::accepted))]
        keys: String,
    },
    /// Let matching suspended minions in again
    Resume {
        /// Ids or globs, separated by commas.
        #[arg(value_name = "MATCH", add = ArgValueCompleter::new(complete::suspended))]
        keys: String,
    },
    /// Show every decision about an id: who, when, why, which key
    History {
        /// The minion id.
        #[arg(add = ArgValueCompleter::new(complete::id))]
        id: MinionId,
    },
    /// Follow what happens to keys, one line each, until Ctrl-C
    Watch {
        /// Also show each time a waiting key knocks again.
        #[arg(long)]
        seen: bool,
    },
    /// Take in the keys of a Salt master, so that its fleet moves here without new keys
    Import {
        /// Salt's pki folder: /etc/salt/pki/master, or the one above it.
        #[arg(long, value_name = "DIR", required = true)]
        from_salt: PathBuf,
        /// Show what would be taken in, and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Write the keys as a Salt master keeps them
    Export {
        /// Salt's pki folder: /etc/salt/pki/master, or the one above it.
        #[arg(long, value_name = "DIR", required = true)]
        to_salt: PathBuf,
        /// Replace keys there that are other than ours.
        #[arg(long)]
        force: bool,
    },
    /// Give the master a new key, with a grace in which minions learn it
    RotateMaster(Rotation),
    /// Look whether everything about keys is as it should be, and say what to do
    Doctor,
    /// Check or mend the ledger while the master is stopped
    Ledger {
        #[command(subcommand)]
        verb: LedgerVerb,
    },
    /// Completion of this command line for a shell, with the ids of keys
    #[command(after_help = completion_examples!("brine-key"))]
    Completion {
        #[command(subcommand)]
        shell: Shell,
    },
    /// Write manual pages
    #[command(hide = true)]
    Man(Pages),
    /// What Salt's manuals write behind -F.
    #[command(hide = true)]
    Master,
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

/// What to do with the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub(crate) enum LedgerVerb {
    /// Read every line and check the chain
    Verify,
    /// Take damaged lines out, and record who accepted that
    Repair,
}

/// `rotate-master`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct Rotation {
    /// How long minions may learn the new key before it takes over: 7d, 12h, 1d12h, 30m, 0.
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = brine_local::clock::span)]
    pub(crate) grace: u64,
    /// Show the rotation that is under way, and who has not learned the new key.
    #[arg(long, conflicts_with_all = ["grace", "finish", "withdraw"])]
    pub(crate) status: bool,
    /// Let the new key take over now.
    #[arg(long, conflicts_with_all = ["grace", "withdraw"])]
    pub(crate) finish: bool,
    /// Keep the old key and forget the new one.
    #[arg(long, conflicts_with = "grace")]
    pub(crate) withdraw: bool,
}

/// The words that an operator may have meant.
const WORDS: [&str; 10] = [
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
];

/// Words that are flags here, as they are in salt-key.
const FLAGS: [(&str, &str); 9] = [
    ("accept", "-a ID"),
    ("accept-all", "-A"),
    ("reject", "-r ID"),
    ("reject-all", "-R"),
    ("delete", "-d ID"),
    ("remove", "-d ID"),
    ("list", "-L"),
    ("finger", "-f ID"),
    ("print", "-p ID"),
];

impl Word {
    /// Why the word cannot stand here, if it cannot.
    pub(super) fn misplaced(&self, has_action: bool) -> Option<String> {
        match self {
            Word::Other(words) => {
                let word = words.first().map(|word| word.to_string_lossy()).unwrap_or_default();
                Some(unknown(&word, has_action))
            }
            Word::Master => Some("the master's own fingerprint is in: brine-key -F".to_owned()),
            _ if has_action => Some("give a flag that acts or a word, not both".to_owned()),
            Word::Suspend { .. }
            | Word::Resume { .. }
            | Word::History { .. }
            | Word::Watch { .. }
            | Word::Import { .. }
            | Word::Export { .. }
            | Word::RotateMaster(_)
            | Word::Doctor
            | Word::Ledger { .. }
            | Word::Completion { .. }
            | Word::Man(_) => None,
        }
    }
}

fn unknown(word: &str, has_action: bool) -> String {
    let shown = escape(word);
    if has_action {
        return format!(
            "{shown:?} is one word too many; several ids are one comma list, as in: brine-key -a web1,db1"
        );
    }
    if let Some((_, flag)) = FLAGS.iter().find(|(known, _)| *known == word) {
        return format!("{shown:?} is a flag: brine-key {flag}");
    }
    let begun = WORDS.iter().find(|known| word.len() >= 3 && known.starts_with(word));
    let nearest = begun.or_else(|| {
        WORDS
            .iter()
            .map(|known| (strsim::damerau_levenshtein(word, known), known))
            .filter(|(distance, known)| *distance <= known.len().div_ceil(3))
            .min()
            .map(|(_, known)| known)
    });
    match nearest {
        Some(known) => format!("nothing is known to do with {shown:?}; did you mean: brine-key {known}"),
        None => format!(
            "nothing is known to do with {shown:?}; keys are named behind a flag, as in: brine-key -a web1; \
             words are {}",
            WORDS.join(", ")
        ),
    }
}
