use std::fs;

use brine_pki::registry::Announced;
use brine_protocol::time::Timestamp;

use super::*;

/// Fixed keys, so that only the very first start makes one.
const PEMS: [&str; 3] = [
    include_str!("../../../pki/tests/keys/master.pem"),
    include_str!("../../../pki/tests/keys/other.pem"),
    include_str!("../../../pki/tests/keys/minion.pem"),
];

fn key(at: usize) -> PrivateKey {
    PrivateKey::from_pem(PEMS[at]).expect("a key")
}

fn finger(at: usize) -> Fingerprint {
    key(at).public().fingerprint()
}

fn announced(from: Fingerprint, to: Fingerprint) -> MasterKeys {
    let announced = Announced { from, to, since: Timestamp(0), until: Timestamp(1) };
    MasterKeys { current: Some(from), announced: Some(announced) }
}

fn current(key: Fingerprint) -> MasterKeys {
    MasterKeys { current: Some(key), announced: None }
}

struct Place(tempfile::TempDir);

impl Place {
    fn with(pem: Option<&str>, next: Option<&str>, public: Option<usize>) -> Self {
        let place = Self(tempfile::tempdir().expect("a folder"));
        for (name, text) in [("master.pem", pem), ("master.next.pem", next)] {
            if let Some(text) = text {
                file::replace(&place.path(name), text.as_bytes(), 0o600).expect("written");
            }
        }
        if let Some(at) = public {
            fs::write(place.path("master.pub"), key(at).public().to_pem()).expect("written");
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn open(&self, ledger: &MasterKeys) -> anyhow::Result<(KeyFiles, OwnKey)> {
        KeyFiles::open(self.0.path(), 2048, ledger)
    }

    /// The keys in `master.pem`, `master.next.pem` and `master.pub`.
    fn on_disk(&self) -> [Option<Fingerprint>; 3] {
        let read = |name: &str| fs::read_to_string(self.path(name)).ok();
        let private = |name| Some(PrivateKey::from_pem(&read(name)?).ok()?.public().fingerprint());
        let public = read("master.pub").and_then(|pem| PublicKey::from_pem(&pem).ok());
        [private("master.pem"), private("master.next.pem"), public.map(|key| key.fingerprint())]
    }
}

#[test]
fn every_plan() {
    let print = |n| Fingerprint([n; 32]);
    let (one, two, three) = (Found::Key(print(1)), Found::Key(print(2)), Found::Key(print(3)));
    let nothing = MasterKeys::default();
    let (under_way, done) = (announced(print(1), print(2)), current(print(2)));
    let keep = |next| Plan::Keep(next);
    for (pem, next, ledger, expected) in [
        (Found::Nothing, Found::Nothing, &nothing, Plan::Make),
        (Found::Nothing, two, &nothing, Plan::Make),
        (one, Found::Nothing, &nothing, keep(Next::Nothing)),
        // Killed before the ledger said so.
        (one, two, &nothing, keep(Next::Leftover)),
        (one, Found::Junk, &nothing, keep(Next::Leftover)),
        (one, two, &current(print(1)), keep(Next::Leftover)),
        // Under way.
        (one, two, &under_way, keep(Next::Ready)),
        (two, Found::Nothing, &under_way, keep(Next::Ready)),
        // Killed behind the succession, at each of its steps.
        (one, two, &done, Plan::Finish),
        (two, two, &done, keep(Next::Leftover)),
        (two, Found::Nothing, &done, keep(Next::Nothing)),
        // Files that only a person can have put, or taken away.
        (Found::Nothing, two, &done, Plan::Finish),
        (Found::Nothing, Found::Nothing, &done, Plan::Lost(print(2))),
        (Found::Nothing, three, &done, Plan::Lost(print(2))),
        (Found::Nothing, two, &under_way, Plan::Lost(print(1))),
        (three, Found::Nothing, &done, keep(Next::Nothing)),
    ] {
        assert_eq!(plan(pem, next, ledger), expected, "{pem:?}, {next:?}, {ledger:?}");
    }
    for (pem, next) in [
        (one, Found::Nothing),
        (one, three),
        (one, one),
        (one, Found::Junk),
        (three, two),
        (three, Found::Nothing),
    ] {
        let plan = plan(pem, next, &under_way);
        assert!(matches!(plan, Plan::Keep(Next::Broken(_))), "{pem:?}, {next:?}: {plan:?}");
    }
}

#[test]
fn the_first_start_makes_a_key_and_the_ledger_need_not_know() {
    let place = Place::with(None, None, None);
    let (files, own) = place.open(&MasterKeys::default()).expect("opens");
    let made = files.key().public().fingerprint();
    assert_eq!(own, OwnKey { fingerprint: made, problem: None, notice: None });
    assert_eq!(place.on_disk(), [Some(made), None, Some(made)]);
    let (again, _) = place.open(&MasterKeys::default()).expect("opens");
    assert_eq!(again.key().public().fingerprint(), made);
}

/// What a kill can leave at each step, as text: the files, what the ledger says, and what a start
/// makes of both.
#[test]
fn a_start_makes_sense_of_what_a_kill_left() {
    let (a, b) = (finger(0), finger(1));
    let (one, two) = (Some(PEMS[0]), Some(PEMS[1]));
    for (step, place, ledger, signs, disk) in [
        ("next written", Place::with(one, two, Some(0)), MasterKeys::default(), a, [Some(a), None, Some(a)]),
        ("announced", Place::with(one, two, Some(0)), announced(a, b), a, [Some(a), Some(b), Some(a)]),
        ("withdrawn", Place::with(one, two, Some(0)), current(a), a, [Some(a), None, Some(a)]),
        ("succeeded", Place::with(one, two, Some(0)), current(b), b, [Some(b), None, Some(b)]),
        ("pem replaced", Place::with(two, two, Some(0)), current(b), b, [Some(b), None, Some(b)]),
        ("pub replaced", Place::with(two, two, Some(1)), current(b), b, [Some(b), None, Some(b)]),
        ("next removed", Place::with(two, None, Some(1)), current(b), b, [Some(b), None, Some(b)]),
    ] {
        for round in ["first", "second"] {
            let (files, own) = place.open(&ledger).expect("opens");
            assert_eq!((own.problem, own.notice), (None, None), "{step}, {round}");
            assert_eq!(files.key().public().fingerprint(), signs, "{step}, {round}");
            assert_eq!(files.next.is_some(), step == "announced", "{step}, {round}");
            assert_eq!(place.on_disk(), disk, "{step}, {round}");
        }
    }
}

#[test]
fn a_key_that_nobody_announced_never_takes_over() {
    let (a, b) = (finger(0), finger(1));
    for next in [None, Some(PEMS[2]), Some("junk")] {
        let place = Place::with(Some(PEMS[0]), next, Some(0));
        let (mut files, own) = place.open(&announced(a, b)).expect("goes on with the old key");
        let problem = own.problem.expect("it says so");
        assert!(problem.contains(&b.to_string()) && problem.contains("--withdraw"), "{problem}");
        assert_eq!((own.fingerprint, files.next.is_none()), (a, true));
        assert_eq!(fs::read_to_string(place.path("master.next.pem")).ok().as_deref(), next, "left as it is");
        files.take_over();
        assert_eq!(files.key().public().fingerprint(), a);
        // Withdrawing mends it.
        files.discard();
        let (_, own) = place.open(&current(a)).expect("opens");
        assert_eq!((own.problem, place.on_disk()), (None, [Some(a), None, Some(a)]));
    }
    let place = Place::with(Some(PEMS[2]), Some(PEMS[1]), Some(2));
    let (files, own) = place.open(&announced(a, b)).expect("opens");
    assert!(own.problem.is_some_and(|problem| problem.contains("master.pem has the key")));
    assert!(files.next.is_none());
}

#[test]
fn a_lost_or_replaced_key_is_said() {
    let (a, b) = (finger(0), finger(1));
    let place = Place::with(None, None, None);
    let error = place.open(&current(a)).err().expect("refused").to_string();
    assert!(error.contains("master.pem is missing") && error.contains(&a.to_string()), "{error}");
    assert_eq!(place.on_disk(), [None, None, None], "no key is made that every minion refuses");

    let place = Place::with(Some(PEMS[0]), None, Some(0));
    let (_, own) = place.open(&current(b)).expect("opens");
    assert!(own.notice.is_some_and(|notice| notice.contains(&format!("trust-master {a}"))));

    let place = Place::with(Some(PEMS[0]), None, Some(1));
    let error = place.open(&MasterKeys::default()).err().expect("refused").to_string();
    assert!(error.contains("master.pub is not the public half"), "{error}");
}

#[test]
fn a_rotation_leaves_one_key() {
    let (a, b) = (finger(0), finger(1));
    let place = Place::with(Some(PEMS[0]), None, None);
    let (mut files, _) = place.open(&MasterKeys::default()).expect("opens");
    files.prepare(key(1)).expect("written");
    let mode =
        std::os::unix::fs::MetadataExt::mode(&fs::metadata(place.path("master.next.pem")).expect("there"));
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!((place.on_disk(), files.key().public().fingerprint()), ([Some(a), Some(b), Some(a)], a));
    files.discard();
    assert_eq!(place.on_disk(), [Some(a), None, Some(a)]);
    files.prepare(key(1)).expect("written");
    files.take_over();
    assert_eq!((place.on_disk(), files.key().public().fingerprint()), ([Some(a), Some(b), Some(a)], b));
    files.save().expect("written");
    assert_eq!(place.on_disk(), [Some(b), None, Some(b)], "the old private key is gone");
}
