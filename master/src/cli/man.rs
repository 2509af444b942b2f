//! `brine man --to DIR`: manual pages out of the same words as `--help`, for who packs the programs.

use std::path::Path;

use brine_client::Exit;
use clap::CommandFactory;

use super::failure::Failure;
use super::{complete, print};

/// Writes the pages: brine with one for each noun and verb, and brine-master.
pub(super) fn write(folder: &Path) -> Result<Exit, Failure> {
    let written = std::fs::create_dir_all(folder).and_then(|()| {
        clap_mangen::generate_to(complete::described().disable_help_subcommand(true), folder)?;
        clap_mangen::generate_to(crate::daemon::Arguments::command().name("brine-master"), folder)
    });
    written.map_err(|error| {
        Failure::Nothing(format!("cannot write manual pages into {}: {error}", folder.display()))
    })?;
    print(&format!("manual pages are in {}; look at one with: man -l {0}/brine.1\n", folder.display()))?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_noun_has_a_page() {
        let folder = tempfile::tempdir().expect("a folder");
        let pages = folder.path().join("man/man1");
        write(&pages).expect("a folder that can be written");
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
        let refused = write(&folder.path().join("file")).expect_err("a file is no folder").to_string();
        assert!(refused.contains("cannot write manual pages into"), "{refused}");
    }
}
