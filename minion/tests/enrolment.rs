//! The claim and the token of a waiting minion, against a master made of the handshake.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod fake;

use std::fs;
use std::io::Write;
use std::process::Command;

use brine_protocol::message::{Knock, Standing, ToMaster, ToMinion, TokenRefused};
use fake::{ACCEPTED, Master, Minion, Session, eventually};

const TOKEN: &str = "brt_8317000000000000000000000000000000000000000000000000000000008317";

fn finger(master: &Master) -> String {
    format!("master_finger: '{}'\n", master.key.public().fingerprint())
}

fn token() -> String {
    format!("enrolment_token: {TOKEN}\n")
}

#[track_caller]
fn knock(session: &mut Session) -> Knock {
    match session.hear() {
        ToMaster::Knock(knock) => knock,
        other => panic!("no knock: {other:?}"),
    }
}

fn exposed(knock: &Knock) -> Option<&str> {
    knock.token.as_ref().map(brine_protocol::Secret::expose)
}

#[test]
fn a_pinned_master_hears_the_token_until_it_lets_the_minion_in() {
    let master = Master::new("m2", 1);
    let minion = Minion::start(&master, &format!("{}{}server: 'Lycée Dijon'\n", finger(&master), token()));
    let mut session = master.open(Standing::Pending, 10_000);
    let told = knock(&mut session);
    assert_eq!((told.server.as_deref(), exposed(&told)), (Some("Lycée Dijon"), Some(TOKEN)));
    session.say(&ToMinion::TokenRefused(TokenRefused { why: "it was \u{1b}used".into() }));
    eventually("the refusal is said", || {
        minion.log().contains("the enrolment token does not let this minion in: it was \\u{1b}used")
    });
    drop(session);

    // Refused once is not refused for ever: the token may have been meant for a record made since.
    let mut session = master.open(Standing::Pending, 10_000);
    assert_eq!(exposed(&knock(&mut session)), Some(TOKEN));
    session.say(&ToMinion::Standing(ACCEPTED));
    assert!(matches!(session.hear(), ToMaster::Start(_)));
    drop(session);

    // Whoever deletes the key now means it.
    let told = knock(&mut master.open(Standing::Pending, 10_000));
    assert_eq!((told.server.as_deref(), exposed(&told)), (Some("Lycée Dijon"), None));
    eventually("other users could read it", || {
        minion.log().contains("other users can read the enrolment token")
    });
    assert!(!minion.log().contains("8317"), "the token is in no log");
}

#[test]
fn a_claim_needs_no_pin() {
    let master = Master::new("m2", 1);
    let _minion = Minion::start(&master, "server: 4a4f4e0a-0000-4000-8000-000000000001\n");
    let told = knock(&mut master.open(Standing::Pending, 10_000));
    assert_eq!(told.server.as_deref(), Some("4a4f4e0a-0000-4000-8000-000000000001"));
    assert_eq!(told.token, None);
}

#[test]
fn with_a_token_and_no_pin_it_does_not_even_connect() {
    let master = Master::new("m2", 1);
    let mut minion = Minion::start(&master, &token());
    assert_eq!(minion.child.wait().unwrap().code(), Some(1));
    let log = minion.log();
    assert!(log.contains("set the option master_finger"), "{log}");
    assert!(!log.contains("8317"), "{log}");
    master.ret.set_nonblocking(true).unwrap();
    assert!(master.ret.accept().is_err(), "nobody was dialled");
}

#[test]
fn a_pin_that_goes_away_ends_the_dialling() {
    let master = Master::new("m2", 1);
    let mut minion = Minion::start(&master, "");
    // The first session pins the master, so that no option has to.
    assert_eq!(exposed(&knock(&mut master.open(Standing::Pending, 10_000))), None);
    minion.kill();
    let mut options = fs::OpenOptions::new().append(true).open(minion.path("etc/brine/minion.yaml")).unwrap();
    options.write_all(token().as_bytes()).unwrap();
    minion.restart();
    let mut session = master.open(Standing::Pending, 10_000);
    assert_eq!(exposed(&knock(&mut session)), Some(TOKEN));

    let pin = minion.path("etc/brine/pki/minion/minion_master.pub");
    let kept = fs::read(&pin).unwrap();
    fs::remove_file(&pin).unwrap();
    drop(session);
    eventually("it says what is missing", || {
        minion.log().contains("no session with") && minion.log().contains("set the option master_finger")
    });
    assert!(minion.is_running());
    master.ret.set_nonblocking(true).unwrap();
    assert!(master.ret.accept().is_err(), "nobody was dialled");
    fs::write(&pin, kept).unwrap();
    assert_eq!(exposed(&knock(&mut master.open(Standing::Pending, 10_000))), Some(TOKEN));
}

#[test]
fn a_token_file_may_go_once_its_minion_is_in() {
    let master = Master::new("m2", 1);
    let options = format!("{}enrolment_token_file: token\n", finger(&master));
    let mut minion = Minion::start(&master, &options);
    assert_eq!(minion.child.wait().unwrap().code(), Some(1), "nobody has let it in yet");
    assert!(minion.log().contains("enrolment_token_file"), "{}", minion.log());

    let path = minion.path("etc/brine/token");
    brine_local::file::replace(&path, format!("{TOKEN}\n").as_bytes(), 0o600).unwrap();
    minion.restart();
    let mut session = master.open(Standing::Pending, 10_000);
    assert_eq!(exposed(&knock(&mut session)), Some(TOKEN));
    session.say(&ToMinion::Standing(ACCEPTED));
    assert!(matches!(session.hear(), ToMaster::Start(_)));
    session.stored(&[], 0);
    eventually("the journal knows the store", || {
        fs::read_to_string(minion.path("var/lib/brine/minion/journal"))
            .is_ok_and(|text| text.contains("\"store\""))
    });
    minion.kill();
    fs::remove_file(path).unwrap();
    minion.restart();
    let (_, start) = master.live(&[]);
    assert_eq!(start.store.as_deref(), Some("s"));
}

#[test]
fn jobs_do_not_inherit_the_token() {
    let root = tempfile::tempdir().unwrap();
    let done = Command::new(env!("CARGO_BIN_EXE_brine-minion"))
        .arg("--root-dir")
        .arg(root.path())
        .args(["call", "cmd.run", "env"])
        .env("BRINE_ENROLMENT_TOKEN", TOKEN)
        .env("BRINE_OTHER", "inherited")
        .output()
        .unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    assert!(text.contains("BRINE_OTHER=inherited") && !text.contains("8317"), "{text}");
}
