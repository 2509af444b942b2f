//! A few fixed keys, read once: making them is what is slow.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use brine_pki::handshake::master::{Agreement, Succession};
use brine_pki::key::PrivateKey;

fn read(name: &str) -> Arc<PrivateKey> {
    let path = brine_tests::fixtures::key_file(name);
    let pem = std::fs::read_to_string(&path).expect("a fixed key");
    Arc::new(PrivateKey::from_pem(&pem).expect("a fixed key"))
}

/// The master's key.
pub fn master() -> &'static PrivateKey {
    static KEY: OnceLock<Arc<PrivateKey>> = OnceLock::new();
    KEY.get_or_init(|| read("master.pem"))
}

/// How many minions have keys.
pub const MINIONS_MAX: usize = 3;

/// The two keys of a minion.
pub fn minion(n: usize) -> [Arc<PrivateKey>; 2] {
    static KEYS: OnceLock<Vec<Arc<PrivateKey>>> = OnceLock::new();
    let keys = KEYS.get_or_init(|| (1..=2 * MINIONS_MAX).map(|n| read(&format!("m{n}.pem"))).collect());
    [Arc::clone(&keys[n]), Arc::clone(&keys[n + MINIONS_MAX])]
}

/// The config with this serial: signed once for all worlds.
pub fn agreement(serial: u64) -> Arc<Agreement> {
    static MADE: Mutex<BTreeMap<u64, Arc<Agreement>>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().expect("no holder panics");
    let secret = [u8::try_from(serial % 251).expect("small") + 1; 32];
    let make = || Agreement::new(master(), serial, secret, &Succession::default());
    Arc::clone(made.entry(serial).or_insert_with(make))
}
