//! `brine man --to DIR`: the manual pages of the master's programs.

use brine_client::Exit;
use brine_local::manual::Pages;
use clap::CommandFactory;

use super::failure::Failure;
use super::{complete, print};

/// Writes the pages: brine with one for each noun and verb, and brine-master.
pub(super) fn write(pages: &Pages) -> Result<Exit, Failure> {
    let master = crate::daemon::Arguments::command().name("brine-master");
    let written = pages.write([complete::described(), master]);
    print(&written.map_err(|error| Failure::Nothing(error.to_string()))?)?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_noun_has_a_page() {
        let folder = tempfile::tempdir().expect("a folder");
        let pages = folder.path().join("man/man1");
        write(&Pages { to: pages.clone() }).expect("a folder that can be written");
        for (page, text) in [
            ("brine.1", "Run functions on minions"),
            ("brine-master.1", "brine\\-master"),
            ("brine-jobs.1", "Jobs: what ran"),
            ("brine-jobs-list.1", "\\-\\-since"),
            ("brine-minions-status.1", "Who is up"),
            ("brine-events.1", "\\-\\-count"),
            ("brine-server-create.1", "brine"),
        ] {
            let read = std::fs::read_to_string(pages.join(page)).expect(page);
            assert!(read.contains(text), "{page}: {read}");
        }
        std::fs::write(folder.path().join("file"), "").expect("a file");
        let file = Pages { to: folder.path().join("file") };
        let refused = write(&file).expect_err("a file is no folder").to_string();
        assert!(refused.contains("cannot write manual pages into"), "{refused}");
    }
}
