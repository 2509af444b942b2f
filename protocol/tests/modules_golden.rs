//! The bodies that came with custom modules, byte for byte; still version 1, which only grew.
//!
//! These bytes have shipped: do not change this test or a file in `golden/v1-modules`. A body that has
//! to be written otherwise is a new version with golden files of its own beside these.

mod bytes;

use ::bytes::{Bytes, BytesMut};
use brine_protocol::frame::Frame;
use brine_protocol::message::{ToMaster, ToMinion};
use brine_protocol::modules::{Digest, Listed, Module, ModuleWanted, Modules, ModulesWanted, Refused};
use bytes::{Golden, Said, names};

const GOLDEN: Golden = Golden("v1-modules");

/// The bytes that `module_frame.hex` carries.
const BODY: &[u8] = b"#!/bin/sh\n\x00\xff";

fn to_master() -> Said<ToMaster> {
    let wanted = ModuleWanted { ask: 8, name: "foo.py".parse().expect("a name"), sha256: Digest([0x2a; 32]) };
    vec![
        ("modules_wanted", 10, ToMaster::ModulesWanted(ModulesWanted { ask: 7 })),
        ("module_wanted", 11, ToMaster::ModuleWanted(Box::new(wanted))),
    ]
}

fn module() -> Module {
    Module {
        ask: 8,
        name: "foo.py".parse().expect("a name"),
        sha256: Digest([0x2a; 32]),
        size: BODY.len(),
        refused: None,
        body: Bytes::new(),
    }
}

fn to_minion() -> Said<ToMinion> {
    let listed = |byte, size| Listed { sha256: Digest([byte; 32]), size };
    let listing = Modules {
        ask: 7,
        files: [("bar", listed(0x2b, 4096)), ("foo.py", listed(0x2a, 12))]
            .map(|(name, listed)| (name.parse().expect("a name"), listed))
            .into(),
        refused: vec![Refused { name: "Big".to_owned(), why: "it is too large".to_owned() }],
        problem: None,
    };
    let problem = Some("others could change the folder".to_owned());
    let gone = Module { refused: Some("it has changed since it was listed".to_owned()), ..module() };
    vec![
        ("modules", 45, ToMinion::Modules(Box::new(listing))),
        (
            "modules_problem",
            45,
            ToMinion::Modules(Box::new(Modules { ask: 9, problem, ..Modules::default() })),
        ),
        ("module", 46, ToMinion::Module(Box::new(module()))),
        ("module_refused", 46, ToMinion::Module(Box::new(gone))),
    ]
}

#[test]
fn writes_and_reads_these_bytes() {
    GOLDEN.check_to_master(to_master());
    GOLDEN.check_to_minion(to_minion());
    let frames = ["module_frame"];
    GOLDEN.check_all_read(names(&to_master()).into_iter().chain(names(&to_minion())).chain(frames));
}

#[test]
fn a_module_is_the_binary_part_of_its_frame() {
    let message = ToMinion::Module(Box::new(Module { body: Bytes::from_static(BODY), ..module() }));
    let mut written = BytesMut::new();
    message.to_frame().encode(&mut written);
    let hex: String = written.iter().map(|byte| format!("{byte:02x}")).collect();
    let golden: String = serde_json::from_slice(&GOLDEN.read("module_frame")).expect("a text");
    assert_eq!(hex, golden);
    let frame = Frame::decode(&written.freeze()).expect("a frame");
    assert_eq!(ToMinion::from_frame(&frame), Ok(message));
}

#[test]
fn what_may_be_left_out_and_what_is_refused() {
    let down = |kind, body: &str| ToMinion::from_frame(&Frame::control(kind, body.to_owned().into()));
    let empty = Modules { ask: 1, ..Modules::default() };
    assert_eq!(down(45, r#"{"ask":1,"signed":true}"#), Ok(ToMinion::Modules(Box::new(empty))));
    let hash = "2a".repeat(32);
    for name in ["../foo", ".foo", "Foo", "a/b", "foo.py.old", ""] {
        assert!(
            down(45, &format!(r#"{{"ask":1,"files":{{"{name}":{{"sha256":"{hash}","size":1}}}}}}"#)).is_err()
        );
        assert!(down(46, &format!(r#"{{"ask":1,"name":"{name}","sha256":"{hash}","size":1}}"#)).is_err());
        let up = format!(r#"{{"ask":1,"name":"{name}","sha256":"{hash}"}}"#);
        assert!(ToMaster::from_frame(&Frame::control(11, up.into())).is_err());
    }
}
