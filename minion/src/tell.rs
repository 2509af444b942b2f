//! What an administrator asks of a minion on its machine: who it is, and whom to trust.

use anyhow::{Context, Result, bail};
use brine_local::Paths;
use brine_protocol::{Fingerprint, MinionId};

use crate::config::Options;
use crate::identity;
use crate::trust::{Told, Trust};

/// `brine-minion fingerprint`: id, key and pinned master. Needs no master, and makes no key: a key
/// that nobody asked for would be the wrong one once Salt's is to be taken over.
///
/// # Errors
/// There is no key yet, with what makes one; or a file cannot be read.
pub fn fingerprint(paths: &Paths, options: &Options, id: &MinionId) -> Result<String> {
    let folder = paths.pki_minion();
    let key = |name: &str| -> Result<Option<Fingerprint>> {
        let path = folder.join(name);
        let Some(key) = identity::read(&path)? else { return Ok(None) };
        let key = key.with_context(|| format!("cannot use {}", path.display()))?;
        Ok(Some(key.public().fingerprint()))
    };
    let (own, next) = (key("minion.pem")?, key("minion.next.pem").unwrap_or_default());
    let Some(own) = own.or(next) else {
        bail!(
            "{id} has no key yet: brine-minion makes one at its first start, brine-minion adopt-salt takes over \
             Salt's"
        );
    };
    let trust = Trust::new(&folder, options.master_finger);
    let mut text = format!("id           {id}\nfingerprint  {own}\n");
    let border = format!("             +{}+\n", "-".repeat(17));
    text.push_str(&border);
    for line in own.picture() {
        text.push_str(&format!("             |{line}|\n"));
    }
    text.push_str(&border);
    if let Some(next) = next.filter(|next| *next != own) {
        text.push_str(&format!("next key     {next} (a rotation is under way)\n"));
    }
    match trust.pinned()? {
        Some(master) => text.push_str(&format!("master       {master}\n")),
        None => text.push_str("master       none yet: the first that answers is trusted\n"),
    }
    if let Some(successor) = trust.successor()? {
        text.push_str(&format!("next master  {successor} (announced by the master)\n"));
    }
    Ok(text)
}

/// `brine-minion trust-master`: pins this key instead of the one before. A running minion reads
/// the pin before each session and looks at it during one, so that nothing has to be restarted.
///
/// # Errors
/// The option `master_finger` names another key, the folder is another user's, or a file cannot be
/// written.
pub fn trust_master(paths: &Paths, options: &Options, fingerprint: Fingerprint) -> Result<String> {
    let told = Trust::new(&paths.pki_minion(), options.master_finger).trust_only(fingerprint)?;
    Ok(match told {
        Told::Already => format!("This minion trusts {fingerprint} already.\n"),
        Told::Pinned { instead: None } => format!("This minion trusts {fingerprint} from now on.\n"),
        Told::Pinned { instead: Some(old) } => format!(
            "This minion trusts {fingerprint} from now on,\nand no longer   {old}.\nA running minion ends \
             its session with that one, and tries again within seconds.\n"
        ),
    })
}
