//! Manual pages, completion and the short help: what packagers and newcomers look at first.

use std::fs;
use std::path::Path;
use std::process::Command;

use brine_tests::binaries::program;
use brine_tests::fleet::Fleet;
use brine_tests::process::Done;

/// The programs that write pages, with what each has pages about besides.
const PROGRAMS: [(&str, &[&str]); 4] = [
    ("brine", &["jobs", "minions", "target", "pillar", "server", "token", "events", "completion", "doctor"]),
    ("brine-key", &[]),
    ("brine-tui", &[]),
    ("brine-minion", &[]),
];

fn run(name: &str, words: &[&str]) -> Done {
    let mut command = Command::new(program(name));
    command.args(words);
    Done::run(command).expect(0)
}

/// The long options that a help lists, and the other names that it tells of them.
fn options(help: &str) -> Vec<&str> {
    let begun = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    // The end of a list of other names, on a line of its own.
    let begun = begun.filter(|line| !line.split(' ').next().is_some_and(|word| word.ends_with(']')));
    let long = begun.filter_map(|line| line.split([' ', ',', '=', '[']).find(|word| word.starts_with("--")));
    let lists = help.split("[alias").skip(1).filter_map(|rest| rest.split(']').next());
    let aliases = lists.flat_map(|list| list.split([' ', ',', '\n'])).filter(|word| word.starts_with("--"));
    long.chain(aliases).collect()
}

/// The sub-commands that a help lists, but `help` itself.
fn commands(help: &str) -> Vec<&str> {
    let listed = help.lines().skip_while(|line| !matches!(*line, "Commands:" | "Words:")).skip(1);
    let words = listed.take_while(|line| line.starts_with("  ")).filter(|line| !line.starts_with("   "));
    words.filter_map(|line| line.split_whitespace().next()).filter(|word| *word != "help").collect()
}

/// Holds the help of a command against its page, and so on for its sub-commands. Gives how many
/// options there were.
fn compare(pages: &Path, name: &str, words: &[&str], more: &[&str]) -> usize {
    let help = run(name, &[words, &["--help"]].concat()).stdout;
    let file = [&[name], words].concat().join("-");
    let page = fs::read_to_string(pages.join(format!("{file}.1"))).expect(&file).replace("\\-", "-");
    let options = options(&help);
    assert!(options.contains(&"--help"), "{file}: {help}");
    for option in &options {
        let is_named = page.match_indices(option).any(|(at, _)| {
            let next = page[at + option.len()..].chars().next();
            next.is_none_or(|next| !next.is_alphanumeric() && next != '-')
        });
        assert!(is_named, "{file}.1 does not name {option}");
    }
    let below = commands(&help);
    let below = below.iter().chain(more);
    options.len() + below.map(|word| compare(pages, name, &[words, &[word]].concat(), &[])).sum::<usize>()
}

#[test]
fn pages_name_every_option_of_every_command() {
    for (name, more) in PROGRAMS {
        let folder = tempfile::tempdir().unwrap();
        let pages = folder.path().join("man1");
        let said = run(name, &["man", "--to", pages.to_str().unwrap()]).stdout;
        assert!(said.contains(&format!("{name}.1")), "{said}");
        let found = compare(&pages, name, &[], more);
        let least = if name == "brine-tui" { 10 } else { 40 };
        assert!(found >= least, "{name}: {found} options");
        if name == "brine" {
            compare(&pages, "brine-master", &[], &[]);
        }
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for (name, _) in PROGRAMS {
        let mut command = Command::new(program(name));
        command.args(["man", "--to"]).arg(&file);
        let done = Done::run(command).expect(1);
        let expected = format!("{name}: cannot write manual pages into {}: ", file.display());
        assert!(done.stderr.starts_with(&expected), "{}", done.stderr);
    }
}

/// What bash offers behind a half-typed line, through the script that is installed.
pub(crate) fn offered(line: &str) -> Vec<String> {
    let name = line.split(' ').next().expect("a program");
    let script = format!(
        "source <({name} completion bash)\n\
         COMP_LINE={line:?}; COMP_POINT=${{#COMP_LINE}}; read -ra COMP_WORDS <<< \"$COMP_LINE\"\n\
         case \"$COMP_LINE\" in *' ') COMP_WORDS+=('');; esac\n\
         COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_TYPE=9\n\
         asks=$(complete -p {name} | sed -E 's/.*-F ([^ ]+).*/\\1/')\n\
         compopt() {{ :; }}\n\
         $asks {name} \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"\n\
         printf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
    );
    let folder = program(name).parent().unwrap().to_owned();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.args(["--norc", "-c", &script]).env("PATH", path);
    let done = Done::run(command).expect(0);
    assert_eq!(done.stderr, "", "nothing may land in the line that somebody types");
    done.stdout.lines().map(|word| word.trim_end().to_owned()).filter(|word| !word.is_empty()).collect()
}

#[test]
fn bash_completes_every_program() {
    for (line, expected) in [
        ("brine jobs sig", "signal"),
        ("brine-key rotate-master --gr", "--grace"),
        ("brine-key hist", "history"),
        ("brine-tui --root", "--root-dir"),
        ("brine-minion probe-master --exp", "--expect"),
        ("brine-minion adop", "adopt-salt"),
    ] {
        assert_eq!(offered(line), [expected], "{line}");
    }
    for (name, _) in PROGRAMS {
        for shell in ["bash", "zsh", "fish"] {
            let script = run(name, &["completion", shell]).stdout;
            assert!(script.contains("BRINE_COMPLETE") && script.contains(name), "{name}, {shell}: {script}");
        }
        let help = run(name, &["completion", "--help"]).stdout;
        assert!(help.contains(&format!("source <({name} completion bash)")), "{help}");
    }
}

#[test]
fn a_tab_offers_the_keys_that_an_act_is_for() {
    let mut fleet = Fleet::start();
    let _m1 = fleet.minion("m1");
    let (m2, m3) = (fleet.stranger("m2"), fleet.stranger("m3"));
    fleet.until_key(&m2, "pending");
    fleet.until_key(&m3, "pending");
    let root = format!("brine-key --root-dir {}", fleet.root().display());
    let offered = |words: &str| offered(&format!("{root} {words}"));
    assert_eq!(offered("-a m"), ["m2", "m3"]);
    assert_eq!(offered("-a m3,m"), ["m3,m2", "m3,m3"]);
    assert_eq!(offered("--include-all -r m"), ["m1", "m2", "m3"]);
    assert_eq!(offered("-d m"), ["m1", "m2", "m3"]);
    assert_eq!(offered("suspend m"), ["m1"]);
    assert_eq!(offered("history m3"), ["m3"]);
    assert!(offered("resume m").is_empty());
    fleet.kill_master();
    assert!(offered("-d m").is_empty());
}

#[test]
fn the_short_help_is_a_part_of_the_long_one() {
    let (short, long) = (run("brine", &["-h"]).stdout, run("brine", &["--help"]).stdout);
    assert!(short.lines().count() <= 40, "{short}");
    let (few, all) = (options(&short), options(&long));
    assert!(few.len() > 10 && few.len() * 2 < all.len(), "{few:?} of {all:?}");
    assert!(few.iter().all(|option| all.contains(option)), "{few:?} of {all:?}");
    assert!(long.contains("Exit codes:"), "{long}");
}
