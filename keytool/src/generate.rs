//! `--gen-keys`: a pair to carry to a machine before its first start.

use std::path::Path;

use brine_client::Exit;
use brine_local::file;
use brine_local::output::screen::Screen;
use brine_local::output::{Style, render};
use brine_pki::key::{BITS_MAX, BITS_MIN, PrivateKey};
use serde_json::{Map, json};

use crate::failure::Failure;

pub(crate) fn run(
    name: &str,
    folder: &Path,
    bits: usize,
    style: &Style,
    screen: &mut Screen,
) -> Result<Exit, Failure> {
    if !(BITS_MIN..=BITS_MAX).contains(&bits) {
        return Err(Failure::Usage(format!(
            "a key has {BITS_MIN} to {BITS_MAX} bits; --keysize {bits} is neither"
        )));
    }
    let is_fine = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if name.is_empty() || !is_fine || name.starts_with(['.', '-']) || name.len() > 200 {
        return Err(Failure::Usage(format!(
            "{name:?} cannot name a key pair; use letters, digits, '.', '_' and '-', beginning with none of '.' and '-'"
        )));
    }
    if !folder.is_dir() {
        return Err(Failure::Usage(format!("there is no folder {}", folder.display())));
    }
    let private = folder.join(format!("{name}.pem"));
    let public = folder.join(format!("{name}.pub"));
    for path in [&private, &public] {
        if path.symlink_metadata().is_ok() {
            return Err(Failure::Refused(format!(
                "{} exists already; remove it first or take another name",
                path.display()
            )));
        }
    }
    let key = PrivateKey::generate(bits)?;
    file::replace(&private, key.to_pem().as_bytes(), 0o600)?;
    file::replace(&public, key.public().to_pem().as_bytes(), 0o644)?;
    let mut shown = Map::new();
    shown.insert(format!("{name}.pub"), json!(key.public().fingerprint()));
    screen.print(&render(&shown, style, 0))?;
    eprintln!("wrote {} (keep it secret) and {}", private.display(), public.display());
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use brine_pki::key::PublicKey;

    use super::*;

    #[test]
    fn a_pair_is_private_and_never_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let quiet = Style { format: brine_local::output::Format::Quiet, ..Style::default() };
        let make = |name: &str, bits| {
            run(name, folder.path(), bits, &quiet, &mut Screen::Stdout).map_err(|failure| failure.exit())
        };
        assert_eq!(make("web9", 2048), Ok(Exit::Ok));
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("a file");
        let private = PrivateKey::from_pem(&read("web9.pem")).expect("a private key");
        let public = PublicKey::from_pem(&read("web9.pub")).expect("a public key");
        assert_eq!(private.public().fingerprint(), public.fingerprint());
        let mode = std::fs::metadata(folder.path().join("web9.pem")).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(make("web9", 2048), Err(Exit::Refused));
        for name in ["", "../x", "a/b", ".x", "-x", "a\n"] {
            assert_eq!(make(name, 2048), Err(Exit::Usage), "{name:?}");
        }
        assert_eq!(make("x", 1024), Err(Exit::Usage));
        assert_eq!(make("x", 8192), Err(Exit::Usage));
    }
}
