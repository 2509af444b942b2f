//! Acts against a small control server, and against the files of a stopped master.

use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use brine_local::Paths;
use brine_protocol::Fingerprint;
use brine_protocol::control::{Health, KeyState};
use brine_protocol::time::Timestamp;

use super::*;
use crate::options::LedgerVerb;
use crate::screen::Screen;
use crate::select::Pattern;
use crate::select::tests::key;

pub(crate) type Keys = Arc<Mutex<Vec<Key>>>;

async fn health() -> Json<Health> {
    Json(Health {
        status: "ok".to_owned(),
        problems: Vec::new(),
        notices: Vec::new(),
        version: "0".to_owned(),
        fingerprint: Fingerprint([7; 32]),
        publish_port: 1,
        ret_port: 2,
        since: Timestamp(0),
        sessions: 0,
        keys: Map::new(),
        counters: Map::new(),
    })
}

async fn list(State(keys): State<Keys>) -> Json<Vec<Key>> {
    Json(keys.lock().expect("unpoisoned").clone())
}

/// Refuses every key whose id begins with `bad`.
async fn act(State(keys): State<Keys>, Json(request): Json<KeyActRequest>) -> Json<Vec<KeyActResult>> {
    let mut keys = keys.lock().expect("unpoisoned");
    let one = |name: &KeyName| {
        let at = keys.iter().position(|key| {
            key.id == name.id && key.fingerprint == name.fingerprint && Some(key.state) == name.state
        });
        let refused = match at {
            _ if name.id.as_str().starts_with("bad") => Some("it is bad\u{1b}".to_owned()),
            None => Some("it changed".to_owned()),
            Some(at) => {
                match request.act {
                    Act::Accept | Act::Resume => keys[at].state = KeyState::Accepted,
                    Act::Reject => keys[at].state = KeyState::Rejected,
                    Act::Suspend => keys[at].state = KeyState::Suspended,
                    Act::Delete => drop(keys.remove(at)),
                }
                None
            }
        };
        KeyActResult { id: name.id.clone(), fingerprint: name.fingerprint, refused }
    };
    Json(request.keys.iter().map(one).collect())
}

pub(crate) fn serve(root: &Path, keys: Vec<Key>) -> (Paths, Keys) {
    let paths = Paths::new(Some(root), None);
    std::fs::create_dir_all(paths.run_dir()).expect("a folder");
    let listener = tokio::net::UnixListener::bind(paths.control_socket()).expect("a socket");
    let keys: Keys = Arc::new(Mutex::new(keys));
    let router = Router::new()
        .route("/v1/health", get(health))
        .route("/v1/keys", get(list))
        .route("/v1/keys/act", post(act))
        .with_state(keys.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (paths, keys)
}

fn salts_keys() -> Vec<Key> {
    use KeyState::{Accepted, Denied, Pending, Rejected};
    vec![
        key("acc1", Accepted, 1),
        key("acc2", Accepted, 2),
        key("pre1", Pending, 3),
        key("pre2", Pending, 4),
        key("rej1", Rejected, 5),
        key("den1", Denied, 6),
    ]
}

fn manners(yes: bool) -> Manners {
    Manners { yes, quiet: false, out: None, style: Style::default(), reason: None }
}

fn whom(pattern: &str, is_all: bool, states: &[KeyState]) -> Whom {
    let pattern = Pattern::parse(pattern).expect("a pattern");
    Whom { pattern, is_all, states: states.to_vec(), expect: None }
}

struct Said {
    exit: Exit,
    out: String,
    err: String,
}

async fn perform(source: &mut Source, act: Act, whom: &Whom, manners: &Manners, stdin: &str) -> Said {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit =
        run(source, act, whom, manners, &mut stdin.as_bytes(), &mut out, &mut err).await.expect("an exit");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Said { exit, out: text(out), err: text(err) }
}

fn ids_in(keys: &Keys, state: KeyState) -> String {
    let keys = keys.lock().expect("unpoisoned");
    let mut ids: Vec<&str> =
        keys.iter().filter(|key| key.state == state).map(|key| key.id.as_str()).collect();
    ids.sort_unstable();
    ids.join(" ")
}

async fn online(keys: Vec<Key>) -> (tempfile::TempDir, Source, Keys) {
    let root = tempfile::tempdir().expect("a folder");
    let (paths, keys) = serve(root.path(), keys);
    let source = Source::open(&paths, None).await.expect("a source");
    (root, source, keys)
}

#[tokio::test]
async fn prompts_and_reports_are_salts() {
    use KeyState::{Accepted, Denied, Pending, Rejected};
    let all = &KEY_STATES[..];
    // Cases 28, 30, 33, 43, 51, 58, 60, 61, 69, 37 of the recorded runs of salt-key 3008.5.
    type Case<'a> = (Act, &'a str, bool, &'a [KeyState], Option<&'a str>, &'a str);
    let table: &[Case<'_>] = &[
        (
            Act::Accept,
            "pre1",
            false,
            &[Pending],
            Some("\n"),
            "The following keys are going to be accepted:\nUnaccepted Keys:\npre1\nProceed? [n/Y] Key for minion pre1 accepted.\n",
        ),
        (
            Act::Accept,
            "pre1",
            false,
            &[Pending],
            Some("n\n"),
            "The following keys are going to be accepted:\nUnaccepted Keys:\npre1\nProceed? [n/Y] ",
        ),
        (
            Act::Accept,
            "pre*",
            false,
            &[Pending],
            None,
            "The following keys are going to be accepted:\nUnaccepted Keys:\npre1\npre2\n\
             Key for minion pre1 accepted.\nKey for minion pre2 accepted.\n",
        ),
        (
            Act::Accept,
            "*",
            false,
            &[Pending, Rejected, Denied],
            None,
            "The following keys are going to be accepted:\nDenied Keys:\nden1\nUnaccepted Keys:\npre1\npre2\nRejected Keys:\n\
             rej1\nKey for minion pre1 accepted.\nKey for minion pre2 accepted.\nKey for minion rej1 accepted.\n\
             Key for minion den1 accepted.\n",
        ),
        (
            Act::Reject,
            "pre1",
            false,
            &[Pending],
            Some("\n"),
            "The following keys are going to be rejected:\nUnaccepted Keys:\npre1\nProceed? [n/Y] Key for minion pre1 rejected.\n",
        ),
        (
            Act::Reject,
            "*",
            false,
            &[Pending, Accepted],
            None,
            "The following keys are going to be rejected:\nAccepted Keys:\nacc1\nacc2\nUnaccepted Keys:\npre1\npre2\n\
             Key for minion pre1 rejected.\nKey for minion pre2 rejected.\nKey for minion acc1 rejected.\n\
             Key for minion acc2 rejected.\n",
        ),
        (
            Act::Delete,
            "acc1",
            false,
            all,
            Some("\n"),
            "The following keys are going to be deleted:\nAccepted Keys:\nacc1\nProceed? [N/y] ",
        ),
        (
            Act::Delete,
            "acc1",
            false,
            all,
            Some("y\n"),
            "The following keys are going to be deleted:\nAccepted Keys:\nacc1\nProceed? [N/y] Key for minion acc1 deleted.\n",
        ),
        (
            Act::Delete,
            "*",
            true,
            all,
            None,
            "The following keys are going to be deleted:\nAccepted Keys:\nacc1\nacc2\nDenied Keys:\nden1\nUnaccepted Keys:\n\
             pre1\npre2\nRejected Keys:\nrej1\nKey for minion pre1 deleted.\nKey for minion pre2 deleted.\n\
             Key for minion rej1 deleted.\nKey for minion acc1 deleted.\nKey for minion acc2 deleted.\n\
             Key for minion den1 deleted.\n",
        ),
        (
            Act::Accept,
            "acc1",
            false,
            &[Pending],
            None,
            "The key glob 'acc1' does not match any unaccepted keys.\n",
        ),
    ];
    for (act, pattern, is_all, states, stdin, expected) in table {
        let (_root, mut source, _) = online(salts_keys()).await;
        let whom = whom(pattern, *is_all, states);
        let said =
            perform(&mut source, *act, &whom, &manners(stdin.is_none()), stdin.unwrap_or_default()).await;
        assert_eq!(said.out, *expected);
        assert_eq!(said.err, "");
        assert_eq!(said.exit, if expected.contains("does not match") { Exit::Failed } else { Exit::Ok });
    }
}

#[tokio::test]
async fn nobody_at_the_prompt_is_a_no() {
    let (_root, mut source, keys) = online(salts_keys()).await;
    let said =
        perform(&mut source, Act::Accept, &whom("*", true, &[KeyState::Pending]), &manners(false), "").await;
    assert_eq!(said.exit, Exit::Failed);
    assert!(said.err.contains("nothing was changed"));
    assert_eq!(ids_in(&keys, KeyState::Pending), "pre1 pre2");
}

#[tokio::test]
async fn an_id_with_two_keys_wants_its_fingerprint() {
    let two = || {
        vec![
            key("web1", KeyState::Pending, 1),
            key("web1", KeyState::Pending, 2),
            key("db1", KeyState::Pending, 3),
        ]
    };
    let pending = [KeyState::Pending];

    let (_root, mut source, keys) = online(two()).await;
    let said =
        perform(&mut source, Act::Accept, &whom("web1,db1", false, &pending), &manners(true), "").await;
    assert_eq!(said.exit, Exit::Refused);
    assert!(said.err.contains("web1 is claimed by 2 keys"), "{}", said.err);
    assert!(said.err.contains(&format!("--accept web1 --expect {}", Fingerprint([2; 32]))), "{}", said.err);
    assert_eq!((ids_in(&keys, KeyState::Accepted).as_str(), said.out.as_str()), ("", ""));

    let said = perform(&mut source, Act::Accept, &whom("*", true, &pending), &manners(true), "").await;
    assert_eq!(said.exit, Exit::Refused);
    assert_eq!(ids_in(&keys, KeyState::Accepted), "db1");

    let exactly = Whom { expect: Some(Fingerprint([2; 32])), ..whom("web1", false, &pending) };
    let said = perform(&mut source, Act::Accept, &exactly, &manners(true), "").await;
    assert_eq!(said.exit, Exit::Ok);
    let accepted = keys
        .lock()
        .expect("unpoisoned")
        .iter()
        .find(|key| key.id.as_str() == "web1" && key.state == KeyState::Accepted)
        .cloned();
    assert_eq!(accepted.map(|key| key.fingerprint), Some(Fingerprint([2; 32])));

    let (_root, mut source, keys) = online(two()).await;
    let said = perform(&mut source, Act::Reject, &whom("*", true, &pending), &manners(true), "").await;
    assert_eq!((said.exit, ids_in(&keys, KeyState::Rejected).as_str()), (Exit::Ok, "db1 web1 web1"));
}

#[tokio::test]
async fn who_accepts_hears_what_salt_key_hides() {
    use KeyState::{Accepted, Denied, Pending};
    let mut again = key("web1", Pending, 1);
    again.known_before = true;
    let (_root, mut source, keys) =
        online(vec![again, key("db1", Accepted, 2), key("db1", Denied, 3), key("db2", Denied, 4)]).await;
    let said = perform(&mut source, Act::Accept, &whom("*", true, &[Pending]), &manners(true), "").await;
    assert_eq!((said.exit, ids_in(&keys, Accepted).as_str()), (Exit::Ok, "db1 web1"));
    let [before, denied] = said.err.lines().collect::<Vec<_>>()[..] else { panic!("{}", said.err) };
    assert!(before.contains("web1 had another key before"), "{before}");
    assert!(
        denied.starts_with("2 keys are denied and need a look") && denied.contains("db1, db2"),
        "{denied}"
    );

    // To reject hides nothing, and whoever names the denied ones sees them.
    let said = perform(&mut source, Act::Accept, &whom("db2", false, &[Denied]), &manners(true), "").await;
    assert_eq!((said.exit, said.err.as_str()), (Exit::Ok, ""));
    let said = perform(&mut source, Act::Delete, &whom("db1", true, &KEY_STATES), &manners(true), "").await;
    assert_eq!((said.exit, said.err.as_str()), (Exit::Ok, ""));
}

#[tokio::test]
async fn refusals_are_told_per_key() {
    let (_root, mut source, keys) =
        online(vec![key("bad1", KeyState::Pending, 1), key("good", KeyState::Pending, 2)]).await;
    let said =
        perform(&mut source, Act::Accept, &whom("*", true, &[KeyState::Pending]), &manners(true), "").await;
    assert_eq!(said.exit, Exit::Refused);
    assert_eq!(said.err, "Key for minion bad1 was not accepted: it is bad\\u{1b}\n");
    assert!(said.out.ends_with("bad1\ngood\nKey for minion good accepted.\n"));
    assert_eq!(ids_in(&keys, KeyState::Accepted), "good");
}

#[tokio::test]
async fn for_programs_stdout_is_one_document() {
    let (_root, mut source, _) = online(salts_keys()).await;
    let json = Manners {
        out: Some(Format::Json),
        style: Style { format: Format::Json, indent: Some(-1), colours: false },
        ..manners(false)
    };
    let said =
        perform(&mut source, Act::Accept, &whom("pre1", false, &[KeyState::Pending]), &json, "y\n").await;
    let expected = format!(
        "{{\"accepted\": [{{\"id\": \"pre1\", \"fingerprint\": \"{}\"}}], \"refused\": []}}\n",
        Fingerprint([3; 32])
    );
    assert_eq!(said.out, expected);
    assert!(said.err.starts_with("The following keys are going to be accepted:\n"));
    let said =
        perform(&mut source, Act::Accept, &whom("nosuch", false, &[KeyState::Pending]), &json, "").await;
    assert_eq!((said.out.as_str(), said.exit), ("{\"accepted\": [], \"refused\": []}\n", Exit::Failed));
    let quiet = Manners { quiet: true, ..manners(true) };
    let said =
        perform(&mut source, Act::Accept, &whom("pre2", false, &[KeyState::Pending]), &quiet, "").await;
    assert_eq!((said.out.as_str(), said.err.as_str(), said.exit), ("", "", Exit::Ok));
}

#[tokio::test]
async fn without_a_master_its_files_are_used_under_their_lock() {
    use brine_pki::key::PrivateKey;
    use brine_pki::registry::{Knocker, Trust};
    use brine_pki::waiting::WaitingLimits;

    let root = tempfile::tempdir().expect("a folder");
    let paths = Paths::new(Some(root.path()), None);
    let failure = Source::open(&paths, None).await.err().expect("there was never a master");
    assert_eq!(failure.exit(), Exit::Unreachable);
    assert!(failure.to_string().contains("not running"), "{failure}");
    assert!(!paths.ledger().exists());

    let open = || {
        Trust::open(&paths.ledger(), &paths.waiting(), WaitingLimits::default(), std::time::Duration::ZERO)
            .expect("trust")
            .trust
    };
    let key = PrivateKey::generate(2048).expect("a key");
    let mut trust = open();
    trust.knock(
        Knocker {
            id: "web1".parse().expect("an id"),
            fingerprint: key.public().fingerprint(),
            key: key.public().der().to_vec(),
            address: std::net::IpAddr::from([127, 0, 0, 1]),
            claims: brine_protocol::message::Knock::default(),
        },
        Timestamp(1),
    );
    trust.save().expect("saved");
    drop(trust);

    let mut source = Source::open(&paths, None).await.expect("a source");
    let said =
        perform(&mut source, Act::Accept, &whom("*", true, &[KeyState::Pending]), &manners(true), "").await;
    assert!(said.out.ends_with("Key for minion web1 accepted.\n"), "{}", said.out);
    drop(source);
    let listed = open().list();
    assert_eq!((listed.len(), listed[0].state), (1, KeyState::Accepted));
    let line = std::fs::read_to_string(paths.ledger()).expect("a ledger");
    assert!(line.contains("offline"), "{line}");

    let failure = Source::open(&paths, Some("alice".to_owned())).await.err().expect("no other names offline");
    assert_eq!(failure.exit(), Exit::Refused);
    assert_eq!(crate::ledger::run(LedgerVerb::Verify, &paths, &mut Screen::Stdout).ok(), Some(Exit::Ok));
    assert_eq!(crate::ledger::run(LedgerVerb::Repair, &paths, &mut Screen::Stdout).ok(), Some(Exit::Ok));
}
