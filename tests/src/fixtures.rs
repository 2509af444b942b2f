//! What a fleet is made of: short folders, fixed keys, ports that stay one's own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use tempfile::TempDir;

/// A short temporary directory: a Unix socket's path has at most 107 bytes, and `TMPDIR` of a
/// build machine may already use most of them.
///
/// # Panics
/// No temporary directory can be made.
#[must_use]
pub fn short_dir() -> TempDir {
    let builder = || {
        let mut builder = tempfile::Builder::new();
        builder.prefix("br");
        builder
    };
    builder().tempdir_in("/tmp").or_else(|_| builder().tempdir()).expect("a temporary directory can be made")
}

/// The file of a fixed test key, `name.pem` or `name.pub`.
#[must_use]
pub fn key_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/keys").join(name)
}

/// Copies a fixed key pair to `folder/as_name.{pem,pub}` with the modes Brine wants.
///
/// # Panics
/// The key does not exist or the folder is not writable.
pub fn place_key(name: &str, folder: &Path, as_name: &str) {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).expect("folder");
    for (end, mode) in [("pem", 0o600), ("pub", 0o644)] {
        let text = fs::read(key_file(&format!("{name}.{end}"))).expect("a test key");
        let path = folder.join(format!("{as_name}.{end}"));
        let _ = fs::remove_file(&path);
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path).expect("key file");
        std::io::Write::write_all(&mut file, &text).expect("key file");
    }
}

/// SHA-256 of a public key's DER as fingerprints are written, from its PEM text: worked out here
/// so that the programs are not checked against themselves.
///
/// # Panics
/// The text is no PEM.
#[must_use]
pub fn fingerprint_of(pem: &str) -> String {
    use sha2::Digest;
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let mut der = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for c in body.trim().bytes().filter(|b| *b != b'=') {
        let six = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
            .iter()
            .position(|b| *b == c)
            .expect("base64") as u32;
        bits = bits << 6 | six;
        count += 6;
        if count >= 8 {
            count -= 8;
            der.push((bits >> count) as u8);
        }
    }
    let pairs: Vec<String> = sha2::Sha256::digest(&der).iter().map(|b| format!("{b:02x}")).collect();
    pairs.join(":")
}

/// The fingerprint of a fixed test key.
///
/// # Panics
/// There is no such key.
#[must_use]
pub fn fingerprint(name: &str) -> String {
    fingerprint_of(&fs::read_to_string(key_file(&format!("{name}.pub"))).expect("a test key"))
}

/// Holds a port that no other fleet is given while the lock lives, and that lies below the range
/// from which the system gives ports to connections.
///
/// # Panics
/// No port is free.
#[must_use]
pub fn reserve_port() -> (u16, Flock<fs::File>) {
    let floor = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse::<u16>().ok())
        .unwrap_or(32768);
    let folder = std::env::temp_dir().join("brine-test-ports");
    fs::create_dir_all(&folder).expect("a temporary directory");
    for _ in 0..1000 {
        let mut random = [0; 2];
        getrandom::fill(&mut random).expect("random bytes");
        let port = 10_000 + u16::from_le_bytes(random) % (floor.max(10_100) - 10_000);
        let file = fs::File::create(folder.join(port.to_string())).expect("a lock file");
        let Ok(lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else {
            continue;
        };
        if TcpListener::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).is_ok() {
            return (port, lock);
        }
    }
    panic!("no free port below {floor}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked out once with `openssl pkey -pubin -outform DER | sha256sum`.
    #[test]
    fn fingerprints_are_those_of_openssl() {
        let digits = fingerprint("master").replace(':', "");
        assert_eq!(digits, "3aaa9ccaebbeb7aa1504e1bd3ec898ccb5ec5f4174467330ad7c742c6eecd2c1");
    }

    #[test]
    fn a_reserved_port_is_given_once() {
        let (first, second) = (reserve_port(), reserve_port());
        assert_ne!(first.0, second.0);
    }
}
