//! `brine-minion adopt-salt`: this machine keeps the name and the key that it had under Salt.
//!
//! Salt's files are read and left as they are. **Invariant:** nothing is written before everything
//! was checked, the id before the key: a minion that starts in between knocks under no wrong name.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use brine_local::Paths;
use brine_local::file::{self, FileError, Lock};
use brine_local::text::escape;
use brine_pki::key::{PrivateKey, PublicKey};
use brine_pki::salt::{salt_fingerprint, salt_key_fingerprint};
use brine_protocol::MinionId;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::config::Options;
use crate::identity;

const FILE_MAX: u64 = 1024 * 1024;

/// Where Salt's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pki: PathBuf,
    config: PathBuf,
}

impl Source {
    /// The folders that were named; else Salt's own under the root, its configuration two folders
    /// above its keys.
    #[must_use]
    pub fn new(root: &Path, pki: Option<PathBuf>, config: Option<PathBuf>) -> Self {
        let pki = pki.unwrap_or_else(|| root.join("etc/salt/pki/minion"));
        let above = || pki.parent().and_then(Path::parent).unwrap_or(&pki).to_owned();
        Self { config: config.unwrap_or_else(above), pki }
    }
}

/// Takes over id and key. Gives what to print.
///
/// # Errors
/// One sentence; nothing was changed.
pub fn run(paths: &Paths, options: &Options, source: &Source) -> Result<String> {
    let salts = source.pki.join("minion.pem");
    let pem = Zeroizing::new(file::read_text(&salts, FILE_MAX)?);
    let key = PrivateKey::from_pem(&pem)
        .with_context(|| format!("the key in {} cannot be taken over", salts.display()))?;
    let id = match (source.id()?, &options.id) {
        (Some((id, place)), Some(configured)) if id != *configured => bail!(
            "{} names this machine {id}, but the configuration here says {configured}: change one of the two \
             before its key is taken over",
            place.display()
        ),
        (Some((id, _)), _) => id,
        (None, Some(configured)) => configured.clone(),
        (None, None) => bail!(
            "neither {} nor the option id in {} says what this machine is called: write `id: NAME` into {}",
            source.config.join("minion_id").display(),
            source.config.join("minion").display(),
            paths.config_file("minion").display()
        ),
    };

    let folder = paths.pki_minion();
    file::check_own_dir(&folder)?;
    file::create_private_dir(&paths.minion_state_dir())?;
    let _only_one = match Lock::take(&paths.minion_state_dir().join("lock")) {
        Err(error @ FileError::Locked { .. }) => {
            bail!("{error}: stop brine-minion before its key is changed")
        }
        taken => taken?,
    };
    let own = folder.join("minion.pem");
    let fingerprint = key.public().fingerprint();
    let is_there = match identity::read(&own)? {
        Some(Ok(present)) if *present.public() == *key.public() => true,
        Some(Ok(present)) => bail!(
            "{} has another key already ({}): to take over Salt's key, {fingerprint}, move that file away first",
            own.display(),
            present.public().fingerprint()
        ),
        Some(Err(error)) => bail!("{} is there already and is no key: {error}", own.display()),
        None if folder.join("minion.next.pem").exists() => bail!(
            "{} is there, so another key of this machine may be known to the master: move that file away first",
            folder.join("minion.next.pem").display()
        ),
        None => false,
    };

    let is_named = options.id.is_some();
    if !is_named {
        let folder = paths.config_folder("minion");
        file::create_dir(&folder, 0o755)?;
        // Quoted: an id may look like a number to YAML.
        let text = format!("# Taken over from Salt by brine-minion adopt-salt.\nid: \"{id}\"\n");
        file::replace(&folder.join("adopted.yaml"), text.as_bytes(), 0o644)?;
    }
    if !is_there {
        file::create_private_dir(&folder)?;
        file::replace(&own, key.to_pem().as_bytes(), 0o600)?;
    }
    let public = key.public().to_pem();
    file::replace(&folder.join("minion.pub"), public.as_bytes(), 0o644)?;

    let shown = source.public_text(key.public()).unwrap_or(public);
    let done = if is_named && is_there { "Taken over already" } else { "Taken over" };
    let mut text = format!(
        "{done} from {}.\n  id                    {id}\n  fingerprint           {fingerprint}\n  \
         salt-call key.finger  {}\n  salt-key -f           {} (Salt 3008)\n",
        source.pki.display(),
        salt_fingerprint(&shown),
        // A Salt master has the text that its minion sent: without the last line feed.
        salt_key_fingerprint(shown.trim())
    );
    // It was so under Salt, and refusing would make nobody forget what he may have read; the copy
    // here is private, and another key is one command away.
    if file::check_private(&salts).is_err() {
        text.push_str(&format!(
            "{} is open to other users: whoever read it can pose as this machine. Once the master has accepted \
             the key, replace it: brine {id} brine.rotate_key\n",
            salts.display()
        ));
    }
    Ok(text)
}

impl Source {
    /// Salt's public key file, if it is of this key: Salt's fingerprints are of its text.
    fn public_text(&self, key: &PublicKey) -> Option<String> {
        let text = file::read_text(&self.pki.join("minion.pub"), FILE_MAX).ok()?;
        (PublicKey::from_pem(&text).as_ref() == Ok(key)).then_some(text)
    }

    /// What Salt calls this machine, and where it says so. As in Salt, the option wins over the
    /// file in which Salt keeps what it once found out.
    fn id(&self) -> Result<Option<(MinionId, PathBuf)>> {
        let mut files = vec![self.config.join("minion")];
        let mut more: Vec<PathBuf> = match fs::read_dir(self.config.join("minion.d")) {
            Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
            Err(_) => Vec::new(),
        };
        more.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
        more.sort();
        files.extend(more);
        let mut found = None;
        for path in files {
            found = option_id(&path)?.map(|id| (id, path)).or(found);
        }
        let kept = self.config.join("minion_id");
        let (text, place) = match found {
            Some(found) => found,
            None => match file::read_text(&kept, FILE_MAX) {
                Ok(text) => (text.trim().to_owned(), kept),
                Err(error) if error.is_not_found() => return Ok(None),
                Err(error) => return Err(error.into()),
            },
        };
        let id = text.parse::<MinionId>().map_err(|error| {
            anyhow::anyhow!(
                "{} names this machine {:?}, which cannot be its id here: {error}",
                place.display(),
                escape(&text)
            )
        })?;
        Ok(Some((id, place)))
    }
}

/// The option `id` in one of Salt's files.
fn option_id(path: &Path) -> Result<Option<String>> {
    let text = match file::read_text(path, FILE_MAX) {
        Ok(text) => text,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let options: Option<Map<String, Value>> = serde_saphyr::from_str(&text)
        .map_err(|error| anyhow::anyhow!("cannot read {}: {}", path.display(), escape(&error.to_string())))?;
    Ok(match options.unwrap_or_default().remove("id") {
        Some(Value::String(id)) => Some(id),
        Some(Value::Number(id)) => Some(id.to_string()),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
