//! Command lines, as they are typed and as scripts of salt-key have them.

use super::*;

fn line(text: &str) -> Result<Line, i32> {
    let words = std::iter::once("brine-key").chain(text.split_whitespace());
    Line::parse_words(words.map(OsString::from).collect()).map_err(|error| error.exit_code())
}

fn action(text: &str) -> Result<Action, i32> {
    let line = line(text)?;
    let told = line.notes().and_then(|_| line.action());
    told.map_err(|failure| i32::from(failure.exit().code()))
}

fn states_of(text: &str) -> Vec<KeyState> {
    match action(text) {
        Ok(Action::Act { whom, .. }) => whom.states,
        Ok(Action::List { states, .. }) => states,
        other => panic!("{text}: {other:?}"),
    }
}

fn why(text: &str) -> String {
    let line = line(text).expect("clap takes it");
    let told = line.notes().and_then(|_| line.action());
    told.expect_err("a refusal").to_string()
}

#[test]
fn salts_way_to_ask_for_the_masters_fingerprint() {
    for text in ["-F master", "-F master --out json", "-f master"] {
        assert!(matches!(action(text), Ok(Action::Finger { with_local: true, .. })), "{text}");
    }
    assert!(action("-F other").is_err());
    assert_eq!(action("master"), Err(2));
    assert!(matches!(action("-f web1"), Ok(Action::Finger { with_local: false, .. })));
}

#[test]
fn which_states() {
    use KeyState::{Accepted, Denied, Pending, Rejected, Suspended};
    for (text, expected) in [
        ("", KEY_STATES.to_vec()),
        ("-L", KEY_STATES.to_vec()),
        ("--long", KEY_STATES.to_vec()),
        ("-l all", KEY_STATES.to_vec()),
        ("-l accfoo", vec![Accepted]),
        ("-l pre", vec![Pending]),
        ("-l unaccepted", vec![Pending]),
        ("-l rej", vec![Rejected]),
        ("--list=denied --long", vec![Denied]),
        ("-l sus", vec![Suspended]),
        ("-a x", vec![Pending]),
        ("-A --include-rejected", vec![Pending, Rejected]),
        ("-a x --include-all", vec![Pending, Rejected]),
        ("-a x --include-denied", vec![Pending, Denied]),
        ("-r x", vec![Pending]),
        ("-R --include-accepted", vec![Pending, Accepted, Suspended]),
        ("-r x --include-all --include-denied", vec![Pending, Accepted, Suspended, Denied]),
        ("-d x", KEY_STATES.to_vec()),
        ("--suspend x", vec![Accepted]),
        ("suspend x", vec![Accepted]),
        ("-y resume x --reason why", vec![Suspended]),
    ] {
        assert_eq!(states_of(text), expected, "{text}");
    }
}

#[test]
fn bad_lines() {
    for text in [
        "-l foo",
        "--unknown",
        "-A -R",
        "-a",
        "-a x -d y",
        "-D junk",
        "web1",
        "ledger",
        "ledger verify -A",
        "suspend",
        "suspend x -A",
        "history",
        "history ../x",
        "import",
        "export --to-salt",
        "rotate-master --finish --withdraw",
        "rotate-master --grace 7",
        "rotate-master --status --grace 7d",
        "--gen-keys x --keysize abc",
        "-A --wait-for 0",
        "-A --timeout -1",
        "-a x --expect aa",
        "-a ,",
        "-L --out nosuch",
        "-a x --long",
        "--expect aa:bb",
        "watch --rotate-aes-key=maybe",
        "-d x --rotate-aes-key=maybe",
    ] {
        assert_eq!(action(text), Err(2), "{text}");
    }
}

#[test]
fn a_flag_before_a_word_is_not_dropped_for_one_behind_it() {
    let pairs = "aa:".repeat(31) + "aa";
    for (before, behind) in [
        (format!("--expect {pairs}"), format!("--expect={pairs}")),
        ("--reason a".to_owned(), "--reason b".to_owned()),
        ("--as=a".to_owned(), "--as a".to_owned()),
        ("--root-dir /x".to_owned(), "--root-dir /y".to_owned()),
    ] {
        assert_eq!(action(&format!("{before} suspend db1 {behind}")), Err(2), "{before}");
        assert!(action(&format!("{before} suspend db1")).is_ok(), "{before}");
        assert!(action(&format!("suspend db1 {behind}")).is_ok(), "{behind}");
    }
    assert!(action("--reason=--reason suspend db1 --as a").is_ok());
}

#[test]
fn flags_of_salt_that_mean_nothing_here_are_taken() {
    let everything = "-y -d x --hard-crash --log-level=debug --log-file=/x --log-file-level=all --state-output=full \
                      --state_verbose=True --auto-create --priv a --pub b --signature-path c";
    for (text, notes) in [
        (everything, 0),
        ("-d x --rotate-aes-key=True", 0),
        ("-d x --rotate-aes-key False", 1),
        ("-d x --preserve-minions=True", 1),
        ("-d x --preserve-minions=False", 0),
        ("--preserve-minions -d x", 1),
    ] {
        let line = line(text).expect("clap takes it");
        assert!(matches!(line.action(), Ok(Action::Act { act: Act::Delete, .. })), "{text}");
        assert_eq!(line.notes().expect("only notes").len(), notes, "{text}");
    }
    for (text, reason) in [
        ("--gen-signature --auto-create", "rotate-master"),
        ("-L --saltfile x", "-c"),
        ("-L --auth pam", "--as"),
        ("-L --eauth pam", "--as"),
        ("-L -T", "--as"),
        ("-L --username x --password y", "--as"),
        ("-L -u nosuchuser", "--as"),
    ] {
        assert!(why(text).contains(reason), "{text}: {}", why(text));
    }
    let me = nix::unistd::User::from_uid(nix::unistd::Uid::current()).ok().flatten();
    if let Some(me) = me {
        assert!(action(&format!("-L -u {}", me.name)).is_ok());
    }
}

#[test]
fn a_wrong_word_gets_the_nearest_known_one() {
    for (text, hint) in [
        ("wach", "brine-key watch"),
        ("histroy web1", "brine-key history"),
        ("accept web1", "brine-key -a ID"),
        ("list", "brine-key -L"),
        ("web1", "brine-key -a web1"),
        ("-a web1 db1", "-a web1,db1"),
        ("rotate", "rotate-master"),
        ("-L watch", "not both"),
    ] {
        assert!(why(text).contains(hint), "{text}: {}", why(text));
    }
    assert!(!why("\u{1b}[2J").contains('\u{1b}'));
}

#[test]
fn words_take_flags_before_and_behind_them() {
    for text in ["ledger verify --root-dir /x", "--root-dir /x ledger verify", "ledger --root-dir /x verify"]
    {
        let line = line(text).expect("a good line");
        assert_eq!(
            line.action().ok(),
            Some(Action::Word(Word::Ledger { verb: LedgerVerb::Verify })),
            "{text}"
        );
        assert_eq!(line.common.paths().root(), std::path::Path::new("/x"), "{text}");
    }
    let parsed = line("import --from-salt /x --dry-run -y --out json").expect("a good line");
    assert!(parsed.common.yes && parsed.common.is_for_programs());
    let expected = Word::Import { from_salt: "/x".into(), dry_run: true };
    assert_eq!(parsed.action().ok(), Some(Action::Word(expected)));
    let rotation = |grace, finish| Rotation { grace, status: false, finish, withdraw: false };
    for (text, expected) in [
        ("rotate-master", rotation(604_800, false)),
        ("rotate-master --grace 1d12h", rotation(129_600, false)),
        ("rotate-master --finish", rotation(604_800, true)),
    ] {
        assert_eq!(action(text), Ok(Action::Word(Word::RotateMaster(expected))), "{text}");
    }
}

#[test]
fn other_actions() {
    assert_eq!(action("-F"), Ok(Action::Finger { pattern: Pattern::all(), with_local: true }));
    assert_eq!(action("-P"), Ok(Action::Print(Pattern::all())));
    assert!(matches!(action("--gen-keys x --keysize 2048"), Ok(Action::Generate { bits: 2048, .. })));
    assert!(matches!(action("-D -y"), Ok(Action::Act { act: Act::Delete, whom: Whom { is_all: true, .. } })));
}

#[test]
fn the_command_line_is_consistent() {
    Line::command().debug_assert();
    for text in ["-V", "--version", "--versions-report", "-h", "--help"] {
        assert_eq!(line(text).err(), Some(0), "{text}");
    }
}
