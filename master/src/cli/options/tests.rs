//! Command lines, and what they are taken for.

use std::time::Duration;

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
        ("jobs last --failed", Kind::Noun),
        ("jobs signal 20261122060732123407 HUP", Kind::Noun),
        ("minions status", Kind::Noun),
        ("completion bash", Kind::Noun),
        ("completion test.ping", Kind::Run),
        ("man --to pages", Kind::Noun),
        ("man test.ping", Kind::Run),
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
        ("doctor --minion web1", Kind::Noun),
        ("doctor test.ping", Kind::Run),
        ("key -L", other("brine-key", "-L")),
        ("--root-dir M key -A -y", other("brine-key", "--root-dir M -A -y")),
        ("key ledger verify", other("brine-key", "ledger verify")),
        ("key suspend web1 -y", other("brine-key", "suspend web1 -y")),
        ("--root-dir M key history web1", other("brine-key", "--root-dir M history web1")),
        ("key rotate-master", other("brine-key", "rotate-master")),
        ("key completion bash", other("brine-key", "completion bash")),
        ("key test.ping", Kind::Run),
        ("tui", other("brine-tui", "")),
        ("tui completion zsh", other("brine-tui", "completion zsh")),
        ("tui test.ping", Kind::Run),
        ("-Z server list", Kind::Run),
        ("-G target get", Kind::Run),
        ("-vC minions list", Kind::Run),
        ("--nodegroup jobs list", Kind::Run),
        ("--preview-target jobs", Kind::Run),
        ("--delimiter : jobs list", Kind::Noun),
        ("target get -G os:Debian", Kind::Noun),
        ("--out json target get *", Kind::Noun),
        ("target test.ping", Kind::Run),
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
    assert_eq!(parse("web1 a.b x=1 --no-parse=x,y").running.words.no_parse, words("x y"));
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
        "-G -C web1 a.b",
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
