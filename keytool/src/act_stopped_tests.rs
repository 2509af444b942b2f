//! Acts on the files of a stopped master.

use super::*;
use brine_local::output::screen::Screen;

use crate::options::LedgerVerb;

/// A stopped master's files, with keys that wait: ids with how many keys each.
fn stopped(root: &Path, waiting: &[(&str, usize)]) -> Paths {
    use brine_pki::key::PublicKey;
    use brine_pki::registry::{Knocker, Trust};
    use brine_pki::waiting::WaitingLimits;

    let paths = Paths::new(Some(root), None);
    std::fs::create_dir_all(paths.config_dir()).expect("a folder");
    let opened =
        Trust::open(&paths.ledger(), &paths.waiting(), WaitingLimits::default(), std::time::Duration::ZERO);
    let mut trust = opened.expect("trust").trust;
    let keys = [
        include_str!("../../tests/data/keys/m1.pub"),
        include_str!("../../tests/data/keys/m2.pub"),
        include_str!("../../tests/data/keys/m3.pub"),
        include_str!("../../tests/data/keys/m4.pub"),
        include_str!("../../tests/data/keys/m5.pub"),
        include_str!("../../tests/data/keys/m6.pub"),
    ];
    for (id, count) in waiting {
        for pem in &keys[..*count] {
            let public = PublicKey::from_pem(pem).expect("a key");
            let knocker = Knocker {
                id: id.parse().expect("an id"),
                fingerprint: public.fingerprint(),
                key: public.der().to_vec(),
                address: std::net::IpAddr::from([127, 0, 0, 1]),
                claims: brine_protocol::message::Knock::default(),
            };
            trust.knock(knocker, Timestamp(1));
        }
    }
    trust.save().expect("saved");
    paths
}

#[tokio::test]
async fn every_candidate_of_an_id_is_rejected() {
    let root = tempfile::tempdir().expect("a folder");
    let ids: Vec<String> = (0..40).map(|n| format!("m{n}")).collect();
    let waiting: Vec<(&str, usize)> = ids.iter().map(|id| (id.as_str(), 6)).collect();
    let paths = stopped(root.path(), &waiting);
    let mut source = Source::open(&paths, None).await.expect("a source");
    let said =
        perform(&mut source, Act::Reject, &whom("*", true, &[KeyState::Pending]), &manners(true), "").await;
    assert_eq!((said.exit, said.err.as_str()), (Exit::Ok, ""));
    let keys = source.keys().await.expect("keys");
    assert_eq!((keys.len(), keys.iter().filter(|key| key.state == KeyState::Rejected).count()), (240, 240));
    let said = perform(&mut source, Act::Delete, &whom("*", true, &KEY_STATES), &manners(true), "").await;
    assert_eq!((said.exit, said.err.as_str()), (Exit::Ok, ""));
    assert_eq!(source.keys().await.expect("keys"), []);
}

#[tokio::test]
async fn without_a_master_its_limits_hold() {
    let root = tempfile::tempdir().expect("a folder");
    let paths = stopped(root.path(), &[("web1", 1), ("web2", 1), ("evil1", 1)]);
    std::fs::write(paths.config_dir().join("no.txt"), "evil*\n").expect("written");
    let configure = |text: &str| std::fs::write(paths.config_file("master"), text).expect("written");
    let all = whom("*", true, &[KeyState::Pending]);

    configure("max_minions: many\n");
    let mut source = Source::open(&paths, None).await.expect("a source");
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut ask = "".as_bytes();
    let refused = run(&mut source, Act::Accept, &all, &as_json(true), &mut ask, &mut out, &mut err).await;
    let failure = refused.expect_err("it is not known how many may be in");
    assert_eq!(failure.exit(), Exit::Refused);
    assert!(failure.to_string().contains("max_minions"), "{failure}");
    let said = Said { exit: failure.exit(), out: String::from_utf8(out).expect("text"), err: String::new() };
    assert_eq!(counts(&said), [("accepted".to_owned(), 0), ("refused".to_owned(), 3)]);
    drop(source);

    configure("max_minions: 1\nautoreject_file: no.txt\n");
    let mut source = Source::open(&paths, None).await.expect("a source");
    let said = perform(&mut source, Act::Accept, &all, &manners(true), "").await;
    assert_eq!(said.exit, Exit::Refused);
    assert!(
        said.err.starts_with("Key for minion web2 was not accepted") && said.err.contains("max_minions is 1")
    );
    let mut states: Vec<(String, KeyState)> =
        source.keys().await.expect("keys").into_iter().map(|key| (key.id.to_string(), key.state)).collect();
    states.sort();
    let expected = [("evil1", KeyState::Rejected), ("web1", KeyState::Accepted), ("web2", KeyState::Pending)];
    assert_eq!(states, expected.map(|(id, state)| (id.to_owned(), state)));
}

#[tokio::test]
async fn a_decision_on_disk_is_told_whatever_becomes_of_the_waiting_keys() {
    let root = tempfile::tempdir().expect("a folder");
    let paths = stopped(root.path(), &[("web1", 1)]);
    let mut source = Source::open(&paths, None).await.expect("a source");
    std::fs::remove_file(paths.waiting()).expect("removed");
    std::fs::create_dir(paths.waiting()).expect("in its place");
    let web1 = whom("web1", false, &[KeyState::Pending]);
    let said = perform(&mut source, Act::Accept, &web1, &as_json(true), "").await;
    assert_eq!((said.exit, counts(&said)[0].1), (Exit::Ok, 1));

    let imported = |id: &str, state| brine_protocol::control::ImportedKey {
        id: id.parse().expect("an id"),
        public_key: include_str!("../../tests/data/keys/m2.pub").to_owned(),
        state,
    };
    let keys = vec![imported("db1", KeyState::Accepted), imported("db2", KeyState::Pending)];
    let request = brine_protocol::control::ImportRequest { keys, reason: None };
    let outcomes = source.import(&request).await.expect("outcomes");
    assert_eq!(outcomes[0], Outcome::Done);
    assert!(matches!(&outcomes[1], Outcome::Refused(why) if why.contains("filed")), "{outcomes:?}");
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
