//! The options that say how a target is written, the same for `brine` and `brine target get`.

use brine_protocol::server::RecordTerm;
use brine_protocol::target::{Target, TargetKind};
use clap::{Args, Subcommand};

use crate::cli::failure::Failure;

/// Where help lists these options.
const TARGETS: &str = "Whom (one of them; without any, the target is a glob over ids: 'web*', 'db[1-3]')";

/// What makes the first word a target whatever it is.
const MARKS: [(&str, char); 11] = [
    ("pcre", 'E'),
    ("list", 'L'),
    ("grain", 'G'),
    ("grain-pcre", 'P'),
    ("pillar", 'I'),
    ("pillar-pcre", 'J'),
    ("ipcidr", 'S'),
    ("nodegroup", 'N'),
    ("compound", 'C'),
    ("range", 'R'),
    ("record", 'Z'),
];

const NO_RANGE: &str = "-R asks a SECO range server, and there is none here: name the minions with -L \
    (-L web1,web2), by a pattern (-E 'web[0-9]+$', or the glob 'web[1-9]'), or by a nodegroup of master.yaml (-N web)";

/// One kind of target at most.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[group(id = "target kind", multiple = false)]
struct Kinds {
    /// A regular expression over ids, anchored at the start only: -E 'web[0-9]+\.lan$'.
    #[arg(short = 'E', long, help_heading = TARGETS)]
    pcre: bool,
    /// Ids, separated by commas or blanks: -L web1,web2.
    #[arg(short = 'L', long, help_heading = TARGETS)]
    list: bool,
    /// A grain and a glob over its value: -G 'os:Deb*'; deeper keys too: -G 'ip4_interfaces:eth0:10.*'.
    #[arg(short = 'G', long, help_heading = TARGETS)]
    grain: bool,
    /// A grain and a regular expression over its value: -P 'os:(Debian|Ubuntu)$'.
    #[arg(short = 'P', long = "grain-pcre", help_heading = TARGETS)]
    grain_pcre: bool,
    /// A key of the pillar and a glob over its value: -I 'role:web'.
    #[arg(short = 'I', long, help_heading = TARGETS)]
    pillar: bool,
    /// A key of the pillar and a regular expression over its value (administrators only): -J 'role:(web|db)$'.
    #[arg(short = 'J', long = "pillar-pcre", help_heading = TARGETS)]
    pillar_pcre: bool,
    /// An address or a network, IPv4 or IPv6, of the minion: -S 10.1.0.0/16.
    #[arg(short = 'S', long, help_heading = TARGETS)]
    ipcidr: bool,
    /// A nodegroup of master.yaml: -N web.
    #[arg(short = 'N', long, help_heading = TARGETS)]
    nodegroup: bool,
    /// Words of all these kinds with and, or, not and ( ): -C 'G@os:Debian and ( web* or L@db1,db2 ) and not N@old'.
    #[arg(short = 'C', long, help_heading = TARGETS)]
    compound: bool,
    /// Not here: it asks a SECO range server. Use -L, -E or -N.
    #[arg(short = 'R', long, help_heading = TARGETS)]
    range: bool,
    /// A field of the server record that a minion is linked to, and a glob: -Z zone:Dijon.
    #[arg(short = 'Z', long, help_heading = TARGETS)]
    record: bool,
}

/// How a target is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub(in crate::cli) struct TargetFlags {
    #[command(flatten)]
    kinds: Kinds,
    /// What stands between keys and pattern of -G, -P, -I and -J instead of ':': -G 'path|C:*' --delimiter '|'.
    #[arg(long, value_name = "CHARACTER", help_heading = TARGETS)]
    delimiter: Option<char>,
}

/// `brine target …`
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TargetVerb {
    /// Say which minions a target means, and why. Runs nothing.
    #[command(after_help = GET_EXAMPLES)]
    Get {
        #[command(flatten)]
        flags: TargetFlags,
        /// The target.
        #[arg(value_name = "TARGET")]
        expression: String,
    },
}

const GET_EXAMPLES: &str = "\
Examples:
  brine target get 'web*'
  brine target get -C 'G@os:Debian and not L@web1,web2'
  brine target get -G roles:db --out json

WHY lists the terms of the target in the order of writing, with what each is for that minion. What a minion
is asked is judged again by the minion itself, with what it knows then.";

/// Whether an option, written in full and without its dashes, says that the first word is a target.
pub(super) fn marks_target(long: &str) -> bool {
    long == "preview-target" || MARKS.iter().any(|(name, _)| *name == long)
}

/// The same for the letter of one.
pub(super) fn letter_marks_target(letter: char) -> bool {
    MARKS.iter().any(|(_, mark)| *mark == letter)
}

impl TargetFlags {
    /// Whether one of them says what the first word is.
    pub(in crate::cli) fn has_kind(&self) -> bool {
        self.kinds != Kinds::default()
    }

    /// The target that was written so.
    pub(in crate::cli) fn target(&self, written: &str) -> Result<Target, Failure> {
        let kind = self.kind()?;
        let takes_delimiter = matches!(
            kind,
            TargetKind::Grain | TargetKind::GrainPcre | TargetKind::Pillar | TargetKind::PillarPcre
        );
        if self.delimiter.is_some() && !takes_delimiter {
            return Err(Failure::Usage(
                "--delimiter goes with -G, -P, -I and -J; in a compound it stands behind the letter: \
                 -C 'G|@path|C:* or web1'"
                    .to_owned(),
            ));
        }
        let expression = match kind {
            // Salt takes a list with blanks as well.
            TargetKind::List => {
                let ids: Vec<&str> = written.split([',', ' ']).filter(|id| !id.is_empty()).collect();
                ids.join(",")
            }
            TargetKind::Record => {
                written.parse::<RecordTerm>().map_err(|error| {
                    Failure::Usage(format!("{written:?} names no server records: {error}"))
                })?;
                written.to_owned()
            }
            _ => written.to_owned(),
        };
        Ok(Target { kind, expression, delimiter: self.delimiter })
    }

    fn kind(&self) -> Result<TargetKind, Failure> {
        let Kinds {
            pcre,
            list,
            grain,
            grain_pcre,
            pillar,
            pillar_pcre,
            ipcidr,
            nodegroup,
            compound,
            range,
            record,
        } = self.kinds;
        if range {
            return Err(Failure::Usage(NO_RANGE.to_owned()));
        }
        let kinds = [
            (pcre, TargetKind::Pcre),
            (list, TargetKind::List),
            (grain, TargetKind::Grain),
            (grain_pcre, TargetKind::GrainPcre),
            (pillar, TargetKind::Pillar),
            (pillar_pcre, TargetKind::PillarPcre),
            (ipcidr, TargetKind::Ipcidr),
            (nodegroup, TargetKind::Nodegroup),
            (compound, TargetKind::Compound),
            (record, TargetKind::Record),
        ];
        Ok(kinds.into_iter().find(|(is_set, _)| *is_set).map_or(TargetKind::Glob, |(_, kind)| kind))
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        flags: TargetFlags,
        target: String,
    }

    fn read(words: &[&str]) -> Result<Target, String> {
        let line = Line::try_parse_from(std::iter::once(&"brine").chain(words)).map_err(|e| e.to_string())?;
        line.flags.target(&line.target).map_err(|failure| failure.to_string())
    }

    #[test]
    fn each_option_is_a_kind() {
        for (short, long, kind) in [
            ("-E", "--pcre", TargetKind::Pcre),
            ("-L", "--list", TargetKind::List),
            ("-G", "--grain", TargetKind::Grain),
            ("-P", "--grain-pcre", TargetKind::GrainPcre),
            ("-I", "--pillar", TargetKind::Pillar),
            ("-J", "--pillar-pcre", TargetKind::PillarPcre),
            ("-S", "--ipcidr", TargetKind::Ipcidr),
            ("-N", "--nodegroup", TargetKind::Nodegroup),
            ("-C", "--compound", TargetKind::Compound),
        ] {
            for option in [short, long] {
                assert_eq!(read(&[option, "a:b"]), Ok(Target::new(kind, "a:b")), "{option}");
            }
        }
        assert_eq!(read(&["a:b"]), Ok(Target::glob("a:b")));
        assert_eq!(read(&["-Z", "zone:Dijon"]), Ok(Target::new(TargetKind::Record, "zone:Dijon")));
        assert_eq!(read(&["-L", "m1, m2 m3,"]), Ok(Target::list("m1,m2,m3")));
        let delimited = Target { delimiter: Some('|'), ..Target::new(TargetKind::Grain, "a|b:c") };
        assert_eq!(read(&["-G", "a|b:c", "--delimiter", "|"]), Ok(delimited));
    }

    #[test]
    fn what_makes_no_sense_is_explained() {
        let both = read(&["-E", "-G", "a:b"]).expect_err("two kinds");
        assert!(both.contains("'--pcre' cannot be used with '--grain'"), "{both}");
        assert!(read(&["-R", "%web"]).expect_err("no ranges").contains("-L"));
        assert!(read(&["-L", "a", "--delimiter", "|"]).expect_err("no keys").contains("-G, -P, -I and -J"));
        assert!(read(&["-G", "a", "--delimiter", "||"]).is_err());
        assert!(read(&["-Z", "Dijon"]).expect_err("no term").contains("FIELD:GLOB"));
    }

    #[test]
    fn every_kind_marks_a_target() {
        let command = Line::command();
        let options: Vec<(String, char)> = command
            .get_arguments()
            .filter(|arg| !arg.get_action().takes_values())
            .filter_map(|arg| Some((arg.get_long()?.to_owned(), arg.get_short()?)))
            .filter(|(long, _)| !matches!(long.as_str(), "help" | "version"))
            .collect();
        let marks: Vec<(String, char)> =
            MARKS.iter().map(|(long, short)| ((*long).to_owned(), *short)).collect();
        assert_eq!(options, marks);
    }
}
