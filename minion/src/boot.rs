//! Which boot of the machine this is.

use std::path::Path;

/// Where the kernel says it.
const FILE: &str = "proc/sys/kernel/random/boot_id";

/// The kernel's id of the present boot, from `proc` under `root`, else from `/proc`; none where
/// neither tells.
#[must_use]
pub fn id(root: &Path) -> Option<String> {
    [root, Path::new("/")].iter().find_map(|root| {
        let text = std::fs::read_to_string(root.join(FILE)).ok()?;
        let id = text.trim();
        let is_id = (1..=64).contains(&id.len()) && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        is_id.then(|| id.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_folder_may_have_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let machine = id(Path::new("/")).unwrap();
        assert_eq!(machine.len(), 36, "{machine}");
        assert_eq!(id(folder.path()), Some(machine.clone()));
        let file = folder.path().join(FILE);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        for (text, expected) in [("an-id\n", "an-id"), ("", &machine), ("no id", &machine)] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(id(folder.path()).as_deref(), Some(expected));
        }
    }
}
