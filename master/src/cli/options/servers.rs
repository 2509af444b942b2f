//! The words of `brine server`.

use std::path::PathBuf;

use brine_protocol::control::KeyFate;
use brine_protocol::server::RecordTerm;
use brine_protocol::{Fingerprint, MinionId};
use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::Running;

pub(super) const SERVER_EXAMPLES: &str = "\
A server record exists before its machine does. <SERVER> is its id, its external id, or its name.

The machine knocks and you pair it:
  brine server create --name web1 --model scribe-2.9 --zone Dijon
  brine server pair web1 web1.example.org        shows the key's fingerprint and asks

The key is made for the record and carried to the machine:
  brine server create --name web2 --model scribe-2.9 --zone Dijon --preseed -o web2.bundle

The machine makes its own key and shows a token, which is better still:
  brine server connect-script web3 -o connect-web3.sh

And then:
  brine server find zone:Dijon label.role:files
  brine server run web1 test.ping
  brine -Z 'zone:Dijon' test.ping";

const CREATE_EXAMPLES: &str = "\
Examples:
  brine server create --name web1 --model scribe-2.9 --zone Dijon --label role=files
  brine server create --name web2 --model scribe-2.9 --preseed -o web2.bundle
  brine server create --name web3 --model scribe-2.9 --external-id 4711   twice: still one record";

const IMPORT_EXAMPLES: &str = "\
A CSV file begins with a line that names its columns, separated by commas, semicolons or tabs: name and model,
and any of zone, site, minion_id, external_id and label.NAME. An empty cell says nothing.
A JSON file is an array of objects with the same names, its labels an object; a file of JSON lines has one
object a line. One fault makes nothing at all, unless --keep-going; without that a file has at most 10000 records.

Examples:
  brine server import servers.csv --dry-run
  brine server import servers.csv --keep-going --out json    what became of each record
  psql -c \"copy (select ...) to stdout csv header\" | brine server import - --format csv";

const SCRIPT_EXAMPLES: &str = "\
The script needs nothing but sh and brine-minion on the machine. It carries a secret: a new enrolment token of
this record, or with --bundle the key that is made for it.

Examples:
  brine server connect-script web1 --master brine.example.org -o connect-web1.sh
  brine server connect-script web1 | ssh root@web1 sh -s -- --yes";

const PAIR_EXAMPLES: &str = "\
Examples:
  brine server pair web1 web1.example.org               shows the key's fingerprint and asks
  brine server pair web1 web1.example.org --replace     the machine was installed anew
  brine server pair web1 web1.example.org -y --expect FINGERPRINT    for a script that knows the key";

const UNPAIR_EXAMPLES: &str = "\
Examples:
  brine server unpair web1                  shows its minion's key, asks, and rejects that key
  brine server unpair web1 --key keep       the minion stays, as that of no record
  brine server unpair web1 --key delete     the minion may knock again";

const DELETE_EXAMPLES: &str = "\
Examples:
  brine server delete web1                                  asks when it has a minion, whose key is rejected
  brine server delete web1 --key keep --reason 'moved'      its minion stays, as that of no record";

const RUN_SERVER_EXAMPLES: &str = "\
Examples:
  brine server run web1 test.ping
  brine server run web1 cmd.run 'uname -r' -t 30
  brine server run web1 test.arg -- -x      what begins with a dash and is no option";

/// `brine server …`
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ServerVerb {
    /// Make a record, and on request a key for its minion.
    #[command(after_help = CREATE_EXAMPLES)]
    Create(Box<Create>),
    /// All records.
    List {
        /// Only those with a minion.
        #[arg(long, conflicts_with = "unlinked")]
        linked: bool,
        /// Only those without one.
        #[arg(long)]
        unlinked: bool,
    },
    /// Records that match every term, such as zone:Dijon or name:web*.
    Find {
        /// FIELD:GLOB; fields are id, name, model, zone, site, minion_id, external_id and label.NAME.
        #[arg(value_name = "FIELD:GLOB", required = true, value_parser = term)]
        terms: Vec<String>,
    },
    /// One record with all that is known of it.
    Show {
        /// The record: its id, external id or name.
        server: String,
    },
    /// Change what is named, and nothing else.
    Update(Box<Update>),
    /// Forget a record; its history stays.
    #[command(after_help = DELETE_EXAMPLES)]
    Delete {
        /// The record: its id, external id or name.
        server: String,
        #[command(flatten)]
        parting: Parting,
    },
    /// Every decision about a record; of a deleted one by its id.
    History {
        /// The record: its id, external id or name.
        server: String,
    },
    /// Make many records from a file: all of them, or none.
    #[command(after_help = IMPORT_EXAMPLES)]
    Import(Import),
    /// Say that a minion is this server: its key is accepted and linked in one decision.
    #[command(after_help = PAIR_EXAMPLES)]
    Pair(Pair),
    /// Say that a minion is no longer this server.
    #[command(after_help = UNPAIR_EXAMPLES)]
    Unpair {
        /// The record: its id, external id or name.
        server: String,
        #[command(flatten)]
        parting: Parting,
    },
    /// Make a key for a record, accepted and linked, to be carried to the machine.
    Preseed(Preseed),
    /// Fetch the bundle with the key that was made for a record; it is handed out once.
    Bundle {
        /// The record: its id, external id or name.
        server: String,
        /// A file to be made, for you alone; - is the standard output.
        #[arg(short, long, value_name = "FILE")]
        out_file: PathBuf,
    },
    /// Run a function on the minion of a record.
    #[command(after_help = RUN_SERVER_EXAMPLES)]
    Run(Box<Run>),
    /// Print a shell script that connects the machine of a record.
    #[command(after_help = SCRIPT_EXAMPLES)]
    ConnectScript(Script),
}

/// `brine server create`
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Create {
    /// What people call it.
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) name: String,
    /// The kind of server.
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) model: String,
    /// Whose it is.
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) zone: Option<String>,
    /// Where it stands.
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) site: Option<String>,
    /// What else is worth saying; may be repeated.
    #[arg(long, value_name = "NAME=TEXT", value_parser = label)]
    pub(in crate::cli) label: Vec<(String, String)>,
    /// The id that its minion will have.
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) minion_id: Option<MinionId>,
    /// What another application calls it; the same again makes no second record.
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) external_id: Option<String>,
    /// Make a key for it as well, accepted and linked.
    #[arg(long)]
    pub(in crate::cli) preseed: bool,
    /// The name or address by which the minion reaches this master [default: as the master knows it].
    #[arg(long, value_name = "HOST", requires = "preseed")]
    pub(in crate::cli) master: Option<String>,
    /// How long the key waits for its minion [default: 7d].
    #[arg(long, value_name = "TIME", requires = "preseed", value_parser = lifetime)]
    pub(in crate::cli) expires: Option<u64>,
    /// Put the bundle into this new file, for you alone; - is the standard output [default: it stays on the master].
    #[arg(short, long, value_name = "FILE", requires = "preseed")]
    pub(in crate::cli) out_file: Option<PathBuf>,
    /// Why, for the ledger.
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) reason: Option<String>,
}

/// `brine server update`
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args([
    "name", "model", "zone", "no_zone", "site", "no_site", "label", "no_label", "minion_id", "no_minion_id",
    "external_id", "no_external_id",
]))]
pub(in crate::cli) struct Update {
    /// The record: its id, external id or name.
    pub(in crate::cli) server: String,
    /// Another name.
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) name: Option<String>,
    /// Another model.
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) model: Option<String>,
    /// Another zone.
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) zone: Option<String>,
    /// No zone.
    #[arg(long, conflicts_with = "zone")]
    pub(in crate::cli) no_zone: bool,
    /// Another site.
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) site: Option<String>,
    /// No site.
    #[arg(long, conflicts_with = "site")]
    pub(in crate::cli) no_site: bool,
    /// Set a label; may be repeated.
    #[arg(long, value_name = "NAME=TEXT", value_parser = label)]
    pub(in crate::cli) label: Vec<(String, String)>,
    /// Take a label away; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) no_label: Vec<String>,
    /// Another id that its minion will have.
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) minion_id: Option<MinionId>,
    /// Any id will do for its minion.
    #[arg(long, conflicts_with = "minion_id")]
    pub(in crate::cli) no_minion_id: bool,
    /// Another external id.
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) external_id: Option<String>,
    /// No external id.
    #[arg(long, conflicts_with = "external_id")]
    pub(in crate::cli) no_external_id: bool,
    /// Why, for the ledger.
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) reason: Option<String>,
}

/// How a record parts from its minion.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Parting {
    /// What becomes of the minion's key: keep, reject or delete [default: reject].
    #[arg(long, value_name = "FATE", value_parser = fate)]
    pub(in crate::cli) key: Option<KeyFate>,
    /// Do not ask.
    #[arg(short, long)]
    pub(in crate::cli) yes: bool,
    /// Why, for the ledger.
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) reason: Option<String>,
}

/// `brine server import`
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Import {
    /// The file; - is the standard input.
    pub(in crate::cli) file: PathBuf,
    /// What it is [default: as its name ends: .csv, .json, .jsonl].
    #[arg(long, value_name = "FORM")]
    pub(in crate::cli) format: Option<Form>,
    /// Judge every record, and make none.
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// Make those that are good.
    #[arg(long)]
    pub(in crate::cli) keep_going: bool,
    /// Why, for the ledger.
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) reason: Option<String>,
}

/// What an import is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Form {
    /// A heading, then a record a line.
    Csv,
    /// An array of objects.
    Json,
    /// An object a line.
    Jsonl,
}

/// `brine server pair`
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Pair {
    /// The record: its id, external id or name.
    pub(in crate::cli) server: String,
    /// The minion that is this server.
    pub(in crate::cli) minion_id: MinionId,
    /// Only the key with this fingerprint.
    #[arg(long, value_name = "FINGERPRINT")]
    pub(in crate::cli) expect: Option<Fingerprint>,
    /// Reject the key that the record has, and the key that holds the id: the machine was installed anew.
    #[arg(long)]
    pub(in crate::cli) replace: bool,
    /// Do not ask; with --expect it is sure to be the key that you know.
    #[arg(short, long)]
    pub(in crate::cli) yes: bool,
    /// Why, for the ledger.
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) reason: Option<String>,
}

/// `brine server preseed`
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Preseed {
    /// The record: its id, external id or name.
    pub(in crate::cli) server: String,
    /// Reject the key that the record has.
    #[arg(long)]
    pub(in crate::cli) replace: bool,
    /// Do not ask before a minion is cut off.
    #[arg(short, long)]
    pub(in crate::cli) yes: bool,
    /// The name or address by which the minion reaches this master [default: as the master knows it].
    #[arg(long, value_name = "HOST")]
    pub(in crate::cli) master: Option<String>,
    /// How long the key waits for its minion [default: 7d].
    #[arg(long, value_name = "TIME", value_parser = lifetime)]
    pub(in crate::cli) expires: Option<u64>,
    /// Put the bundle into this new file, for you alone; - is the standard output [default: it stays on the master].
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cli) out_file: Option<PathBuf>,
    /// Why, for the ledger.
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) reason: Option<String>,
}

/// `brine server run`
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Run {
    /// The record: its id, external id or name.
    pub(in crate::cli) server: String,
    /// The function, such as test.ping; or several, separated by commas.
    pub(in crate::cli) function: String,
    /// Arguments of the function.
    #[arg(value_name = "ARGUMENT", allow_negative_numbers = true)]
    pub(in crate::cli) words: Vec<String>,
    #[command(flatten)]
    pub(in crate::cli) running: Running,
}

/// `brine server connect-script`
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Script {
    /// The record: its id, external id or name.
    pub(in crate::cli) server: String,
    /// With a new enrolment token; this is what is done when nothing is said.
    #[arg(long, conflicts_with = "bundle")]
    pub(in crate::cli) token: bool,
    /// With the bundle of a key that is made for the record, or that waits to be fetched.
    #[arg(long)]
    pub(in crate::cli) bundle: bool,
    /// The name or address by which the minion reaches this master [default: as the master knows it].
    #[arg(long, value_name = "HOST")]
    pub(in crate::cli) master: Option<String>,
    /// How long the token is good, or the key waits for its minion [default: 24h, 7d].
    #[arg(long, value_name = "TIME", value_parser = lifetime)]
    pub(in crate::cli) expires: Option<u64>,
    /// Put it into this new file, for you alone [default: the standard output].
    #[arg(short, long, value_name = "FILE", default_value = "-", hide_default_value = true)]
    pub(in crate::cli) out_file: PathBuf,
    /// Why, for the ledger.
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) reason: Option<String>,
}

fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=TEXT, such as role=files")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Checked here, and sent as it was written.
fn term(text: &str) -> Result<String, String> {
    text.parse::<RecordTerm>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// A time that is none is no time to wait.
pub(super) fn lifetime(text: &str) -> Result<u64, String> {
    match brine_local::clock::span(text)? {
        0 => Err("it has to last for some time, such as 24h or 7d".to_owned()),
        seconds => Ok(seconds),
    }
}

fn fate(text: &str) -> Result<KeyFate, String> {
    match text {
        "keep" => Ok(KeyFate::Keep),
        "reject" => Ok(KeyFate::Reject),
        "delete" => Ok(KeyFate::Delete),
        _ => Err("a key can be told to keep, reject or delete".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::{Noun, NounLine};
    use super::*;

    fn parse(line: &str) -> Result<Noun, String> {
        let words = std::iter::once("brine").chain(line.split_whitespace());
        NounLine::try_parse_from(words).map(|line| line.noun).map_err(|error| error.to_string())
    }

    fn verb(line: &str) -> ServerVerb {
        match parse(&format!("server {line}")) {
            Ok(Noun::Server { verb: Some(verb) }) => verb,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn good_lines() {
        let ServerVerb::Create(create) = verb(
            "create --name web1 --model m --label a=1 --label b==x --preseed --expires 1d12h -o web1.bundle",
        ) else {
            panic!("another verb")
        };
        assert_eq!(create.label, [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "=x".to_owned())]);
        assert_eq!((create.expires, create.out_file), (Some(129_600), Some("web1.bundle".into())));

        let ServerVerb::Update(update) = verb("update web1 --no-zone --label a= --no-label b") else {
            panic!("another verb")
        };
        assert!(update.no_zone && update.name.is_none());
        assert_eq!((update.label.len(), update.no_label.as_slice()), (1, ["b".to_owned()].as_slice()));

        let ServerVerb::Run(run) = verb("run web1 cmd.run ls cwd=/tmp -5 -t 2 --static") else {
            panic!("another verb")
        };
        assert_eq!((run.server.as_str(), run.function.as_str()), ("web1", "cmd.run"));
        assert_eq!(run.words, ["ls", "cwd=/tmp", "-5"]);
        assert!(run.running.is_static && run.running.timeout.is_some());
        let ServerVerb::Run(run) = verb("run web1 test.arg -- -x") else { panic!("another verb") };
        assert_eq!(run.words, ["-x"]);

        let ServerVerb::Delete { parting, .. } = verb("delete web1 --key delete -y --reason gone") else {
            panic!("another verb")
        };
        assert_eq!((parting.key, parting.yes), (Some(KeyFate::Delete), true));
        assert!(
            matches!(verb("bundle web1 -o -"), ServerVerb::Bundle { out_file, .. } if out_file.as_os_str() == "-")
        );
    }

    #[test]
    fn help_says_how_much_is_taken_and_puts_no_secret_where_all_may_read() {
        let max = brine_protocol::control::IMPORT_MAX.to_string();
        assert!(IMPORT_EXAMPLES.contains(&format!("at most {max} records")));
        for text in [SERVER_EXAMPLES, SCRIPT_EXAMPLES, CREATE_EXAMPLES] {
            assert!(!text.contains(" > "), "{text}");
        }
    }

    #[test]
    fn bad_lines() {
        for (line, why) in [
            ("server create --name web1", "--model"),
            ("server create --name a --model b --label x", "write NAME=TEXT"),
            ("server create --name a --model b -o x", "--preseed"),
            ("server create --name a --model b --minion-id a/b", "a minion id"),
            ("server create --name a --model b --preseed --expires 0", "has to last"),
            ("server create --name a --model b --preseed --expires 7", "write 7d"),
            ("server list --linked --unlinked", "cannot be used with"),
            ("server find", "required"),
            ("server find colour:red", "records have no field \"colour\""),
            ("server find Dijon", "write FIELD:GLOB"),
            ("server update web1", "required"),
            ("server update web1 --reason x", "required"),
            ("server update web1 --zone a --no-zone", "cannot be used with"),
            ("server delete web1 --key forget", "keep, reject or delete"),
            ("server pair web1", "required"),
            ("server pair web1 web1 --expect ab", "fingerprint"),
            ("server connect-script web1 --token --bundle", "cannot be used with"),
            ("server import x --format xml", "xml"),
            ("server run web1", "required"),
            ("token create", "required"),
            ("token create --server a --id-pattern b", "cannot be used with"),
            ("token create --server a --uses 2", "cannot be used with"),
            ("token create --id-pattern a --uses 0", "0"),
        ] {
            let error = parse(line).expect_err(line);
            assert!(error.contains(why), "{line}: {error}");
        }
    }
}
