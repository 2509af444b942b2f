//! The real program and masters that hand out modules as they like, or are cut off while they do.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod fake;

use std::collections::BTreeMap;
use std::fs;

use brine_protocol::message::{ToMaster, ToMinion};
use brine_protocol::modules::{Digest, Listed, Module, ModuleWanted, Modules};
use bytes::Bytes;
use fake::{Master, Minion, Session, eventually};
use serde_json::json;
use sha2::{Digest as _, Sha256};

const FOLDER: &str = "var/lib/brine/minion/modules";

/// Large, so that it is on its way for a while.
fn version(byte: u8) -> Bytes {
    vec![byte; 900_000].into()
}

fn digest(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

fn hear(session: &mut Session) -> ToMaster {
    loop {
        match session.hear() {
            ToMaster::Beat(_) | ToMaster::Grains(_) => {}
            other => return other,
        }
    }
}

/// Answers the asking for the list.
fn list(session: &mut Session, files: &[(&str, Bytes)]) {
    let ToMaster::ModulesWanted(wanted) = hear(session) else { panic!("no asking for the list") };
    let listed = |bytes: &Bytes| Listed { sha256: digest(bytes), size: bytes.len() };
    let files: BTreeMap<_, _> =
        files.iter().map(|(name, bytes)| (name.parse().unwrap(), listed(bytes))).collect();
    session.say(&ToMinion::Modules(Box::new(Modules { ask: wanted.ask, files, ..Modules::default() })));
}

fn wanted(session: &mut Session) -> ModuleWanted {
    match hear(session) {
        ToMaster::ModuleWanted(wanted) => *wanted,
        other => panic!("expected the asking for a module, got {other:?}"),
    }
}

fn hand(session: &mut Session, wanted: &ModuleWanted, body: Bytes) {
    let ModuleWanted { ask, name, sha256 } = wanted.clone();
    let size = body.len();
    session.say(&ToMinion::Module(Box::new(Module { ask, name, sha256, size, refused: None, body })));
}

/// A whole synchronisation.
fn sync(session: &mut Session, number: u64, files: &[(&str, Bytes)]) -> serde_json::Value {
    session.order(number, "brine.sync_modules", None);
    list(session, files);
    let mut open = true;
    let mut returned = json!(null);
    while open {
        match hear(session) {
            ToMaster::ModuleWanted(wanted) => {
                let (_, body) = files.iter().find(|(name, _)| *name == wanted.name.as_str()).unwrap();
                hand(session, &wanted, body.clone());
            }
            ToMaster::Return(told) => {
                let brine_protocol::job::Ending::Returned(told) = told.ending else { panic!("{told:?}") };
                (open, returned) = (false, told.value);
            }
            other => panic!("{other:?}"),
        }
    }
    session.stored(&[number], number + 1);
    returned
}

#[test]
fn what_a_hostile_master_sends_replaces_nothing() {
    let master = Master::new("master", 1);
    let minion = Minion::start(&master, "");
    let (mut session, _) = master.live(&[]);
    let (old, new) = (version(b'a'), version(b'b'));
    assert_eq!(sync(&mut session, 1, &[("foo", old.clone())]), json!(["modules.foo"]));
    let path = minion.path(FOLDER).join("foo");
    for (number, body) in
        [(2, version(b'c')), (3, Bytes::new()), (4, new.slice(..10)), (5, vec![0; 1000].into())]
    {
        session.order(number, "brine.sync_modules", None);
        list(&mut session, &[("foo", new.clone())]);
        let wanted = wanted(&mut session);
        hand(&mut session, &wanted, body);
        let (_, state, value) = session.returned();
        assert_eq!(state, "returned");
        let value = value.as_str().unwrap();
        assert!(value.starts_with("ERROR: foo: ") && value.ends_with("; changed: nothing"), "{value}");
        assert_eq!(fs::read(&path).unwrap(), old);
        session.stored(&[number], number + 1);
    }
    // What nobody asked for, or nobody asks for any more, is nothing.
    let stale = ModuleWanted { ask: 1, name: "bar".parse().unwrap(), sha256: digest(b"x") };
    hand(&mut session, &stale, Bytes::from_static(b"x"));
    assert_eq!(sync(&mut session, 6, &[("foo", new.clone())]), json!(["modules.foo"]));
    assert_eq!(fs::read(&path).unwrap(), new);
    assert!(!minion.path(FOLDER).join("bar").exists());
}

#[test]
fn a_name_that_leads_elsewhere_ends_the_session() {
    let master = Master::new("master", 1);
    let minion = Minion::start(&master, "");
    let (mut session, _) = master.live(&[]);
    session.order(1, "brine.sync_modules", None);
    let ToMaster::ModulesWanted(asked) = hear(&mut session) else { panic!("no asking for the list") };
    let json = format!(
        r#"{{"ask":{},"files":{{"../../../x":{{"sha256":"{}","size":1}}}}}}"#,
        asked.ask,
        "00".repeat(32)
    );
    let frame = brine_protocol::frame::Frame::control(45, json.into_bytes());
    let sealed = session.channel.sealer.seal(&frame, 0);
    session.conn.send(&[&sealed]);
    eventually("it says why", || minion.log().contains("kind 45 is malformed"));
    // It asks the next session again, which is a better one.
    let (mut session, _) = master.live(&[]);
    list(&mut session, &[]);
    assert_eq!(session.returned().2, json!([]));
    assert!(!minion.path(FOLDER).exists());
}

#[test]
fn a_master_that_is_silent_ends_the_function() {
    let master = Master::new("master", 1);
    let _minion = Minion::start(&master, "");
    let (mut session, _) = master.live(&[]);
    let mut order = fake::order(1, "brine.sync_modules", None);
    order.calls[0].keywords.insert("timeout".to_owned(), json!(0.2));
    session.say(&ToMinion::Order(Box::new(order)));
    let ToMaster::ModulesWanted(_) = hear(&mut session) else { panic!("no asking for the list") };
    let (_, state, value) = session.returned();
    let value = value.as_str().unwrap();
    assert!(
        state == "returned" && value.contains("has not sent the list of its modules within 0.2 s"),
        "{value}"
    );
}

#[test]
fn a_minion_that_is_killed_has_the_old_file_or_the_new_one() {
    let master = Master::new("master", 1);
    let mut minion = Minion::start(&master, "");
    let folder = minion.path(FOLDER);
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    let (mut session, _) = master.live(&[]);
    let files = |byte| [("a.sh", version(byte)), ("b.sh", version(byte + 1))];
    assert_eq!(sync(&mut session, 1, &files(b'0')), json!(["modules.a", "modules.b"]));
    // Each time a step later: before, while and after the first file is written, and in the midst of the second.
    for step in 0..8_u64 {
        let (old, new) = (b'0' + 2 * u8::try_from(step).unwrap(), b'0' + 2 * u8::try_from(step).unwrap() + 2);
        session.order(10 + 2 * step, "brine.sync_modules", None);
        list(&mut session, &files(new));
        let first = wanted(&mut session);
        if step > 0 {
            hand(&mut session, &first, version(new));
        }
        if step > 4 {
            let second = wanted(&mut session);
            assert_eq!(read("a.sh"), version(new), "it asks for the next when this is in place");
            hand(&mut session, &second, version(new + 1));
        }
        if step % 4 > 1 {
            // Until it has begun to write, or is through already.
            let unfinished = || {
                let names = fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.file_name());
                names.into_iter().any(|name| name.to_string_lossy().ends_with(".new"))
            };
            let (name, byte) = if step > 4 { ("b.sh", new + 1) } else { ("a.sh", new) };
            eventually("it writes", || unfinished() || read(name) == version(byte));
        }
        minion.kill();
        drop(session);
        for (name, from, to) in [("a.sh", old, new), ("b.sh", old + 1, new + 1)] {
            let found = read(name);
            assert!(found == version(from) || found == version(to), "{name} is half done at step {step}");
        }
        // With both files handed over, the job may have been through before it was killed.
        let is_through = step > 4 && read("b.sh") == version(new + 1);
        minion.restart();
        let (next, start) = master.live(&[]);
        session = next;
        assert!(start.open.contains(&(10 + 2 * step)), "the job that was killed: {start:?}");
        let ending = session.returned().1;
        assert!(ending == "interrupted" || is_through && ending == "returned", "{ending} at step {step}");
        session.stored(&[10 + 2 * step], 11 + 2 * step);
        // It is still the master's to replace, and nothing is left over.
        let changed = sync(&mut session, 11 + 2 * step, &files(new));
        assert!(changed.is_array(), "{changed}");
        assert_eq!((read("a.sh"), read("b.sh")), (version(new).to_vec(), version(new + 1).to_vec()));
        let names = fs::read_dir(&folder).unwrap().count();
        assert_eq!(names, 3, "the manifest and two files");
    }
    assert_eq!(sync(&mut session, 100, &[]), json!([]));
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
}
