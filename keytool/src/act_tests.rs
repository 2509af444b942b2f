//! Acts against a small control server, and against the files of a stopped master.

use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use brine_local::Paths;
use brine_protocol::Fingerprint;
use brine_protocol::control::{Health, KeyActResult};
use brine_protocol::time::Timestamp;

use super::*;
use crate::select::Pattern;
use crate::select::tests::key;

#[path = "act_stopped_tests.rs"]
mod stopped;

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
        master_address: None,
        since: Timestamp(0),
        sessions: 0,
        keys: Map::new(),
        counters: Map::new(),
    })
}

async fn list(State(keys): State<Keys>) -> Json<Vec<Key>> {
    Json(keys.lock().expect("unpoisoned").clone())
}

/// Refuses every key whose id begins with `bad`, and does not tell what it did once one begins with
/// `mute`.
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
    let results = request.keys.iter().map(one).collect();
    let is_mute = request.keys.iter().any(|name| name.id.as_str().starts_with("mute"));
    Json(if is_mute { Vec::new() } else { results })
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

fn as_json(yes: bool) -> Manners {
    Manners {
        out: Some(Format::Json),
        style: Style { format: Format::Json, indent: Some(-1), colours: false },
        ..manners(yes)
    }
}

/// How many keys are in each list of a document.
fn counts(said: &Said) -> Vec<(String, usize)> {
    let Ok(Value::Object(document)) = serde_json::from_str(&said.out) else { panic!("{}", said.out) };
    document.into_iter().map(|(name, keys)| (name, keys.as_array().map_or(0, Vec::len))).collect()
}

#[tokio::test]
async fn what_became_of_keys_without_an_answer_is_not_known() {
    let many = || {
        let mut keys: Vec<Key> = (0..500).map(|n| key(&format!("a{n:03}"), KeyState::Pending, 1)).collect();
        keys.extend((0..500).map(|n| key(&format!("mute{n:03}"), KeyState::Pending, 2)));
        keys.push(key("z", KeyState::Pending, 3));
        keys
    };
    let all = whom("*", true, &[KeyState::Pending]);
    let (_root, mut source, keys) = online(many()).await;
    let said = perform(&mut source, Act::Accept, &all, &as_json(true), "").await;
    assert_eq!(said.exit, Exit::Unreachable);
    let named = |name: &str, count| (name.to_owned(), count);
    assert_eq!(counts(&said), [named("accepted", 500), named("refused", 1), named("unknown", 500)]);
    assert!(ids_in(&keys, KeyState::Accepted).contains("mute499"), "they are in force");
    let line =
        said.err.lines().find(|line| line.starts_with("Key for minion mute000")).expect("a line about it");
    assert!(
        line.contains("not known") && line.contains("brine-key -L") && !line.contains("was not"),
        "{line}"
    );
    assert!(said.err.contains("Key for minion z was not accepted"), "it was never sent: {}", said.err);

    // The same when the only part has no answer.
    let (_root, mut source, _) = online(vec![key("mute1", KeyState::Pending, 1)]).await;
    let said = perform(&mut source, Act::Accept, &all, &as_json(true), "").await;
    assert_eq!((said.exit, counts(&said)[2].clone()), (Exit::Unreachable, named("unknown", 1)));
}

#[tokio::test]
async fn what_was_never_sent_leaves_no_doubt() {
    let (root, mut source, _) = online(vec![key("web1", KeyState::Pending, 1)]).await;
    let Source::Online(online) = &mut source else { panic!("a master") };
    // Keys are listed before the master goes.
    let keys = online.client.keys().await.expect("keys");
    std::fs::remove_file(Paths::new(Some(root.path()), None).control_socket()).expect("removed");
    let request = KeyActRequest { act: Act::Accept, keys: vec![name(&keys[0])], reason: None };
    assert_eq!(source.act(&request).await.map_err(|failure| failure.exit()), Err(Exit::Unreachable));
}

#[tokio::test]
async fn ids_that_match_nothing_are_named() {
    for (yes, answer, accepted) in [(true, "", "pre1"), (false, "n\n", "")] {
        let (_root, mut source, keys) = online(vec![key("pre1", KeyState::Pending, 1)]).await;
        let whom = whom("pre1,nosuch", false, &[KeyState::Pending]);
        let said = perform(&mut source, Act::Accept, &whom, &manners(yes), answer).await;
        assert_eq!((said.exit, ids_in(&keys, KeyState::Accepted).as_str()), (Exit::Failed, accepted));
        assert_eq!(said.err, "nosuch does not match any unaccepted keys.\n");
    }
}

#[tokio::test]
async fn a_no_does_not_hide_ids_that_were_left_alone() {
    let keys = vec![
        key("web1", KeyState::Pending, 1),
        key("web1", KeyState::Pending, 2),
        key("db1", KeyState::Pending, 3),
    ];
    let (_root, mut source, _) = online(keys).await;
    let all = whom("*", true, &[KeyState::Pending]);
    let said = perform(&mut source, Act::Accept, &all, &as_json(false), "n\n").await;
    assert_eq!(said.exit, Exit::Refused);
    assert_eq!(counts(&said), [("accepted".to_owned(), 0), ("refused".to_owned(), 2)]);
}
