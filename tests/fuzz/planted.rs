//! Faults that are known to be there: what finds nothing in these finds nothing anywhere.

use std::hint::black_box;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use brine_tests::fuzzed::Target;
use libtest_mimic::{Failed, Trial};
use nix::unistd::gettid;

use crate::hunt::Hunt;
use crate::judge::worked;

const PLANTED: [Target; 6] = [
    target("planted_panic", panics),
    target("planted_memory", hoards),
    target("planted_time", dawdles),
    target("planted_overflow", digs),
    target("planted_hang", hangs),
    target("planted_nothing", nothing),
];

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run, room: 64 * 1024, per_byte: 16, millis: 200 }
}

/// The target of this name.
pub fn find(name: &str) -> Option<&'static Target> {
    PLANTED.iter().find(|target| target.name == name)
}

/// What all of these begin with; nothing when it is no name of one.
pub fn corpus(name: &str) -> Option<Vec<Vec<u8>>> {
    find(name).map(|_| vec![b"web1 and (db2)".to_vec(), b"{\"a\": [1, 2]}".to_vec()])
}

fn panics(bytes: &[u8]) {
    assert_ne!(bytes.first(), Some(&0x9b), "a magic byte");
}

fn hoards(bytes: &[u8]) {
    if bytes.len() > 40 {
        black_box(vec![1_u8; 100_000_000]);
    }
}

/// By the clock of the processor, as it is judged.
fn dawdles(bytes: &[u8]) {
    let now = || worked(gettid()).unwrap_or_else(|| began().elapsed());
    let start = now();
    while bytes.starts_with(b"(((") && now().saturating_sub(start) < Duration::from_millis(400) {
        for n in 0..10_000 {
            black_box(n);
        }
    }
}

fn began() -> Instant {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    *BEGAN.get_or_init(Instant::now)
}

/// As deep as there are brackets, with a frame of a kilobyte for each.
fn digs(bytes: &[u8]) {
    fn dig(depth: usize) -> u8 {
        let frame = black_box([1_u8; 1024]);
        if depth == 0 { frame[0] } else { black_box(dig(depth - 1)) ^ frame[depth % 1024] }
    }
    black_box(dig(bytes.iter().filter(|byte| **byte == b'(').count()));
}

fn hangs(bytes: &[u8]) {
    while bytes.ends_with(b"]") {
        black_box(bytes);
    }
}

fn nothing(bytes: &[u8]) {
    black_box(bytes.to_vec());
}

/// What is checked about the machinery.
pub fn trials() -> Vec<Trial> {
    let found = |name: &'static str, target: &'static str, said: &'static str| {
        Trial::test(name, move || is_found(target, said))
    };
    vec![
        found("a_planted_panic_is_found", "planted_panic", "it panics: panicked at"),
        found("planted_greed_is_found", "planted_memory", "it has 1000"),
        found("planted_slowness_is_found", "planted_time", " ms, and has 200"),
        found(
            "a_planted_overflow_of_the_stack_is_found",
            "planted_overflow",
            "its process ends with signal: 6",
        ),
        found("a_planted_loop_without_end_is_found", "planted_hang", "it is still at it"),
        Trial::test("where_nothing_is_planted_nothing_is_found", nothing_is_found),
    ]
}

/// It is found, the input is kept, and shows the same again; and it is small.
fn is_found(target: &str, said: &str) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let hunt = Hunt::planted(target, folder.path());
    let Err(told) = hunt.run() else { return Err(format!("nothing was found in {target}").into()) };
    let file = told.split_once("FUZZ_INPUT=").and_then(|(_, rest)| rest.split(' ').next());
    let file = file.ok_or_else(|| format!("it does not say how to see it again: {told}"))?;
    if !told.contains(said) || !told.contains(&format!("FUZZ_SEED=1: {target}: ")) {
        return Err(format!("it says something else: {told}").into());
    }
    if target == "planted_panic" && std::fs::read(file)? != [0x9b] {
        return Err(format!("it is not shrunk: {:?}", std::fs::read(file)?).into());
    }
    match hunt.replay(file.as_ref()) {
        Err(again) if again.contains(said) => Ok(()),
        other => Err(format!("it does not show again: {other:?}").into()),
    }
}

fn nothing_is_found() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let told = Hunt::planted("planted_nothing", folder.path()).brief(300).run()?;
    let inputs = told.split(' ').nth(1).and_then(|count| count.parse::<u64>().ok());
    if inputs.is_some_and(|inputs| inputs > 1000) { Ok(()) } else { Err(told.into()) }
}
