//! What `master.yaml` says about who may be let in, for when no master runs to heed it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use brine_local::Paths;
use brine_local::walk::walk;
use brine_local::{config, file};
use brine_pki::registry::rules::{BYTES_MAX, Expressions};
use serde_json::Value;

/// The options that bound what an operator may accept.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// Most keys that are accepted or suspended; 0 means no limit.
    pub(super) max_minions: usize,
    /// Ids that are turned away.
    pub(super) autoreject: Expressions,
}

/// Reads them; a sentence when it cannot be known what they are.
pub(super) fn read(paths: &Paths) -> Result<Settings, String> {
    let options = config::said(paths, "master").map_err(|error| error.to_string())?;
    let max_minions = match options.get("max_minions") {
        None | Some(Value::Null) => 0,
        Some(value) => value
            .as_u64()
            .and_then(|max| usize::try_from(max).ok())
            .ok_or("option \"max_minions\" of master.yaml is no whole number")?,
    };
    let autoreject = match options.get("autoreject_file") {
        None | Some(Value::Null) => Expressions::default(),
        Some(Value::String(path)) => autoreject(&paths.config_dir().join(path), owner(paths))?,
        Some(_) => return Err("option \"autoreject_file\" of master.yaml is no path".to_owned()),
    };
    Ok(Settings { max_minions, autoreject })
}

fn autoreject(path: &Path, owner: u32) -> Result<Expressions, String> {
    let sentence = |why: String| format!("cannot use {} (option \"autoreject_file\"): {why}", path.display());
    // Refused is what others may have written, as the master does: they could have taken lines out.
    let (steps, walked) = walk(path);
    for step in &steps {
        let is_end = walked.as_ref().is_ok_and(|end| *end == step.path);
        let weakness = step.facts.as_ref().and_then(|facts| facts.weakness(&step.path, owner, is_end));
        if let Some((why, mend)) = weakness {
            let why = format!("others than root and the master may write {} ({why})", step.path.display());
            return Err(sentence(format!("{why}; run: {mend}")));
        }
    }
    let real = walked.map_err(|error| sentence(error.to_string()))?;
    if !real.is_file() {
        return Err(sentence("it is not a file".to_owned()));
    }
    let text = file::read_text(&real, BYTES_MAX as u64).map_err(|error| sentence(error.to_string()))?;
    Expressions::parse(&text).map_err(|error| sentence(error.to_string()))
}

/// The user that the master runs as.
fn owner(paths: &Paths) -> u32 {
    let folder: PathBuf = paths.master_state_dir();
    fs::metadata(folder).map_or(0, |found| found.uid())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_cannot_be_known_is_said() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::new(Some(root.path()), None);
        fs::create_dir_all(paths.config_dir()).unwrap();
        fs::create_dir_all(paths.master_state_dir()).unwrap();
        let none = read(&paths).unwrap();
        assert_eq!((none.max_minions, none.autoreject.find("evil1")), (0, None));

        let list = paths.config_dir().join("no.txt");
        fs::write(&list, "evil*\n").unwrap();
        let write = |text: &str| fs::write(paths.config_file("master"), text).unwrap();
        write("max_minions: 3\nautoreject_file: no.txt\nkeysize: 2048\n");
        let read_now = read(&paths).unwrap();
        assert_eq!((read_now.max_minions, read_now.autoreject.find("evil1")), (3, Some("evil*")));

        fs::set_permissions(&list, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(read(&paths).unwrap_err().contains("may write"));
        for (text, part) in [
            ("max_minions: -1\n", "max_minions"),
            ("max_minions: many\n", "max_minions"),
            ("autoreject_file: [a]\n", "no path"),
            ("autoreject_file: nosuch\n", "nosuch"),
            ("autoreject_file: /dev/null\n", "may write"),
            ("autoreject_file: .\n", "not a file"),
            ("max_minions: [\n", "master.yaml:"),
        ] {
            write(text);
            let why = read(&paths).unwrap_err();
            assert!(why.contains(part), "{text}: {why}");
        }
    }
}
