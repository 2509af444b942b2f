//! Every decoder of foreign bytes as a function of bytes, for the fuzzers: `tests/fuzz`, which every
//! `cargo test` runs, and `fuzz/`, for `cargo fuzz`.
//!
//! **Invariant:** a target gives the same answer to the same bytes, never panics unless a decoder
//! breaks a promise, and touches nothing but a folder of its own.

mod bodies;
mod files;
mod keys;
mod records;
mod scratch;
mod tickets;
mod typing;
mod wire;
mod words;

/// A decoder, and what it may use.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, also that of its corpus.
    pub name: &'static str,
    /// Feeds it, and panics when it breaks a promise.
    pub run: fn(&[u8]),
    /// The most bytes that it may have allocated at one time, whatever it is fed.
    pub room: usize,
    /// How many more for each byte that it is fed.
    pub per_byte: usize,
    /// The longest that a processor may work on one input, in milliseconds, in a build without
    /// optimisation.
    pub millis: u64,
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// All of them.
pub const TARGETS: &[Target] = &[
    target("zmtp_master", wire::zmtp_master, 16 * KIB, 256),
    target("zmtp_minion", wire::zmtp_minion, 16 * KIB, 256),
    target("frame", wire::frame, 16 * KIB, 64),
    target("message", wire::message, 64 * KIB, 256),
    target("handshake_offer", keys::handshake_offer, 64 * KIB, 16),
    target("handshake_hello", keys::handshake_hello, 64 * KIB, 16),
    target("handshake_welcome", keys::handshake_welcome, 256 * KIB, 16),
    target("handshake_resume", tickets::handshake_resume, 64 * KIB, 16),
    target("ticket_keys", tickets::ticket_keys, 64 * KIB, 64),
    target("sealed_channel", keys::sealed_channel, 16 * KIB, 16),
    target("broadcast", keys::broadcast, 64 * KIB, 16),
    target("key_rotation", keys::key_rotation, 64 * KIB, 16),
    target("key_text", keys::key_text, 256 * KIB, 16),
    target("target", words::target, 64 * MIB, 256),
    slow(target("nodegroups", words::nodegroups, 64 * MIB, 256)),
    target("glob", words::glob, 16 * KIB, 192),
    target("small_words", words::small_words, 64 * KIB, 128),
    slow(target("acceptance", words::acceptance, 64 * MIB, 256)),
    target("arguments", typing::arguments, 64 * KIB, 512),
    target("typed_word", typing::typed_word, 64 * KIB, 512),
    slow(target("yaml", files::yaml, 64 * MIB, 1024)),
    slow(target("pillar", files::pillar, 64 * MIB, 1024)),
    target("server_import", files::server_import, 64 * KIB, 512),
    target("bundle", files::bundle, 512 * KIB, 16),
    target("ledger_line", records::ledger_line, 64 * KIB, 64),
    target("ledger_file", records::ledger_file, 512 * KIB, 1024),
    target("waiting_keys", records::waiting_keys, 64 * KIB, 64),
    target("journal", records::journal, 64 * KIB, 64),
    target("control_body", bodies::control_body, 64 * KIB, 256),
    target("control_answer", bodies::control_answer, 64 * KIB, 256),
];

const fn target(name: &'static str, run: fn(&[u8]), room: usize, per_byte: usize) -> Target {
    Target { name, run, room, per_byte, millis: 200 }
}

/// One whose own limits, such as 100,000 nodes of YAML or 64 KiB of nodegroups, allow for more work.
const fn slow(target: Target) -> Target {
    Target { millis: 1000, ..target }
}

/// The target of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Feeds the target of this name.
///
/// # Panics
/// There is none, or it broke a promise.
pub fn run(name: &str, bytes: &[u8]) {
    let target = find(name).unwrap_or_else(|| panic!("no target is called {name}"));
    (target.run)(bytes);
}
